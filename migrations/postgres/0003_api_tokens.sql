-- Who may use the HTTP API. A token is shown once, when it is made; only its hash is kept.
CREATE TABLE api_tokens (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token_hash bytea NOT NULL UNIQUE CHECK (length(token_hash) = 32), -- BLAKE3; a token is random, so a slow hash would add nothing
    name       text NOT NULL,
    scopes     text NOT NULL,                 -- JSON: push, pull, operate, admin
    projects   text,                          -- JSON names, which need not exist yet; NULL is every project
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz
);

-- Who may use the HTTP API. A token is shown once, when it is made; only its hash is kept.
CREATE TABLE api_tokens (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    token_hash BLOB NOT NULL UNIQUE CHECK (length(token_hash) = 32), -- BLAKE3; a token is random, so a slow hash would add nothing
    name       TEXT NOT NULL,
    scopes     TEXT NOT NULL,                 -- JSON: push, pull, operate, admin
    projects   TEXT,                          -- JSON names, which need not exist yet; NULL is every project
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;

#!/bin/sh
# Run once by PostgreSQL's image, for an empty database: the workers' login. `n2s migrate` grants its role what workers need.
set -eu
psql -v ON_ERROR_STOP=1 -v password="$WORKER_PASSWORD" -U "$POSTGRES_USER" -d "$POSTGRES_DB" <<'SQL'
CREATE ROLE n2s_worker NOLOGIN;
CREATE ROLE n2s_uploads LOGIN PASSWORD :'password' IN ROLE n2s_worker;
SQL

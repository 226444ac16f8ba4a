#!/usr/bin/env bash
# Writes deploy/.env with passwords of its own, once; an existing one is left alone.
set -euo pipefail
umask 077
file=$(dirname "$0")/.env
if [ -e "$file" ]; then
    echo "$file is there already and is left as it is" >&2
    exit 0
fi
# Hex: fit for an address, and the form that Garage wants its keys in.
hex() { head -c "$1" /dev/urandom | od -An -tx1 | tr -d ' \n'; }
temp=$(mktemp "$file.XXXXXX")
cat >"$temp" <<EOF
POSTGRES_PASSWORD=$(hex 24)
WORKER_PASSWORD=$(hex 24)
RABBITMQ_PASSWORD=$(hex 24)
S3_ACCESS_KEY=GK$(hex 12)
S3_SECRET_KEY=$(hex 32)
GARAGE_RPC_SECRET=$(hex 32)
EOF
mv "$temp" "$file"
echo "wrote $file"

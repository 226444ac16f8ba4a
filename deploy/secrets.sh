#!/usr/bin/env bash
# Writes passwords into deploy/.env: each once. What is there is left as it is, what is missing is added.
set -euo pipefail
umask 077
file=$(dirname "$0")/.env
# Hex: fit for an address, and the form that Garage wants its keys in.
hex() { head -c "$1" /dev/urandom | od -An -tx1 | tr -d ' \n'; }
temp=$(mktemp "$file.XXXXXX")
trap 'rm -f "$temp"' EXIT
# An editor may have left the last line without its end.
[ ! -e "$file" ] || sed '$a\' "$file" >"$temp"
added=()
give() {
    if ! grep -q "^$1=" "$temp"; then
        printf '%s=%s\n' "$1" "$2" >>"$temp"
        added+=("$1")
    fi
}
give POSTGRES_PASSWORD "$(hex 24)"
give WORKER_PASSWORD "$(hex 24)"
give RABBITMQ_PASSWORD "$(hex 24)"
give S3_ACCESS_KEY "GK$(hex 12)"
give S3_SECRET_KEY "$(hex 32)"
give GARAGE_RPC_SECRET "$(hex 32)"
give GRAFANA_PASSWORD "$(hex 12)"
if [ ${#added[@]} -eq 0 ]; then
    echo "$file has everything already" >&2
    exit 0
fi
mv "$temp" "$file"
echo "wrote ${added[*]} to $file"

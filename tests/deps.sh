#!/usr/bin/env bash
# Installs what the tests need, without starting anything: packages as root with apt, Python libraries into .venv at the top of
# the repository. Quick when everything is there. Otherwise says exactly what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
command -v python3 >/dev/null || missing+=(python3)
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
command -v unshare >/dev/null || missing+=(util-linux)
command -v cc >/dev/null || missing+=(gcc libc6-dev)
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null || missing+=(postgresql)
if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        # Debian's package makes and starts a cluster of its own; the tests need the programs only.
        quiet=/etc/postgresql-common/createcluster.d/n2s-tests.conf
        if [[ " ${missing[*]} " == *" postgresql "* ]]; then
            install -d "${quiet%/*}" && echo 'create_main_cluster = false' >"$quiet"
        fi
        trap 'rm -f "$quiet"' EXIT
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}"
    else
        echo "These are missing: ${missing[*]}. Install them, on Debian with: sudo apt-get install ${missing[*]}" >&2
        exit 1
    fi
fi

# The interpreter is looked at too: an upgrade of Python leaves a link to nowhere.
if ! cmp -s tests/requirements.txt .venv/requirements.txt || ! .venv/bin/python3 -c 'import nacl, blake3, zstandard' 2>/dev/null; then
    rm -rf .venv
    python3 -m venv .venv
    .venv/bin/pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
    # Last, so that an installation that was cut short is begun anew.
    cp tests/requirements.txt .venv/requirements.txt
fi

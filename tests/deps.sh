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
[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || missing+=(rabbitmq-server)
command -v promtool >/dev/null || missing+=(prometheus)
command -v openssl >/dev/null || missing+=(openssl)
# For deploy/check.sh.
command -v systemd-analyze >/dev/null || missing+=(systemd)
command -v docker-compose >/dev/null || missing+=(docker-compose)
if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        written=()
        trap 'rm -f "${written[@]}"' EXIT
        # Debian's PostgreSQL makes and starts a cluster of its own when it is installed; the tests need the programs only.
        clusters=/etc/postgresql-common/createcluster.d/n2s-tests.conf
        if [[ " ${missing[*]} " == *" postgresql "* ]]; then
            written+=("$clusters")
            install -d "${clusters%/*}" && echo 'create_main_cluster = false' >"$clusters"
        fi
        # A package that brings a service starts it when it is installed, RabbitMQ's on a port that is the same for everybody. A
        # policy of the machine's own stands as it is.
        policy=/usr/sbin/policy-rc.d
        if [ ! -e "$policy" ]; then
            written+=("$policy")
            printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
        fi
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
    else
        echo "These are missing: ${missing[*]}. Install them, on Debian with: sudo apt-get install ${missing[*]}" >&2
        exit 1
    fi
fi

# The interpreter is looked at too: an upgrade of Python leaves a link to nowhere.
if ! cmp -s tests/requirements.txt .venv/requirements.txt || ! .venv/bin/python3 -c 'import nacl, blake3, zstandard, kubernetes_validate, yaml' 2>/dev/null; then
    rm -rf .venv
    python3 -m venv .venv
    .venv/bin/pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
    # Last, so that an installation that was cut short is begun anew.
    cp tests/requirements.txt .venv/requirements.txt
fi

#!/usr/bin/env bash
# Installs what the tests need, without starting anything. As root with apt; otherwise says exactly what is missing.
set -euo pipefail

missing=()
command -v python3 >/dev/null || missing+=(python3)
command -v unshare >/dev/null || missing+=(util-linux)
command -v cc >/dev/null || missing+=(gcc libc6-dev)
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && apt-get install -y -qq "${missing[@]}"
else
    echo "These are missing: ${missing[*]}. Install them, on Debian with: sudo apt-get install ${missing[*]}" >&2
    exit 1
fi

#!/usr/bin/env bash
# The stores' suites against servers nobody here wrote. What is missing is installed as root with apt, or built; nothing is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v radosgw >/dev/null; then
    packages=(radosgw ceph-mon ceph-osd ceph-mgr)
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && apt-get install -y -qq "${packages[@]}"
    else
        echo "Ceph's gateway is missing. Install it, on Debian with: sudo apt-get install ${packages[*]}" >&2
        exit 1
    fi
fi
if [ ! -x target/tools/bin/garage ]; then
    echo "Building Garage, which no distribution has: once, a quarter of an hour." >&2
    ${CARGO:-cargo} install garage --version 2.5.0 --locked --root target/tools
fi
# One process for all cases: each server is started once.
${CARGO:-cargo} test --locked -p n2s-storage-backends --features stores --test s3_stores

#!/usr/bin/env bash
# The stores' suites against servers nobody here wrote. What is missing is installed as root with apt, else named; nothing is skipped.
set -euo pipefail

if ! command -v radosgw >/dev/null; then
    packages=(radosgw ceph-mon ceph-osd ceph-mgr)
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && apt-get install -y -qq "${packages[@]}"
    else
        echo "Ceph's gateway is missing. Install it, on Debian with: sudo apt-get install ${packages[*]}" >&2
        exit 1
    fi
fi
# One process for all cases: the cluster is started once.
${CARGO:-cargo} test --locked -p n2s-storage-backends --features stores --test s3_stores

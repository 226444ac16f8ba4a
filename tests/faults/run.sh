#!/usr/bin/env bash
# Every fault of a fleet: with cargo-nextest, whose tests share one PostgreSQL and one RabbitMQ, else in one process, which shares them as well.
set -euo pipefail
cd "$(dirname "$0")/../.."
if ${CARGO:-cargo} nextest --version >/dev/null 2>&1; then
    ${CARGO:-cargo} nextest run --locked -p n2s-tests --features fault-tests --test faults --test store_faults --test shared_blobs
else
    ${CARGO:-cargo} test --locked --quiet -p n2s-tests --features fault-tests --test faults --test store_faults --test shared_blobs
fi

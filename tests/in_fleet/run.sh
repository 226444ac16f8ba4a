#!/usr/bin/env bash
# The journeys by a fleet: with cargo-nextest, whose tests share one PostgreSQL and one RabbitMQ, else target by target.
set -euo pipefail
cd "$(dirname "$0")/../.."
if ${CARGO:-cargo} nextest --version >/dev/null 2>&1; then
    ${CARGO:-cargo} nextest run --locked -p n2s-tests --features fleet-tests -E 'binary(/^in_fleet_/)'
else
    for file in tests/in_fleet/*.rs; do
        ${CARGO:-cargo} test --locked --quiet -p n2s-tests --features fleet-tests --test "in_fleet_$(basename "$file" .rs)"
    done
fi

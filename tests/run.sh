#!/usr/bin/env bash
# Every test of the workspace: with cargo-nextest where it is installed, else with cargo test.
set -euo pipefail
if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --workspace --locked
else
    cargo test --workspace --locked --quiet
fi

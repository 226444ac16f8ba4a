#!/usr/bin/env bash
# Checks each package alone: in a workspace one package's features hide what another forgot to ask for.
set -euo pipefail
for manifest in shared/*/Cargo.toml services/*/Cargo.toml; do
    name=$(sed -n 's/^name = "\(.*\)"/\1/p' "$manifest" | head -n 1)
    cargo check --quiet --locked -p "$name"
done

#!/usr/bin/env bash
# Refuses a binary that the environment could make kill itself: a release has no failpoints (shared/failpoints).
set -euo pipefail
if grep -q N2S_FAILPOINT "$1"; then
    echo "$1 has failpoints: it was built with --features failpoints, which is for tests alone" >&2
    exit 1
fi

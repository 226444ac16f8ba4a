#!/usr/bin/env bash
# Fuzzes each target for FUZZ_SECONDS (30) and says how many inputs it took. Fails on the first input that breaks one, and says
# how to run that input again. What was found interesting is kept in target/fuzz/corpus, so that the next run goes on from there.
set -euo pipefail
cd "$(dirname "$0")/../.."
version=0.13.2
seconds=${FUZZ_SECONDS:-30}
tools=$PWD/target/tools

command -v c++ >/dev/null || { echo "libFuzzer needs a C++ compiler: install g++ or clang" >&2; exit 1; }
if [ "$("$tools/bin/cargo-fuzz" --version 2>/dev/null)" != "cargo-fuzz $version" ]; then
    cargo install cargo-fuzz --version "=$version" --locked --root "$tools"
fi
export PATH=$tools/bin:$PATH
# The compiler is the stable one, which knows no sanitizers; see README.md.
options=(--fuzz-dir tests/fuzz --sanitizer none --target-dir target/fuzz)
cargo fuzz build "${options[@]}"

# In memory where there is such a place: some readers take files.
N2S_FUZZ_SCRATCH=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d)
export N2S_FUZZ_SCRATCH
trap 'rm -rf "$N2S_FUZZ_SCRATCH"' EXIT

for target in $(cargo fuzz list --fuzz-dir tests/fuzz); do
    corpus=target/fuzz/corpus/$target found=target/fuzz/found/$target log=target/fuzz/$target.log
    words=()
    [ ! -f "tests/fuzz/dictionaries/$target" ] || words=(-dict="tests/fuzz/dictionaries/$target")
    mkdir -p "$corpus" "$found"
    if ! cargo fuzz run "${options[@]}" "$target" "$corpus" "tests/fuzz/seeds/$target" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 -artifact_prefix="$found/" \
        "${words[@]}" >"$log" 2>&1
    then
        grep -vE '^#[0-9]+' "$log" | tail -n 60 | cut -c -400 >&2
        echo "$target: FAILED. Its input is in $found; run it again with:" >&2
        echo "  target/fuzz/x86_64-unknown-linux-gnu/release/$target $found/crash-…" >&2
        exit 1
    fi
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    edges=$(grep -oE 'cov: [0-9]+' "$log" | tail -n 1)
    echo "$target: $runs executions in $seconds s, ${edges/cov: /edges reached: }, nothing found"
done

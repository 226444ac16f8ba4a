#!/usr/bin/env bash
# Installs the programs that n2s is measured beside: packages as root with apt, rustic with cargo into target/peers. Quick when
# everything is there. What cannot be installed is said, and shows in the report as "not measured".
set -uo pipefail
cd "$(dirname "$0")/.."

missing=()
command -v restic >/dev/null || missing+=(restic)
command -v borg >/dev/null || missing+=(borgbackup)
command -v rclone >/dev/null || missing+=(rclone)
if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}"; } >&2
    fi || echo "These could not be installed: ${missing[*]}. On Debian: sudo apt-get install ${missing[*]}" >&2
fi
if ! command -v rustic >/dev/null && [ ! -x target/peers/bin/rustic ]; then
    "${CARGO:-cargo}" install rustic-rs --version 0.11.4 --locked --root target/peers >&2 || echo "rustic could not be installed" >&2
fi

#!/usr/bin/env bash
# Looks at everything in deploy/ as far as that is possible without a cluster or a container engine: Kubernetes manifests against the
# published schemas, compose's configuration, systemd's units, the scripts. What it cannot look at, it names.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { printf '%s\n' "$*"; }
missing() { say "$1 is missing: make deps installs it" >&2; exit 1; }

# Kubernetes. Unknown and misplaced fields are refused. A kustomization and KEDA's kinds have no schema among Kubernetes' own.
validate=.venv/bin/kubernetes-validate
[ -x "$validate" ] || missing kubernetes-validate
mapfile -t manifests < <(find deploy/kubernetes -maxdepth 1 -name '*.yaml' ! -name kustomization.yaml | sort)
for manifest in "${manifests[@]}"; do
    "$validate" --strict --quiet "$manifest" >"$work/said" 2>&1 || { cat "$work/said" >&2; exit 1; }
done
.venv/bin/python3 deploy/kubernetes/check.py
say "kubernetes: ${#manifests[@]} files fit their schemas and each other; KEDA's two files were only read, since there is no schema of them here"

# compose, with passwords of this moment.
command -v docker-compose >/dev/null || missing docker-compose
cp -r deploy "$work/deploy"
rm -f "$work/deploy/.env"
"$work/deploy/secrets.sh" >/dev/null 2>&1
# Debian's docker-compose is older than this one key, by which the plugin names its containers.
sed -i '/^name: /d' "$work/deploy/compose.yaml"
(cd "$work/deploy" && docker-compose --file compose.yaml config >"$work/compose" 2>"$work/said") || { cat "$work/said" >&2; exit 1; }
for service in postgres rabbitmq garage migrate intake dispatcher validator worker; do
    grep -q "^  $service:" "$work/compose" || { say "compose has no service $service" >&2; exit 1; }
done
say "compose: the configuration is whole; no container was started"

# systemd, with a program that is there in place of ours.
command -v systemd-analyze >/dev/null || missing systemd-analyze
mkdir "$work/units"
for unit in deploy/systemd/*.service; do
    name=$(basename "$unit")
    sed 's|^ExecStart=/usr/local/bin/n2s|ExecStart=/bin/true|' "$unit" >"$work/units/${name/@./@1.}"
done
said=$(systemd-analyze verify --man=no --recursive-errors=no "$work"/units/*.service 2>&1) || { say "$said" >&2; exit 1; }
# It warns about what it does not know and calls that a success.
if grep -E 'Unknown|Failed to parse|Invalid' <<<"$said" | grep -q "$work/units"; then say "$said" >&2; exit 1; fi
say "systemd: $(find "$work/units" -name '*.service' | wc -l) units are understood; none was started"

for script in deploy/ready deploy/*.sh deploy/compose/*.sh; do bash -n "$script"; done
say "not looked at: whether the image builds and runs (no container engine), what a cluster makes of the manifests"

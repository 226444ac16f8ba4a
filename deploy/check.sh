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
service() { sed -n "/^  $1:/,/^  [a-z]/p" "$work/compose"; }
for name in postgres rabbitmq garage migrate intake dispatcher validator worker; do
    [ -n "$(service "$name")" ] || { say "compose has no service $name" >&2; exit 1; }
done
for name in prometheus grafana; do
    service "$name" | grep -qx '    - monitoring' || { say "$name is not for --profile monitoring alone" >&2; exit 1; }
done
# A file that is not there would be mounted as an empty directory.
while read -r source; do
    [ -f "$source" ] || { say "compose mounts $source, which is no file" >&2; exit 1; }
done < <(grep -oE "^ +- $work/deploy/[^:]+" "$work/compose" | sed 's/^ *- //' | sort -u)
# Where they are mounted, Prometheus and Grafana find each other's and their own files.
mkdir "$work/etc"
cp "$work"/deploy/prometheus/{prometheus,rules}.yaml "$work/etc"
promtool check config "$work/etc/prometheus.yaml" >"$work/said" 2>&1 || { cat "$work/said" >&2; exit 1; }
for wanted in "prometheus:9090 deploy/grafana/datasource.yaml" "/var/lib/grafana/dashboards deploy/grafana/provider.yaml"; do
    grep -q "${wanted% *}" "${wanted#* }" || { say "${wanted#* } does not name ${wanted% *}" >&2; exit 1; }
done
# Every role listens where Prometheus asks, and for more than its own container.
for port in 7227 7228; do
    grep -q "port: $port" deploy/prometheus/prometheus.yaml && grep -qE "LISTEN: 0\.0\.0\.0:$port$" "$work/compose" ||
        { say "nobody answers Prometheus on $port" >&2; exit 1; }
done
say "compose: the configuration is whole, with and without monitoring; no container was started"

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

//! `PROMISES.md` maps every promise and case to tests that exist; what a later step builds says so.

use std::path::Path;

/// Every id that must have a row.
const REQUIRED: &[&str] = &[
    "P1",
    "P2",
    "P3",
    "P4",
    "P5",
    "P6",
    "P7",
    "P8",
    "P9",
    "P10",
    "C-names",
    "C-names-twins",
    "C-names-long",
    "C-names-newlines",
    "C-names-odd",
    "C-links-absolute",
    "C-links-loops",
    "C-hard-links-symbolic",
    "C-empty-directories",
    "C-owners",
    "C-times-directories",
    "C-times-links",
    "C-special-socket",
    "C-special-device",
    "C-long-paths",
    "C-longer-paths",
    "C-links",
    "C-hard-links",
    "C-hard-link-alone",
    "C-empty",
    "C-modes-owners",
    "C-times",
    "C-sparse",
    "C-special",
    "C-unreadable",
    "C-unreadable-directory",
    "C-leased",
    "C-moving",
    "C-torn",
    "C-empty-source",
    "C-two-paths",
    "C-processes",
    "C-takeover",
    "C-kill",
    "C-kill-holder",
    "C-kill-committed",
    "C-clock",
    "C-disk-full",
    "C-backend-gone",
    "C-backend-empty",
    "C-read-only-home",
    "C-read-only-push",
    "C-disk-full-staging",
    "C-disk-full-catalog",
    "C-syncing",
    "C-full-staging",
    "C-two-pushes",
    "C-wrong-vault",
    "C-truncated-vault",
    "C-readable-vault",
    "C-flipped",
    "C-swapped",
    "C-flipped-everywhere",
    "C-truncated",
    "C-swapped-everywhere",
    "C-vault-gone",
    "C-hostile-manifest",
    "C-hostile-catalog",
    "C-hostile-links",
    "C-hostile-target",
    "C-unknown",
    "C-unknown-dataset",
    "C-unknown-snapshot",
    "C-unknown-version",
    "C-unknown-backend",
    "C-unknown-changeset",
    "C-unknown-path",
    "C-missing-path",
    "C-root",
    "C-target",
    "C-config",
    "C-flags",
    "C-other-stores",
    "C-copies",
    "C-no-home",
    "C-broker-wiped",
    "C-broker-killed",
    "C-broker-faults",
    "C-broker-poison",
    "C-broker-cluster",
    "C-validate",
    "C-validate-damage",
    "C-validate-levels",
    "C-validate-manifests",
    "C-validate-lost",
    "C-validate-status",
    "C-validate-outage",
    "C-validate-budget",
    "C-validate-sample",
    "C-validate-killed",
    "C-validate-continuous",
    "C-validate-cost",
    "C-validate-doubt",
    "C-validate-source",
    "C-api-scopes",
    "C-api-projects",
    "C-api-bodies",
    "C-api-kill",
    "C-api-drain",
    "C-api-two-clients",
    "C-api-no-vault",
    "C-api-wrong-vault",
    "C-api-tls",
    "C-cancel",
    "C-api-retries",
    "C-api-ready",
    "C-api-events",
    "C-api-operate",
    "C-api-archive",
    "C-api-many",
    "C-api-pressure",
    "C-fleet-journeys",
    "C-server",
    "C-server-alien",
    "C-server-power",
    "C-server-history",
    "C-server-worker",
    "C-fleet-worker-killed",
    "C-fleet-dispatcher-killed",
    "C-fleet-drain",
    "C-fleet-ready",
    "C-metrics",
    "C-alerts",
    "C-traces",
    "C-fields",
    "C-fleet-restricted",
    "C-fleet-none",
    "C-fleet-refused",
];

#[test]
fn every_promise_has_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("PROMISES.md")).unwrap();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| P") || line.starts_with("| C-"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    for id in REQUIRED {
        assert!(rows.iter().any(|row| row[0] == *id), "{id} has no row in PROMISES.md");
    }
    for row in &rows {
        let [id, _, tests, target] = row[..] else { panic!("a row needs four columns: {row:?}") };
        assert!(REQUIRED.contains(&id), "{id} is not a known promise");
        if tests.starts_with("open: ") {
            continue;
        }
        assert!(["test", "test-fleet", "test-cluster"].contains(&target), "{id} names {target}");
        for test in tests.split(", ") {
            let (file, function) =
                test.trim_matches('`').split_once("::").unwrap_or_else(|| panic!("{test} in {id}"));
            let text = std::fs::read_to_string(root.parent().unwrap().join(file))
                .unwrap_or_else(|_| panic!("{file} in {id}"));
            assert!(text.contains(&format!("fn {function}(")), "{file} has no test {function} ({id})");
        }
    }
}

//! Dependencies point down only; files stay small.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// What each crate may depend on, among the crates of this workspace. Development dependencies are free.
fn allowed() -> BTreeMap<&'static str, Vec<&'static str>> {
    const DOMAIN: &str = "n2s-domain";
    // Nothing, in a release; so whatever takes steps may have it.
    const POINTS: &str = "n2s-failpoints";
    // Whatever works is counted.
    const TOLD: &str = "n2s-telemetry";
    let traits = [DOMAIN, POINTS, TOLD, "n2s-catalog", "n2s-queue", "n2s-storage"];
    BTreeMap::from([
        (DOMAIN, vec![]),
        (POINTS, vec![DOMAIN]),
        ("n2s-envelope", vec![DOMAIN, POINTS]),
        ("n2s-config", vec![DOMAIN, POINTS]),
        (TOLD, vec![DOMAIN]),
        ("n2s-catalog", vec![DOMAIN, TOLD]),
        ("n2s-queue", vec![DOMAIN]),
        ("n2s-storage", vec![DOMAIN, TOLD]),
        ("n2s-catalog-sqlite", vec![DOMAIN, POINTS, "n2s-catalog"]),
        ("n2s-catalog-postgres", vec![DOMAIN, POINTS, TOLD, "n2s-catalog"]),
        ("n2s-storage-backends", vec![DOMAIN, POINTS, "n2s-storage"]),
        ("n2s-client", vec![DOMAIN, POINTS, TOLD, "n2s-envelope"]),
        ("n2s-queue-rabbitmq", vec![DOMAIN, POINTS, TOLD, "n2s-queue"]),
        ("n2s-intake", [&traits[..], &["n2s-envelope", "n2s-client"]].concat()),
        ("n2s-dispatcher", traits.to_vec()),
        ("n2s-worker", traits.to_vec()),
        ("n2s-validator", [&traits[..], &["n2s-envelope"]].concat()),
    ])
}

#[test]
fn dependencies_point_down_only() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let allowed = allowed();
    let mut seen = BTreeSet::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let Some(allowed) = allowed.get(name) else { continue };
        seen.insert(name);
        for dependency in package["dependencies"].as_array().unwrap() {
            let on = dependency["name"].as_str().unwrap();
            let ours = on == "n2s" || on.starts_with("n2s-");
            let normal = dependency["kind"].is_null();
            assert!(!ours || !normal || allowed.contains(&on), "{name} may not depend on {on}");
        }
    }
    assert_eq!(seen.len(), allowed.len(), "a crate of the table is gone");
}

#[test]
fn no_file_is_longer_than_400_lines_without_its_tests() {
    let output = Command::new("git").args(["ls-files", "*.rs"]).current_dir(root()).output().unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    let paths: Vec<_> = listed.lines().filter(|path| root().join(path).exists()).collect();
    assert!(paths.len() > 50, "git lists no files here");
    for path in paths {
        let text = std::fs::read_to_string(root().join(path)).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap().lines().count();
        assert!(code <= 400, "{path} has {code} lines; would two nouns read better as two files?");
    }
}

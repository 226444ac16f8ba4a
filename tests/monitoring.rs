//! Rules and dashboard are code: promtool looks at the rules, and whatever they ask for is on the page of metrics.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const PAGE: &str = include_str!("../shared/telemetry/METRICS.md");
const RULES: &str = include_str!("../deploy/prometheus/rules.yaml");
const RULES_TEST: &str = include_str!("../deploy/prometheus/rules_test.yaml");
const DASHBOARD: &str = include_str!("../deploy/grafana/n2s.json");

/// Every metric that a text names, without what a histogram adds.
fn named(text: &str) -> BTreeSet<String> {
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !letter(c)).filter(|word| word.starts_with("n2s_"));
    words.map(|word| word.trim_end_matches("_bucket").trim_end_matches("_count").to_owned()).collect()
}

fn is_listed(name: &str) -> bool {
    PAGE.contains(&format!("| `{name}` |"))
}

fn promtool(arguments: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus");
    let said = Command::new("promtool").args(arguments).current_dir(folder).output();
    let said = said.expect("promtool; `make deps` installs it");
    let words = [said.stdout, said.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(said.status.success(), "promtool {arguments:?}: {words}");
}

#[test]
fn promtool_finds_nothing_wrong_with_the_rules() {
    promtool(&["check", "config", "prometheus.yaml"]);
    promtool(&["check", "rules", "rules.yaml"]);
    promtool(&["test", "rules", "rules_test.yaml"]);
}

#[test]
fn every_alert_asks_for_what_there_is_says_what_to_do_and_is_tested() {
    let unknown: Vec<_> = named(RULES).into_iter().filter(|name| !is_listed(name)).collect();
    assert!(unknown.is_empty(), "no such metrics: {unknown:?}");
    let mut alerts = 0;
    for alert in RULES.split("- alert: ").skip(1) {
        let name = alert.lines().next().unwrap();
        assert!(alert.contains("          summary: '"), "{name} does not say what to do");
        let section = format!("runbook: deploy/OPERATING.md#{}\n", name.to_lowercase());
        assert!(format!("{alert}\n").contains(&section), "{name} points to no section of its own");
        assert!(RULES_TEST.contains(&format!("alertname: {name},")), "{name} is never quiet in the tests");
        assert!(RULES_TEST.contains(&format!("alertname=\"{name}\"")), "{name} never fires in the tests");
        alerts += 1;
    }
    assert!(alerts > 10);
}

#[test]
fn the_dashboard_asks_for_what_there_is() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut asked = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "two panels have one id: {panel}");
        for target in panel["targets"].as_array().into_iter().flatten() {
            asked.extend(named(target["expr"].as_str().unwrap()));
        }
    }
    let unknown: Vec<_> = asked.iter().filter(|name| !is_listed(name)).collect();
    assert!(asked.len() > 30 && unknown.is_empty(), "no such metrics: {unknown:?}");
}

/// What stands between the parentheses that `text` begins with.
fn within(text: &str) -> &str {
    let mut depth = 0;
    let end = text.find(|c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth == 0
    });
    &text[..end.unwrap_or(text.len())]
}

/// Every name with dots that is given a value in `text`.
fn dotted(text: &str) -> impl Iterator<Item = &str> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_');
    let name = move |before: &str| before.len() - before.trim_end_matches(is_name).len();
    let names = text.match_indices(" = ").map(move |(at, _)| &text[at - name(&text[..at])..at]);
    names.filter(|name| name.contains('.') && !name.starts_with('.'))
}

#[test]
fn every_field_of_logs_and_spans_is_on_the_page() {
    let page = include_str!("../shared/telemetry/README.md");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let listed =
        Command::new("git").args(["ls-files", "services/*.rs", "shared/*.rs"]).current_dir(root).output();
    let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
    let mut used = BTreeSet::new();
    for path in listed.lines().filter(|path| root.join(path).exists()) {
        let text = std::fs::read_to_string(root.join(path)).unwrap();
        for level in ["trace", "debug", "info", "warn", "error"] {
            let call = format!("tracing::{level}!(");
            let told = text.match_indices(&call).map(|(at, word)| at + word.len() - 1);
            let told: Vec<_> = told.flat_map(|at| dotted(within(&text[at..]))).map(str::to_owned).collect();
            used.extend(told);
        }
        for call in ["span.text(\"", "span.number(\""] {
            let said =
                text.match_indices(call).map(|(at, _)| text[at + call.len()..].split('"').next().unwrap());
            used.extend(said.map(str::to_owned));
        }
    }
    assert!(used.len() > 10 && used.contains("op.duration_ms") && used.contains("http.route"), "{used:?}");
    let unknown: Vec<_> = used.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(unknown.is_empty(), "not in shared/telemetry/README.md: {unknown:?}");
}

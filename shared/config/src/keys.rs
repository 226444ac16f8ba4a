//! Looks at each key by itself: is there such a key, and does its value have the key's type?

use n2s_domain::BackendName;
use toml::Value;

use crate::closest::closest;
use crate::error::Problem;
use crate::schema::{Key, Section};
use crate::sections::{
    ApiConfig, BackendConfig, BackendKind, DatabaseConfig, HealthConfig, PushConfig, QueueConfig,
    RetryConfig, StagingConfig, TelemetryConfig, ValidatorConfig, WorkerConfig,
};
use crate::tree::Tree;

/// The sections with a fixed name, in the order of the reference page.
pub(crate) const FIXED: [Section; 9] = [
    ApiConfig::SECTION,
    DatabaseConfig::SECTION,
    HealthConfig::SECTION,
    PushConfig::SECTION,
    QueueConfig::SECTION,
    StagingConfig::SECTION,
    TelemetryConfig::SECTION,
    ValidatorConfig::SECTION,
    WorkerConfig::SECTION,
];

/// The key that a path of keys names, if there is one.
pub(crate) fn key_at(path: &[String]) -> Option<&'static Key> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path[..] {
        ["backends", _, "retry", key] => RetryConfig::SECTION.key(key),
        ["backends", _, key] => BackendConfig::SECTION.key(key),
        [section, key] => FIXED.iter().find(|known| known.path == section)?.key(key),
        _ => None,
    }
}

/// Every key that is unknown or has the wrong type.
pub(crate) fn mistakes(tree: &Tree) -> Vec<Problem> {
    let mut found = Found { tree, problems: Vec::new() };
    for (name, value) in &tree.values {
        if name == "backends" {
            found.backends(value);
        } else if let Some(section) = FIXED.iter().find(|section| section.path == name) {
            found.table(name, value, section);
        } else {
            let known = FIXED.iter().map(|section| section.path).chain(["backends"]);
            found.add(name, unknown("section", name, known));
        }
    }
    found.problems
}

struct Found<'a> {
    tree: &'a Tree,
    problems: Vec<Problem>,
}

impl Found<'_> {
    fn add(&mut self, key: &str, what: String) {
        self.problems.push(Problem::new(self.tree.origin(key), key, what));
    }

    fn not_a_table(&mut self, path: &str) {
        self.add(path, format!("this is a section; write [{path}] and its keys below it"));
    }

    fn backends(&mut self, value: &Value) {
        let Some(backends) = value.as_table() else { return self.not_a_table("backends") };
        for (name, value) in backends {
            let path = format!("backends.{name}");
            if let Err(error) = name.parse::<BackendName>() {
                self.add(&path, error.to_string());
            }
            let Some(table) = value.as_table() else { return self.not_a_table(&path) };
            if !table.contains_key("kind") {
                let kinds = BackendKind::ALL.map(|kind| format!("\"{}\"", kind.as_str())).join(" or ");
                self.add(&format!("{path}.kind"), format!("it is missing; write kind = {kinds}"));
            }
            self.table(&path, value, &BackendConfig::SECTION);
        }
    }

    fn table(&mut self, path: &str, value: &Value, section: &Section) {
        let Some(table) = value.as_table() else { return self.not_a_table(path) };
        for (name, value) in table {
            let full = format!("{path}.{name}");
            match section.key(name) {
                Some(key) if key.name == "retry" => self.table(&full, value, &RetryConfig::SECTION),
                Some(key) => {
                    if let Err(why) = (key.check)(value) {
                        self.add(&full, format!("{why}; it takes {}", key.shape));
                    }
                }
                None => self.add(&full, unknown("key", name, section.all_keys().map(|key| key.name))),
            }
        }
    }
}

fn unknown(what: &str, name: &str, known: impl Iterator<Item = &'static str> + Clone) -> String {
    match closest(name, known.clone()) {
        Some(meant) => format!("there is no such {what}; did you mean '{meant}'?"),
        None => format!("there is no such {what}; there are: {}", known.collect::<Vec<_>>().join(", ")),
    }
}

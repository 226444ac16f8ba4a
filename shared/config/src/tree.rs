//! Settings as they were written, with the place of each: a file, with variables over it.
//!
//! The file is parsed twice, once for values and once for places, because a `toml::Value` remembers no line. Rejected:
//! deserialising straight from the text, whose messages know lines but can neither say which variable was wrong nor report
//! more than the first mistake.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use crate::error::{ConfigError, Problem};
use crate::keys::key_at;
use crate::origin::Origin;

/// The prefix of variables; the rest is a path of keys joined by `__`.
const PREFIX: &str = "N2S_";

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) values: Table,
    origins: HashMap<Vec<String>, Origin>,
}

impl Tree {
    /// Reads the text of a file.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let syntax = |error: toml::de::Error| ConfigError::Syntax {
            path: path.to_owned(),
            line: line_of(text, error.span().map_or(0, |span| span.start)),
            what: error.message().to_owned(),
        };
        let values = text.parse::<Table>().map_err(syntax)?;
        let places = DeTable::parse(text).map_err(syntax)?;
        let mut origins = HashMap::new();
        note(places.get_ref(), &mut Vec::new(), &mut |keys, offset| {
            origins.insert(keys, Origin::File(path.to_owned(), line_of(text, offset)));
        });
        Ok(Self { values, origins })
    }

    /// Puts the variables that name settings over what is there. Those without `__` (`N2S_HOME`, `N2S_LOG`) are not
    /// settings.
    pub(crate) fn overlay(&mut self, env: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (name, value) in env {
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX) && name.contains("__"))
            else {
                continue;
            };
            let keys: Vec<String> =
                name[PREFIX.len()..].to_lowercase().split("__").map(str::to_owned).collect();
            let origin = Origin::Variable(name.to_owned());
            match value.into_string() {
                Ok(text) => problems.extend(self.set(keys, &text, origin)),
                Err(_) => problems.push(Problem::new(origin, keys.join("."), "the value is not UTF-8")),
            }
        }
        problems
    }

    fn set(&mut self, mut keys: Vec<String>, text: &str, origin: Origin) -> Option<Problem> {
        self.name_backend(&mut keys);
        let value = typed(&keys, text);
        let (last, parents) = keys.split_last()?;
        let mut table = &mut self.values;
        for (depth, parent) in parents.iter().enumerate() {
            let entry = table.entry(parent.clone()).or_insert_with(|| Value::Table(Table::new()));
            let Value::Table(inner) = entry else {
                let what = format!("'{}' is a value, not a section", keys[..=depth].join("."));
                return Some(Problem::new(origin, keys.join("."), what));
            };
            self.origins.entry(keys[..=depth].to_vec()).or_insert_with(|| origin.clone());
            table = inner;
        }
        table.insert(last.clone(), value);
        self.origins.insert(keys, origin);
        None
    }

    /// A variable's name cannot hold a `-`: `_` stands for it where the file has such a backend.
    fn name_backend(&self, keys: &mut [String]) {
        let [section, name, ..] = keys else { return };
        let Some(Value::Table(backends)) = self.values.get("backends").filter(|_| section == "backends")
        else {
            return;
        };
        if !backends.contains_key(name)
            && let Some(meant) = backends.keys().find(|known| known.replace('-', "_") == *name)
        {
            name.clone_from(meant);
        }
    }

    /// Whether the setting was written anywhere.
    pub(crate) fn is_set(&self, key: &str) -> bool {
        self.origins.contains_key(&key.split('.').map(str::to_owned).collect::<Vec<_>>())
    }

    /// Where the setting was written, or the nearest section around it.
    pub(crate) fn origin(&self, key: &str) -> Origin {
        let keys: Vec<String> = key.split('.').map(str::to_owned).collect();
        let written: Option<&Origin> =
            (1..=keys.len()).rev().find_map(|length| self.origins.get(&keys[..length]));
        written.cloned().unwrap_or(Origin::Nowhere)
    }
}

/// A variable's text as the value its key takes: as TOML (`8`, `true`) where that fits, else as text.
fn typed(keys: &[String], text: &str) -> Value {
    let as_text = Value::String(text.to_owned());
    let Some(key) = key_at(keys) else { return as_text };
    let parsed = format!("value = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
    parsed.filter(|value| (key.check)(value).is_ok()).unwrap_or(as_text)
}

/// Calls `seen` with every key of the table and of those in it, and where it begins.
fn note(table: &DeTable<'_>, above: &mut Vec<String>, seen: &mut impl FnMut(Vec<String>, usize)) {
    for (key, value) in table {
        above.push(key.get_ref().to_string());
        seen(above.clone(), key.span().start);
        if let DeValue::Table(inner) = value.get_ref() {
            note(inner, above, seen);
        }
        above.pop();
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.get(..offset).unwrap_or(text).matches('\n').count() + 1
}

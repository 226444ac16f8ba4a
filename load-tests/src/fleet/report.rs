//! What is printed.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use serde_json::{Value, json};

use crate::servers::Servers;
use crate::verdict::Verdict;

/// One figure.
pub struct Figure {
    pub detail: Value,
    pub verdicts: Vec<Verdict>,
}

/// All of them.
#[derive(Debug, Serialize)]
pub struct Report {
    processors: usize,
    /// Of the minute before: other people's work is in every figure.
    load_average_before: f64,
    servers: Value,
    peers: Value,
    verdicts: Vec<Verdict>,
    figures: BTreeMap<String, Value>,
    took_seconds: BTreeMap<String, f64>,
}

impl Report {
    /// An empty one.
    pub fn new(servers: &Servers) -> Result<Self> {
        let load = std::fs::read_to_string("/proc/loadavg")?;
        Ok(Self {
            processors: std::thread::available_parallelism()?.get(),
            load_average_before: load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(-1.0),
            servers: servers.describe(),
            peers: crate::peers::versions(),
            verdicts: Vec::new(),
            figures: BTreeMap::new(),
            took_seconds: BTreeMap::new(),
        })
    }

    /// Adds a figure; one that failed says why, and the others go on.
    pub fn add(&mut self, name: &str, figure: Result<Figure>, took: Duration) {
        self.took_seconds.insert(name.to_owned(), took.as_secs_f64().round());
        match figure {
            Ok(Figure { detail, verdicts }) => {
                self.figures.insert(name.to_owned(), detail);
                self.verdicts.extend(verdicts);
            }
            Err(error) => {
                let why = format!("{error:#}");
                self.verdicts.push(Verdict::new(name, None, "to be measured", |_| None));
                self.figures.insert(name.to_owned(), json!({ "not measured": why }));
            }
        }
    }
}

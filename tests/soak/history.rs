//! What each client did and what it was told, kept as it happens: a line of JSON for each call's begin and for its end.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use serde_json::{Value, json};

/// What a push was told: from then on it is a promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub changeset: String,
    pub version: u64,
    /// What the changeset was at that moment.
    pub status: String,
}

/// What was asked, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A tree, by its digest.
    Push { tree: String, told: Option<Told> },
    /// A version, or the latest; the digest of what came, where the pull said that all had come.
    Pull { version: Option<u64>, tree: Option<String> },
    /// Anything else.
    Other,
}

/// One call of a client, from begin to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub dataset: String,
    pub kind: String,
    pub begun_ms: u64,
    pub ended_ms: u64,
    /// Its exit code; -1 when it was killed.
    pub code: i32,
    pub what: What,
}

/// See the module.
#[derive(Debug)]
pub struct History {
    start: Instant,
    file: Mutex<File>,
    calls: Mutex<Vec<Call>>,
}

impl History {
    /// Begins one in this file.
    pub fn new(path: &Path) -> Self {
        Self {
            start: Instant::now(),
            file: Mutex::new(File::create(path).unwrap()),
            calls: Mutex::new(Vec::new()),
        }
    }

    /// Since its beginning.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap()
    }

    /// Writes a line.
    pub fn note(&self, mut line: Value) {
        line["at_ms"] = json!(self.now_ms());
        writeln!(self.file.lock().unwrap(), "{line}").unwrap();
    }

    /// Notes the begin of a call, and returns when that was.
    pub fn begin(&self, dataset: &str, kind: &str, tree: Option<&str>) -> u64 {
        let begun_ms = self.now_ms();
        self.note(json!({ "begin": kind, "dataset": dataset, "tree": tree }));
        begun_ms
    }

    /// Notes the end of one.
    pub fn end(&self, call: Call) {
        let mut line = json!({
            "end": call.kind, "dataset": call.dataset, "begun_ms": call.begun_ms, "code": call.code,
        });
        match &call.what {
            What::Push { tree, told } => {
                line["tree"] = json!(tree);
                if let Some(told) = told {
                    line["changeset"] = json!(told.changeset);
                    line["version"] = json!(told.version);
                    line["status"] = json!(told.status);
                }
            }
            What::Pull { version, tree } => {
                line["version"] = json!(version);
                line["tree"] = json!(tree);
            }
            What::Other => {}
        }
        self.note(line);
        self.calls.lock().unwrap().push(call);
    }

    /// Every call that has ended.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }
}

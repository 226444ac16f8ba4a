//! What the catalog says, read from a copy of it, so that looking changes nothing: opening the original would put its log in order
//! before the next process has to.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use n2s_tests::World;
use serde_json::Value;

/// An object on a store: the store's name, the object's, and the digest of its bytes where the catalog has it.
pub type Object = (String, String, Option<String>);

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// What is recorded as being on a store.
    pub completed: BTreeSet<Object>,
    /// Stores and the archives of versions whose every blob is recorded there.
    pub whole: BTreeSet<(String, String)>,
    /// Version, id and status of each committed changeset.
    pub committed: Vec<(u64, String, String)>,
    /// Unfinished jobs.
    pub jobs: u64,
    /// Rows in staging.
    pub staged: u64,
    /// Placements given up.
    pub failed: u64,
}

/// A process that reads catalogs.
#[derive(Debug)]
pub struct Reader {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Reader {
    pub fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("kills/facts.py");
        let mut command = Command::new("python3");
        let mut child =
            command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3 starts");
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, to, from: BufReader::new(from) }
    }

    /// Reads a world's catalog. A home that has none says nothing.
    pub fn read(&mut self, world: &World) -> Facts {
        if !world.path("home/catalog.db").exists() {
            return Facts::default();
        }
        let dir = tempfile::tempdir_in(world.path(".")).unwrap();
        for name in ["catalog.db", "catalog.db-wal"] {
            let from = world.path("home").join(name);
            if from.exists() {
                std::fs::copy(from, dir.path().join(name)).unwrap();
            }
        }
        writeln!(self.to, "{}", dir.path().join("catalog.db").display()).unwrap();
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        parse(&serde_json::from_str(&line).unwrap())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn parse(value: &Value) -> Facts {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let rows = |name: &str| value[name].as_array().unwrap().clone();
    let object = |row: &Value| (text(&row[0]), text(&row[1]), row[2].as_str().map(str::to_owned));
    let changeset = |row: &Value| (row[0].as_u64().unwrap(), text(&row[1]), text(&row[2]));
    Facts {
        completed: rows("completed").iter().map(object).collect(),
        whole: rows("whole").iter().map(|row| (text(&row[0]), text(&row[1]))).collect(),
        committed: rows("committed").iter().map(changeset).collect(),
        jobs: value["jobs"].as_u64().unwrap(),
        staged: value["staged"].as_u64().unwrap(),
        failed: value["failed"].as_u64().unwrap(),
    }
}

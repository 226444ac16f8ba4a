//! What can be wrong with settings. Nothing starts on settings that are wrong in any part.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::origin::Origin;

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration {} cannot be read", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{}:{line}: this is not TOML: {what}", .path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What the parser met.
        what: String,
    },
    /// The settings contradict what is known, or each other: one line per problem.
    #[error("{}", lines(.0))]
    Refused(Vec<Problem>),
    /// The file cannot be replaced; it is as it was.
    #[error("the configuration {} cannot be written; it is as it was", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The backend that is to be added is there.
    #[error("{}:{line}: there is a backend '{name}' already; choose another name, or edit that one", .path.display())]
    BackendExists {
        /// The file.
        path: PathBuf,
        /// Where its table begins.
        line: usize,
        /// Its name.
        name: String,
    },
}

/// One thing that is wrong, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    origin: Origin,
    /// The setting, such as `backends.disk.path`.
    pub key: String,
    /// What is wrong with it and what to do.
    pub what: String,
}

impl Problem {
    pub(crate) fn new(origin: Origin, key: impl Into<String>, what: impl Into<String>) -> Self {
        Self { origin, key: key.into(), what: what.into() }
    }
}

/// `config.toml:12: push.min_copies: …`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.origin, self.key, self.what)
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

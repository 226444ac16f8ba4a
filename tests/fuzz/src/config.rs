//! Settings: a file, variables over it, and a backend added to it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use n2s_config::{BackendKind, Config, ConfigError, NewBackend, add_backend};

use crate::{scratch, split};

static FILE: LazyLock<PathBuf> = LazyLock::new(|| scratch::dir().join("config.toml"));

/// `0` a file and, after a line `--`, variables, one `NAME=VALUE` a line; `1` a file to which a backend is added.
pub fn config(bytes: &[u8]) {
    match split(bytes, 2) {
        (0, bytes) => parse(bytes),
        (_, text) => add(text),
    }
}

fn parse(bytes: &[u8]) {
    let (file, variables) = match bytes.windows(3).position(|part| part == b"--\n") {
        Some(at) => (&bytes[..at], &bytes[at + 3..]),
        None => (bytes, &[][..]),
    };
    let Ok(text) = std::str::from_utf8(file) else { return };
    let os = |bytes: &[u8]| -> OsString { std::ffi::OsStr::from_bytes(bytes).to_owned() };
    let variable = |line: &[u8]| {
        let at = line.iter().position(|byte| *byte == b'=')?;
        Some((os(&line[..at]), os(&line[at + 1..])))
    };
    let variables: Vec<_> = variables.split(|byte| *byte == b'\n').filter_map(variable).collect();
    let read = || Config::parse(Path::new("/c.toml"), text, variables.clone());
    match (read(), read()) {
        (Ok(config), Ok(again)) => {
            assert_eq!(config, again);
            sound(&config);
        }
        (Err(error), Err(again)) => {
            assert_eq!(error.to_string(), again.to_string());
            refused(&error, text);
        }
        _ => panic!("the same settings were accepted once and refused once"),
    }
}

/// What the reference page promises of settings that were accepted.
fn sound(config: &Config) {
    for backend in config.backends.values() {
        match backend.kind {
            BackendKind::Local => assert!(backend.path.is_absolute()),
            BackendKind::S3 => assert!(!backend.s3.bucket.is_empty() && backend.s3.pool_size > 0),
        }
        assert!(backend.timeout() > Duration::ZERO && backend.retry.attempts_max > 0);
        let (fewest, most) = backend.concurrency();
        assert!(0 < fewest && fewest <= most);
    }
    assert!(config.push.min_copies.is_none_or(|copies| copies > 0));
    assert!(config.staging.path.as_ref().is_none_or(|path| path.is_absolute()));
}

/// A refusal says where: a line that the file has.
fn refused(error: &ConfigError, text: &str) {
    match error {
        ConfigError::Refused(problems) => {
            assert!(!problems.is_empty() && problems.iter().all(|problem| !problem.what.is_empty()));
        }
        ConfigError::Syntax { line, what, .. } => {
            assert!(!what.is_empty() && (1..=text.matches('\n').count() + 1).contains(line));
        }
        other => panic!("{other}"),
    }
}

/// All or nothing: what was there stays, byte for byte, and the new backend is there when the answer is yes.
fn add(text: &[u8]) {
    scratch::write(&FILE, text);
    let name = "added".parse().expect("it is a name");
    let added = add_backend(&FILE, &name, NewBackend::Local(Path::new("/some/\"place\n")));
    let now = std::fs::read(&*FILE).expect("it is there");
    if added.is_err() {
        assert!(now == text, "refused, and changed");
        return;
    }
    assert!(now.starts_with(text));
    let now = std::str::from_utf8(&now).expect("it was text");
    match Config::parse(&FILE, now, []) {
        Ok(config) => assert_eq!(config.backends[&name].path, Path::new("/some/\"place\n")),
        // Mistakes that were there before are none of its business.
        Err(ConfigError::Refused(problems)) => {
            assert!(problems.iter().all(|problem| !problem.key.starts_with("backends.added.")));
        }
        Err(error) => panic!("{error}"),
    }
}

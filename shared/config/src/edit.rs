//! Adding to a user's file without touching what is in it.
//!
//! The new table is appended as text. Rejected: parsing, changing and writing the document, which needs another TOML crate
//! to keep comments and would still reformat.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use n2s_domain::BackendName;
use n2s_failpoints::{Point, failpoint};
use toml::{Table, Value};

use crate::config::Config;
use crate::error::{ConfigError, Problem};
use crate::origin::Origin;
use crate::sections::{BackendKind, S3Config};
use crate::tree::Tree;

/// What a new backend is.
#[derive(Clone, Copy, Debug)]
pub enum NewBackend<'a> {
    /// A directory.
    Local(&'a Path),
    /// A bucket, and `timeout_secs` where it is not the default. A secret among the settings is not written: name its file.
    S3(&'a S3Config, Option<u64>),
}

/// Appends `[backends.NAME]` to the file at `path`, which is made (mode 0600) when it is absent; its directory must be there.
///
/// All or nothing, also when two processes do it at once or the power fails: the new file replaces the old one when it is
/// safely on disk. Refused, with the file as it was: a name that is taken, a file that is not TOML, and whatever
/// [`Config::load`] would refuse on account of the new backend. Other mistakes that the file already has do not matter.
pub fn add_backend(path: &Path, name: &BackendName, backend: NewBackend<'_>) -> Result<(), ConfigError> {
    // A link is followed, so that what it points to is replaced and not the link.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let write = |source| ConfigError::Write { path: path.clone(), source };
    let folder = folder_of(path);
    let lock = File::open(&folder).map_err(write)?;
    lock.lock().map_err(write)?;
    let old = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read.map_err(|source| ConfigError::Read { path: path.clone(), source })?,
    };
    refuse_taken(path, &old, name)?;
    let new = appended(&old, name, &keys_of(path, name, backend)?);
    let known = problems(path, &old)?;
    let caused: Vec<Problem> =
        problems(path, &new)?.into_iter().filter(|it| known.iter().all(|old| old.key != it.key)).collect();
    if !caused.is_empty() {
        return Err(ConfigError::Refused(caused));
    }
    replace(path, &folder, new.as_bytes()).map_err(write)
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn refuse_taken(path: &Path, old: &str, name: &BackendName) -> Result<(), ConfigError> {
    let tree = Tree::parse(path, old)?;
    let taken = tree.values.get("backends").and_then(|backends| backends.get(name.as_str())).is_some();
    let origin = tree.origin(&format!("backends.{name}"));
    match origin {
        Origin::File(path, line) if taken => {
            Err(ConfigError::BackendExists { path, line, name: name.to_string() })
        }
        _ => Ok(()),
    }
}

/// What is wrong with the text, variables left aside.
fn problems(path: &Path, text: &str) -> Result<Vec<Problem>, ConfigError> {
    match Config::parse(path, text, []) {
        Ok(_) => Ok(Vec::new()),
        Err(ConfigError::Refused(problems)) => Ok(problems),
        Err(error) => Err(error),
    }
}

/// The keys to write, without those that are as by default.
fn keys_of(
    path: &Path,
    name: &BackendName,
    backend: NewBackend<'_>,
) -> Result<Vec<(&'static str, Value)>, ConfigError> {
    // TOML is Unicode, so a path whose name is not cannot be written down.
    let refuse = |key: &str| {
        let what = "the name is not UTF-8, which this file cannot hold; use a link with another name";
        let origin = Origin::File(path.to_owned(), 1);
        ConfigError::Refused(vec![Problem::new(origin, format!("backends.{name}.{key}"), what)])
    };
    match backend {
        NewBackend::Local(directory) => {
            let directory = directory.to_str().ok_or_else(|| refuse("path"))?;
            Ok(vec![("kind", BackendKind::Local.as_str().into()), ("path", directory.into())])
        }
        NewBackend::S3(s3, timeout_secs) => {
            let mut values = Table::try_from(s3).map_err(|_| refuse("secret_access_key_file"))?;
            let mut keys = vec![("kind", BackendKind::S3.as_str().into())];
            for key in S3Config::SECTION.keys {
                keys.extend(
                    values
                        .remove(key.name)
                        .filter(|set| (key.default)().as_ref() != Some(set))
                        .map(|set| (key.name, set)),
                );
            }
            keys.extend(
                timeout_secs.and_then(|secs| Some(("timeout_secs", i64::try_from(secs).ok()?.into()))),
            );
            Ok(keys)
        }
    }
}

fn appended(old: &str, name: &BackendName, keys: &[(&'static str, Value)]) -> String {
    let mut text = old.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    if !text.is_empty() {
        text.push('\n');
    }
    let _ = writeln!(text, "[backends.{name}]");
    for (key, value) in keys {
        let _ = writeln!(text, "{key} = {value}");
    }
    text
}

fn replace(path: &Path, folder: &Path, bytes: &[u8]) -> io::Result<()> {
    let mode = fs::metadata(path).map_or(0o600, |metadata| metadata.permissions().mode() & 0o7777);
    let mut temporary = path.as_os_str().to_owned();
    // One writer at a time holds the directory's lock: a file of that name is the rest of a crash.
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let _ = fs::remove_file(&temporary);
    let written =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary).and_then(|mut file| {
            file.write_all(bytes)?;
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            file.sync_all()?;
            failpoint(Point::ConfigWritten);
            Ok(())
        });
    if let Err(error) = written.and_then(|()| fs::rename(&temporary, path)) {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    File::open(folder)?.sync_all()
}

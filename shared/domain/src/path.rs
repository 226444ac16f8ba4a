//! Paths as bytes, relative to a dataset's root.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::limits::PATH_BYTES_MAX;

/// A path below a dataset's root: any bytes but NUL, components separated by one `/`, none of them empty, `.` or `..`.
/// The empty path is the root itself. Ordered by its bytes.
///
/// A value of this type can therefore never name something outside the directory it is joined to; every path that comes
/// from a catalog, a manifest or the network becomes one before it is used.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(Vec<u8>);

/// A path that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path '{path}' cannot be used: {why}")]
pub struct InvalidPath {
    /// What was given, escaped.
    pub path: String,
    /// The rule it breaks.
    pub why: &'static str,
}

impl RelPath {
    /// The root of the dataset.
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// Checks and takes `bytes`.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, InvalidPath> {
        let bytes = bytes.into();
        match Self::check(&bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(why) => Err(InvalidPath { path: escape(&bytes), why }),
        }
    }

    fn check(bytes: &[u8]) -> Result<(), &'static str> {
        if bytes.is_empty() {
            return Ok(());
        }
        if bytes.len() > PATH_BYTES_MAX {
            return Err("it is longer than 64 KiB");
        }
        if bytes.contains(&0) {
            return Err("it has a NUL byte");
        }
        for component in bytes.split(|&b| b == b'/') {
            match component {
                b"" => return Err("it is absolute, or has an empty component"),
                b"." | b".." => return Err("it has a '.' or '..' component"),
                _ => {}
            }
        }
        Ok(())
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the root itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// This path with one more component.
    pub fn join(&self, name: &[u8]) -> Result<Self, InvalidPath> {
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + name.len());
        bytes.extend_from_slice(&self.0);
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        Self::new(bytes)
    }

    /// The directory that holds this path; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.0.is_empty() {
            return None;
        }
        Some(Self(self.0.iter().rposition(|&b| b == b'/').map_or_else(Vec::new, |at| self.0[..at].to_vec())))
    }

    /// The last component; empty for the root.
    pub fn file_name(&self) -> &[u8] {
        self.0.rsplit(|&b| b == b'/').next().unwrap_or_default()
    }

    /// The components from the root down; none for the root.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|&b| b == b'/').filter(|component| !component.is_empty())
    }

    /// Whether this path is `other` or lies below it.
    pub fn is_within(&self, other: &Self) -> bool {
        other.is_root()
            || self.0 == other.0
            || (self.0.len() > other.0.len() && self.0.starts_with(&other.0) && self.0[other.0.len()] == b'/')
    }

    /// The documented text form: UTF-8 as it is, except that `\`, control characters and every byte that is not part of
    /// valid UTF-8 become `\xNN`. Different paths have different texts.
    pub fn to_text(&self) -> String {
        escape(&self.0)
    }

    /// Reads the text form.
    pub fn from_text(text: &str) -> Result<Self, InvalidPath> {
        let bytes = unescape(text).ok_or_else(|| InvalidPath {
            path: text.escape_debug().to_string(),
            why: "it has a '\\' that is not of the form \\xNN",
        })?;
        Self::new(bytes)
    }
}

/// Bytes to the text form of [`RelPath::to_text`]; used for symlink targets as well.
pub fn escape(bytes: &[u8]) -> String {
    use fmt::Write as _;
    let mut text = String::with_capacity(bytes.len());
    let byte =
        |text: &mut String, b: u8| write!(text, "\\x{b:02x}").expect("writing to a String cannot fail");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '\\' || c.is_control() {
                c.encode_utf8(&mut [0; 4]).bytes().for_each(|b| byte(&mut text, b));
            } else {
                text.push(c);
            }
        }
        chunk.invalid().iter().for_each(|&b| byte(&mut text, b));
    }
    text
}

/// The text form back to bytes; `None` when a backslash does not begin `\xNN`.
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'\\' {
            let hex = tail.strip_prefix(b"x").and_then(|hex| hex.get(..2))?;
            bytes.push(*data_encoding::HEXLOWER.decode(hex).ok()?.first()?);
            rest = &tail[3..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    Some(bytes)
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "." } else { return f.write_str(&escape(&self.0)) })
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RelPath({})", escape(&self.0))
    }
}

impl Serialize for RelPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&escape(&self.0))
    }
}

impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_text(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_whatever_could_leave_the_root() {
        for bad in ["/etc", "..", "a/../b", "a//b", "a/", "./a", "a\0b"] {
            assert!(RelPath::new(bad).is_err(), "{bad:?} was accepted");
        }
        for good in ["", "a", "a/b", "...", "a/..b", "line\nbreak"] {
            assert!(RelPath::new(good).is_ok(), "{good:?} was refused");
        }
    }

    #[test]
    fn knows_parents_names_and_what_lies_below() {
        let path = RelPath::new("a/b/c").unwrap();
        assert_eq!(path.parent().unwrap().as_bytes(), b"a/b");
        assert_eq!(path.file_name(), b"c");
        assert_eq!(RelPath::new("a").unwrap().parent(), Some(RelPath::root()));
        assert!(path.is_within(&RelPath::new("a/b").unwrap()));
        assert!(!RelPath::new("a/bc").unwrap().is_within(&RelPath::new("a/b").unwrap()));
        assert!(path.is_within(&RelPath::root()));
    }

    #[test]
    fn text_keeps_accents_and_escapes_the_rest() {
        assert_eq!(escape("é\\\n".as_bytes()), "é\\x5c\\x0a");
        assert_eq!(escape(b"a\xffb"), "a\\xffb");
        assert_eq!(unescape("\\x5"), None);
        assert_eq!(unescape("\\n"), None);
    }

    proptest! {
        #[test]
        fn text_round_trips_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(unescape(&escape(&bytes)), Some(bytes));
        }

        #[test]
        fn whatever_is_a_path_comes_back_and_stays_below_its_root(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), proptest::sample::select(b"/.\\x".to_vec())], 0..40),
            text in "[a/.\\\\x0-9\u{e9}\n]{0,20}"
        ) {
            use std::os::unix::ffi::OsStrExt as _;
            use std::path::{Component, Path};
            for path in RelPath::new(bytes).into_iter().chain(RelPath::from_text(&text)) {
                prop_assert_eq!(RelPath::from_text(&path.to_text()), Ok(path.clone()));
                let json = serde_json::to_string(&path).unwrap();
                prop_assert_eq!(serde_json::from_str::<RelPath>(&json).unwrap(), path.clone());
                let parts = Path::new(std::ffi::OsStr::from_bytes(path.as_bytes())).components();
                prop_assert!(parts.into_iter().all(|part| matches!(part, Component::Normal(_))), "{:?}", path);
                if let Some(parent) = path.parent() {
                    prop_assert!(path.is_within(&parent) && !parent.is_within(&path));
                    prop_assert_eq!(parent.join(path.file_name()), Ok(path));
                }
            }
        }
    }
}

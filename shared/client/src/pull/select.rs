//! Which paths a pull wants.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use n2s_domain::RelPath;

use super::options::PullError;

/// A selection of paths.
#[derive(Debug)]
pub(super) struct Selection(Option<GlobSet>);

impl Selection {
    pub(super) fn new(globs: &[String]) -> Result<Self, PullError> {
        if globs.is_empty() {
            return Ok(Self(None));
        }
        let mut set = GlobSetBuilder::new();
        for glob in globs {
            let bad = |source| PullError::Glob { glob: glob.clone(), source };
            let text = glob.strip_prefix("./").unwrap_or(glob).trim_end_matches('/');
            set.add(GlobBuilder::new(text).literal_separator(true).build().map_err(bad)?);
        }
        let bad = |source| PullError::Glob { glob: globs.join(" "), source };
        Ok(Self(Some(set.build().map_err(bad)?)))
    }

    /// Whether the path or a directory above it matches.
    pub(super) fn wants(&self, path: &RelPath) -> bool {
        let Some(set) = &self.0 else { return true };
        let mut at = Some(path.clone());
        while let Some(path) = at.filter(|path| !path.is_root()) {
            if set.is_match(OsStr::from_bytes(path.as_bytes())) {
                return true;
            }
            at = path.parent();
        }
        false
    }

    /// Whether everything is wanted.
    pub(super) fn is_all(&self) -> bool {
        self.0.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_brings_what_is_below_it() {
        let wants = |glob: &str, path: &str| {
            Selection::new(&[glob.to_owned()]).unwrap().wants(&RelPath::new(path).unwrap())
        };
        assert!(
            wants("a", "a/b/c")
                && wants("a/*.txt", "a/x.txt")
                && wants("**/x.txt", "a/b/x.txt")
                && wants("a/", "a")
        );
        assert!(!wants("a", "ab") && !wants("*.txt", "a/x.txt") && !wants("a/b", "a"));
        assert!(Selection::new(&["[".to_owned()]).is_err());
    }
}

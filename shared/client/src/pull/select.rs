//! Which paths a pull wants.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use n2s_domain::{PathSpan, RelPath};

use super::options::PullError;

/// A selection of paths.
#[derive(Debug)]
pub struct Selection {
    set: Option<GlobSet>,
    spans: Vec<PathSpan>,
}

impl Selection {
    /// What matches one of `globs`; everything when there is none.
    pub fn new(globs: &[String]) -> Result<Self, PullError> {
        if globs.is_empty() {
            return Ok(Self { set: None, spans: vec![PathSpan::Everything] });
        }
        let mut set = GlobSetBuilder::new();
        let mut spans = Vec::new();
        for glob in globs {
            let bad = |source| PullError::Glob { glob: glob.clone(), source };
            let text = glob.strip_prefix("./").unwrap_or(glob).trim_end_matches('/');
            spans.extend(spans_of(text));
            set.add(GlobBuilder::new(text).literal_separator(true).build().map_err(bad)?);
        }
        let bad = |source| PullError::Glob { glob: globs.join(" "), source };
        Ok(Self { set: Some(set.build().map_err(bad)?), spans: PathSpan::tidy(spans) })
    }

    /// Whether the path or a directory above it matches.
    pub fn wants(&self, path: &RelPath) -> bool {
        let Some(set) = &self.set else { return true };
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
    pub fn is_all(&self) -> bool {
        self.set.is_none()
    }

    /// The parts of the tree that can hold what is wanted, so that one file of millions costs one look.
    pub fn spans(&self) -> &[PathSpan] {
        &self.spans
    }
}

/// Where a glob can match: from its last directory before anything special.
fn spans_of(glob: &str) -> Vec<PathSpan> {
    let special = glob.find(['*', '?', '[', '{', '\\']);
    let certain = special.map_or(Some(glob), |at| glob[..at].rfind('/').map(|slash| &glob[..slash]));
    let path = certain.and_then(|certain| RelPath::new(certain).ok());
    match (path, special) {
        (None, _) => vec![PathSpan::Everything],
        (Some(path), None) => vec![PathSpan::At(path.clone()), PathSpan::Below(path)],
        (Some(dir), Some(_)) => vec![PathSpan::Below(dir)],
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

    #[test]
    fn looks_only_where_a_glob_can_match() {
        let spans = |glob: &str| Selection::new(&[glob.to_owned()]).unwrap().spans().to_vec();
        let path = |text: &str| RelPath::new(text).unwrap();
        assert_eq!(spans("a/b"), [PathSpan::At(path("a/b")), PathSpan::Below(path("a/b"))]);
        assert_eq!(spans("a/b/x*/c"), [PathSpan::Below(path("a/b"))]);
        assert_eq!(spans("*.txt"), [PathSpan::Everything]);
    }
}

//! What a walk leaves out: `--exclude` patterns, `.n2signore` files, tagged caches.
//!
//! Patterns are those of `.gitignore`, relative to the directory that holds the file; deeper files win over shallower
//! ones, and all of them over `--exclude`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use ::ignore::Match;
use ::ignore::gitignore::{Gitignore, GitignoreBuilder};
use n2s_domain::RelPath;

/// The name of the files that hold patterns.
pub const IGNORE_FILE: &[u8] = b".n2signore";
/// A directory holding a file of this name that begins with [`CACHE_SIGNATURE`] is a cache: it is kept, its contents are not.
pub const CACHE_TAG: &[u8] = b"CACHEDIR.TAG";
/// See [`CACHE_TAG`]; the specification is at <https://bford.info/cachedir/>.
pub const CACHE_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// A pattern that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the pattern '{pattern}' in {place} cannot be used")]
pub struct InvalidPattern {
    /// The pattern.
    pub pattern: String,
    /// `--exclude`, or the file and line.
    pub place: String,
    /// What is wrong with it.
    #[source]
    pub source: ::ignore::Error,
}

/// A chain of patterns, from one directory up to the root. Cheap to share between threads.
#[derive(Clone, Debug, Default)]
pub struct Excludes(Option<Arc<Level>>);

#[derive(Debug)]
struct Level {
    above: Excludes,
    dir: RelPath,
    patterns: Gitignore,
}

impl Excludes {
    /// The patterns of `--exclude`.
    pub fn from_patterns(patterns: &[String]) -> Result<Self, InvalidPattern> {
        let lines = patterns.iter().map(String::as_str);
        Self::default().with(&RelPath::root(), lines, "--exclude")
    }

    /// Adds what an ignore file in `dir` says. Text that is not UTF-8 is read as far as it is.
    pub fn below(&self, dir: &RelPath, file: &[u8]) -> Result<Self, InvalidPattern> {
        let text = String::from_utf8_lossy(file);
        let place = format!("{dir}/{}", String::from_utf8_lossy(IGNORE_FILE));
        self.with(dir, text.lines(), &place)
    }

    fn with<'a>(
        &self,
        dir: &RelPath,
        lines: impl Iterator<Item = &'a str>,
        place: &str,
    ) -> Result<Self, InvalidPattern> {
        let mut builder = GitignoreBuilder::new("");
        let bad = |pattern: &str, source| InvalidPattern {
            pattern: pattern.to_owned(),
            place: place.to_owned(),
            source,
        };
        for line in lines {
            builder.add_line(None, line).map_err(|source| bad(line, source))?;
        }
        let patterns = builder.build().map_err(|source| bad("", source))?;
        if patterns.is_empty() {
            return Ok(self.clone());
        }
        Ok(Self(Some(Arc::new(Level { above: self.clone(), dir: dir.clone(), patterns }))))
    }

    /// Whether `path`, whose parents are not excluded, is.
    pub fn exclude(&self, path: &RelPath, is_dir: bool) -> bool {
        let mut level = self.0.as_deref();
        while let Some(at) = level {
            let skip = if at.dir.is_root() { 0 } else { at.dir.as_bytes().len() + 1 };
            let relative = Path::new(OsStr::from_bytes(path.as_bytes().get(skip..).unwrap_or_default()));
            match at.patterns.matched(relative, is_dir) {
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
                Match::None => level = at.above.0.as_deref(),
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deeper_files_win_and_patterns_are_relative_to_their_directory() {
        let path = |text: &str| RelPath::new(text).unwrap();
        let top = Excludes::from_patterns(&["*.tmp".into(), "/build/".into()]).unwrap();
        let deep = top.below(&path("a"), b"!keep.tmp\n/only-here\n").unwrap();
        assert!(top.exclude(&path("a/x.tmp"), false));
        assert!(top.exclude(&path("build"), true) && !top.exclude(&path("a/build"), true));
        assert!(!deep.exclude(&path("a/keep.tmp"), false));
        assert!(deep.exclude(&path("a/only-here"), false) && !deep.exclude(&path("a/b/only-here"), false));
        assert!(deep.exclude(&path("a/b/y.tmp"), false));
    }
}

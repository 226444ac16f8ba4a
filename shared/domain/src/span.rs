//! Contiguous pieces of a tree in path order.

use crate::path::RelPath;

/// A set of paths that lie together in byte order, so that an index finds them without looking at others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathSpan {
    /// Every path, the root included.
    Everything,
    /// One path.
    At(RelPath),
    /// What lies below a directory, without the directory itself.
    Below(RelPath),
}

impl PathSpan {
    /// The first byte string in the span, and the first after it; `None` where it goes to the end.
    pub fn bounds(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        match self {
            Self::Everything => (Vec::new(), None),
            Self::At(path) => (path.as_bytes().to_vec(), Some(next(path.as_bytes()))),
            Self::Below(root) if root.is_root() => (next(b""), None),
            Self::Below(dir) => {
                let with = |end: &[u8]| [dir.as_bytes(), end].concat();
                // '0' is the byte after '/'.
                (with(b"/"), Some(with(b"0")))
            }
        }
    }

    /// The same bounds for what comes after `path`.
    pub fn bounds_after(&self, path: Option<&RelPath>) -> (Vec<u8>, Option<Vec<u8>>) {
        let (from, to) = self.bounds();
        (path.map_or_else(|| from.clone(), |path| next(path.as_bytes()).max(from.clone())), to)
    }

    /// Whether the path belongs to it.
    pub fn holds(&self, path: &RelPath) -> bool {
        match self {
            Self::Everything => true,
            Self::At(at) => at == path,
            Self::Below(dir) => path != dir && path.is_within(dir),
        }
    }

    /// The fewest spans that hold what all of `spans` hold, in path order.
    pub fn tidy(mut spans: Vec<Self>) -> Vec<Self> {
        spans.sort_by_cached_key(|span| (span.bounds().0, !matches!(span, Self::Everything)));
        let mut tidy: Vec<Self> = Vec::new();
        let mut end: Option<Vec<u8>> = Some(Vec::new());
        for span in spans {
            let (from, to) = span.bounds();
            let covered = end.as_ref().is_none_or(|end| to.as_ref().is_some_and(|to| to <= end));
            if !covered {
                debug_assert!(end.as_ref().is_none_or(|end| *end <= from), "spans nest or lie apart");
                end = to;
                tidy.push(span);
            }
        }
        tidy
    }
}

/// The byte string right after this one.
fn next(bytes: &[u8]) -> Vec<u8> {
    [bytes, &[0]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).unwrap()
    }

    #[test]
    fn bounds_hold_exactly_what_the_span_holds() {
        let paths = ["", "a", "a-b", "a.b", "a/b", "a/b/c", "a0", "ab", "b", "\u{ff}"].map(path);
        let spans = [
            PathSpan::Everything,
            PathSpan::At(path("a")),
            PathSpan::At(path("")),
            PathSpan::Below(path("a")),
            PathSpan::Below(path("")),
        ];
        for span in &spans {
            for path in &paths {
                let (from, to) = span.bounds();
                let within = path.as_bytes() >= &from[..] && to.is_none_or(|to| path.as_bytes() < &to[..]);
                assert_eq!(within, span.holds(path), "{span:?} {path}");
            }
        }
    }

    #[test]
    fn tidy_drops_what_another_span_holds() {
        let (at, below) = (|p| PathSpan::At(path(p)), |p| PathSpan::Below(path(p)));
        let spans =
            vec![below("b/c"), at("a-b"), below("a"), at("b"), below("b"), at("a"), at("a"), at("a/x")];
        assert_eq!(PathSpan::tidy(spans), [at("a"), at("a-b"), below("a"), at("b"), below("b")]);
        assert_eq!(PathSpan::tidy(vec![at(""), PathSpan::Everything, below("")]), [PathSpan::Everything]);
    }
}

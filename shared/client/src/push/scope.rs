//! Which paths a push is about.

use n2s_domain::{PathSpan, RelPath};

use super::options::Source;
use crate::tree::{Root, WalkOptions, Walked, walk_named};

/// Which known paths count as gone when the walk does not meet them.
#[derive(Clone, Debug)]
pub(super) enum Scope {
    /// All.
    Everything,
    /// Those at or below one of these.
    Below(Vec<RelPath>),
}

impl Scope {
    pub(super) fn holds(&self, path: &RelPath) -> bool {
        match self {
            Self::Everything => true,
            Self::Below(named) => named.iter().any(|named| path.is_within(named)),
        }
    }

    /// The scope of a push, and where what is known of it lies.
    pub(super) fn of(root: &Root, source: &Source) -> (Self, Vec<PathSpan>) {
        let (named, deep) = match source {
            Source::Tree => return (Self::Everything, vec![PathSpan::Everything]),
            Source::Below(named) => (named, true),
            Source::Paths(named) => (named, false),
        };
        let (mut scope, mut spans) = (Vec::new(), Vec::new());
        for path in named {
            let mut at = Some(path.clone());
            while let Some(above) = at {
                let whole = deep && above == *path;
                // Where no directory is any more, nothing can be below.
                if whole || !is_directory(root, &above) {
                    scope.push(above.clone());
                    spans.push(PathSpan::Below(above.clone()));
                }
                spans.push(PathSpan::At(above.clone()));
                at = above.parent();
            }
        }
        (Self::Below(scope), PathSpan::tidy(spans))
    }
}

fn is_directory(root: &Root, path: &RelPath) -> bool {
    let mut directory = false;
    let look = |walked: Walked| {
        if let Walked::Entry { path: met, stat, .. } = walked {
            directory |= met == *path && stat.kind == crate::tree::Kind::Directory;
        }
        true
    };
    // A directory that cannot be looked at counts as there: nothing is removed for want of a permission.
    walk_named(root, std::slice::from_ref(path), false, &WalkOptions::default(), look).is_err() || directory
}

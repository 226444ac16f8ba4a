//! Paths and their text form.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};

use n2s_domain::path::{escape, unescape};
use n2s_domain::{PathSpan, RelPath};

use crate::split;

/// `0` bytes of a name; `1` a text that may be one; `2` two paths, a NUL between them.
pub fn path(bytes: &[u8]) {
    match split(bytes, 3) {
        (0, name) => {
            let text = escape(name);
            assert!(!text.chars().any(char::is_control));
            assert_eq!(unescape(&text).as_deref(), Some(name));
            if let Ok(path) = RelPath::new(name) {
                usable(&path);
            }
        }
        (1, text) => {
            let Ok(text) = std::str::from_utf8(text) else { return };
            if let Some(meant) = unescape(text) {
                assert_eq!(unescape(&escape(&meant)), Some(meant));
            }
            let json = serde_json::from_slice::<RelPath>(text.as_bytes());
            RelPath::from_text(text).into_iter().chain(json).for_each(|path| usable(&path));
        }
        (_, pair) => {
            let mut paths = pair.split(|byte| *byte == 0).filter_map(|bytes| RelPath::new(bytes).ok());
            if let (Some(one), Some(two)) = (paths.next(), paths.next()) {
                spans(&one, &two);
            }
        }
    }
}

fn usable(path: &RelPath) {
    let parts = Path::new(std::ffi::OsStr::from_bytes(path.as_bytes())).components();
    assert!(parts.into_iter().all(|part| matches!(part, Component::Normal(_))), "{path:?} leaves its root");
    assert_eq!(RelPath::from_text(&path.to_text()).as_ref(), Ok(path));
    let json = serde_json::to_string(path).expect("a text is JSON");
    assert_eq!(&serde_json::from_str::<RelPath>(&json).expect("it was just written"), path);
    if let Some(parent) = path.parent() {
        assert_eq!(parent.join(path.file_name()).as_ref(), Ok(path));
        assert!(path.is_within(&parent) && !parent.is_within(path));
        assert_eq!(parent.components().count() + 1, path.components().count());
    }
}

/// The bounds that queries use hold exactly what the span holds.
fn spans(span: &RelPath, path: &RelPath) {
    for span in [PathSpan::At(span.clone()), PathSpan::Below(span.clone()), PathSpan::Everything] {
        let (from, to) = span.bounds();
        let within = path.as_bytes() >= &from[..] && to.is_none_or(|to| path.as_bytes() < &to[..]);
        assert_eq!(within, span.holds(path), "{span:?} {path:?}");
        let (after, _) = span.bounds_after(Some(path));
        assert!(after.as_slice() > path.as_bytes() && after >= from);
    }
}

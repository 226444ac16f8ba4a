//! What a section is, written once: the struct that code uses, the defaults, the keys that a file may hold, and the words of the
//! reference page all come from one `section!`.
//!
//! Rejected: a derive macro, which is a crate of its own to keep; and a table beside the structs, which needs a test to
//! notice that the two differ.

use std::path::PathBuf;

use toml::Value;

use crate::sections::{BackendKind, DatabaseUrl, RetryConfig};

/// A table of the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section {
    /// `push`, or `backends.NAME.retry`.
    pub(crate) path: &'static str,
    /// What it is about.
    pub(crate) about: &'static [&'static str],
    /// Its keys.
    pub(crate) keys: &'static [Key],
}

/// A key of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    /// The type in words; empty for a section of its own.
    pub(crate) shape: &'static str,
    pub(crate) docs: &'static [&'static str],
    /// `None` when it is unset by default.
    pub(crate) default: fn() -> Option<Value>,
    /// Whether a value has the key's type, and if not, why.
    pub(crate) check: fn(&Value) -> Result<(), String>,
}

impl Section {
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// A type that a key can have, in words.
pub(crate) trait Shape {
    const SHAPE: &'static str;
}

impl Shape for u32 {
    const SHAPE: &'static str = "a whole number";
}
impl Shape for u64 {
    const SHAPE: &'static str = "a whole number";
}
impl Shape for PathBuf {
    const SHAPE: &'static str = "an absolute path";
}
impl Shape for BackendKind {
    const SHAPE: &'static str = "`\"local\"`";
}
impl Shape for DatabaseUrl {
    const SHAPE: &'static str = "an address";
}
impl Shape for RetryConfig {
    const SHAPE: &'static str = "";
}
impl<T: Shape> Shape for Option<T> {
    const SHAPE: &'static str = T::SHAPE;
}

/// Declares a section: `/// about`, then `Name at "path" { /// docs  key: Type = default, … }`.
macro_rules! section {
    ($(#[doc = $about:literal])+ $name:ident at $path:literal {
        $($(#[doc = $doc:literal])+ $key:ident: $kind:ty = $default:expr,)+
    }) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[doc = $doc])+ pub $key: $kind,)+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)+ }
            }
        }

        impl $name {
            pub(crate) const SECTION: $crate::schema::Section = $crate::schema::Section {
                path: $path,
                about: &[$($about),+],
                keys: &[$($crate::schema::Key {
                    name: stringify!($key),
                    shape: <$kind as $crate::schema::Shape>::SHAPE,
                    docs: &[$($doc),+],
                    default: || {
                        let default: $kind = $default;
                        toml::Value::try_from(&default).ok()
                    },
                    check: |value| {
                        let read = <$kind as serde::Deserialize>::deserialize(value.clone());
                        read.map(drop).map_err(|error: toml::de::Error| error.message().to_owned())
                    },
                }),+],
            };
        }
    };
}

pub(crate) use section;

//! What a section is, written once: the struct that code uses, the defaults, the keys that a file may hold, and the words of the
//! reference page all come from one `section!`.
//!
//! Rejected: a derive macro, which is a crate of its own to keep; and a table beside the structs, which needs a test to
//! notice that the two differ.

use std::path::PathBuf;

use toml::Value;

use crate::secret::Secret;
use crate::sections::{BackendKind, DatabaseUrl, RetryConfig, S3Config, StagingKind};

/// A table of the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section {
    /// `push`, or `backends.NAME.retry`.
    pub(crate) path: &'static str,
    /// What it is about.
    pub(crate) about: &'static [&'static str],
    /// Its keys.
    pub(crate) keys: &'static [Key],
    /// A section whose keys stand among these.
    pub(crate) with: Option<&'static Section>,
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
        self.all_keys().find(|key| key.name == name)
    }

    /// Its keys and those that stand among them.
    pub(crate) fn all_keys(&self) -> impl Iterator<Item = &'static Key> + Clone {
        self.keys.iter().chain(self.with.map_or(&[][..], |with| with.keys))
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
impl Shape for bool {
    const SHAPE: &'static str = "`true` or `false`";
}
impl Shape for String {
    const SHAPE: &'static str = "text";
}
impl Shape for Secret {
    const SHAPE: &'static str = "text, shown nowhere";
}
impl Shape for PathBuf {
    const SHAPE: &'static str = "an absolute path";
}
impl Shape for BackendKind {
    const SHAPE: &'static str = "`\"local\"` or `\"s3\"`";
}
impl Shape for StagingKind {
    const SHAPE: &'static str = "`\"local\"` or `\"s3\"`";
}
impl Shape for S3Config {
    const SHAPE: &'static str = "";
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

/// Declares a section: `/// about`, then `Name at "path" { /// docs  key: Type = default, … }`. With `with name: Section` before
/// the brace, the keys of that section stand among its own, as the field `name`. Unknown keys are refused by `keys`: serde cannot do
/// both.
macro_rules! section {
    ($(#[doc = $about:literal])+ $name:ident at $path:literal $(with $inner:ident: $with:ty)? {
        $($(#[doc = $doc:literal])+ $key:ident: $kind:ty = $default:expr,)+
    }) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        pub struct $name {
            $($(#[doc = $doc])+ pub $key: $kind,)+
            $(
                /// The settings of that kind.
                #[serde(flatten)]
                pub $inner: $with,
            )?
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)+ $($inner: <$with>::default(),)? }
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
                with: $crate::schema::section!(@with $($with)?),
            };
        }
    };
    (@with) => { None };
    (@with $with:ty) => { Some(&<$with>::SECTION) };
}

pub(crate) use section;

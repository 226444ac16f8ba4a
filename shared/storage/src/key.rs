//! Names of objects.

use std::fmt;

/// An object's name on a store, below its prefix: components of `[A-Za-z0-9._-]` joined by `/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(String);

/// A name that no object may have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' cannot name an object")]
pub struct InvalidKey(pub String);

impl ObjectKey {
    /// Checks and takes `name`.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidKey> {
        let name = name.into();
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let component = |c: &str| !c.is_empty() && c != "." && c != ".." && c.bytes().all(plain);
        if name.len() <= 512 && name.split('/').all(component) {
            Ok(Self(name))
        } else {
            Err(InvalidKey(name))
        }
    }

    /// For names made of hex digits and literals.
    pub(crate) fn known(name: String) -> Self {
        debug_assert!(Self::new(name.as_str()).is_ok(), "{name}");
        Self(name)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectKey({})", self.0)
    }
}

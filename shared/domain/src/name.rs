//! Names people give: projects, datasets, backends.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::NAME_BYTES_MAX;

/// A name that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {what} name '{name}' cannot be used: {why}")]
pub struct InvalidName {
    /// `project`, `dataset` or `backend`.
    pub what: &'static str,
    /// What was given, control characters escaped.
    pub name: String,
    /// The rule it breaks.
    pub why: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                match $check(text) {
                    Ok(()) => Ok(Self(text.to_owned())),
                    Err(why) => Err(InvalidName { what: $what, name: text.escape_debug().to_string(), why }),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

name!(
    /// Dedup and access end at a project. Any printable text without surrounding blanks.
    ProjectName, "project", check_label
);
name!(
    /// What versions accumulate under, such as `BB` or `tank/home`.
    DatasetName, "dataset", check_label
);
name!(
    /// A configured store. Lower-case letters, digits, `-` and `_`, because it names configuration keys and queues.
    BackendName, "backend", check_backend
);

fn check_label(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        Err("it is empty")
    } else if text.len() > NAME_BYTES_MAX {
        Err("it is longer than 200 bytes")
    } else if text.chars().any(char::is_control) {
        Err("it has a control character")
    } else if text.trim() != text {
        Err("it begins or ends with a blank")
    } else {
        Ok(())
    }
}

fn check_backend(text: &str) -> Result<(), &'static str> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if text.is_empty() || text.len() > 40 {
        Err("it needs 1 to 40 characters")
    } else if !text.chars().all(plain) {
        Err("only a-z, 0-9, '-' and '_' are allowed")
    } else if text.starts_with(['-', '_']) || text.contains("__") {
        Err("it must begin with a letter or digit and hold no '__'")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_wrong() {
        assert!("tank/home".parse::<DatasetName>().is_ok());
        assert!("Éléonore".parse::<ProjectName>().is_ok());
        let error = "Disk 1".parse::<BackendName>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the backend name 'Disk 1' cannot be used: only a-z, 0-9, '-' and '_' are allowed"
        );
        assert!(" x".parse::<ProjectName>().is_err());
        assert!("a\nb".parse::<ProjectName>().is_err());
        assert!("".parse::<DatasetName>().is_err());
    }
}

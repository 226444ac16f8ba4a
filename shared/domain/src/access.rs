//! Who may do what: the scopes a token carries, and the projects it carries them in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::ProjectName;

/// A kind of thing a token lets its holder do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Push, and read what pushing needs: the last version's entries and the changesets' progress.
    Push,
    /// List, search and pull.
    Pull,
    /// See what failed and why; retry, cancel; with all projects also pause and resume stores.
    Operate,
    /// Make and revoke tokens. Whoever can do that can do everything, so it holds the others.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::Push, Self::Pull, Self::Operate, Self::Admin];

    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Pull => "pull",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        known.ok_or_else(|| format!("'{text}' is not a scope; there are: push, pull, operate, admin"))
    }
}

/// What a token lets its holder do, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    /// What.
    pub scopes: Vec<Scope>,
    /// Where; `None` is every project, those to come included.
    pub projects: Option<Vec<ProjectName>>,
}

impl Grants {
    /// Whether one of `scopes`, or admin, is granted at all.
    fn any_of(&self, scopes: &[Scope]) -> bool {
        self.scopes.iter().any(|scope| *scope == Scope::Admin || scopes.contains(scope))
    }

    /// Whether one of `scopes` is granted in `project`.
    pub fn allow(&self, scopes: &[Scope], project: &ProjectName) -> bool {
        self.any_of(scopes) && self.projects.as_ref().is_none_or(|projects| projects.contains(project))
    }

    /// Whether one of `scopes` is granted in every project.
    pub fn allow_everywhere(&self, scopes: &[Scope]) -> bool {
        self.any_of(scopes) && self.projects.is_none()
    }

    /// Whether one of `scopes` is granted in some project.
    pub fn allow_somewhere(&self, scopes: &[Scope]) -> bool {
        self.any_of(scopes) && self.projects.as_ref().is_none_or(|projects| !projects.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(name: &str) -> ProjectName {
        name.parse().unwrap()
    }

    #[test]
    fn a_grant_ends_at_its_scopes_and_projects() {
        let here = Grants { scopes: vec![Scope::Push], projects: Some(vec![project("p")]) };
        assert!(here.allow(&[Scope::Push, Scope::Pull], &project("p")));
        assert!(!here.allow(&[Scope::Push], &project("q")));
        assert!(!here.allow(&[Scope::Pull], &project("p")));
        assert!(!here.allow_everywhere(&[Scope::Push]));
        assert!(here.allow_somewhere(&[Scope::Push]));
        let nowhere = Grants { scopes: vec![Scope::Push], projects: Some(Vec::new()) };
        assert!(!nowhere.allow_somewhere(&[Scope::Push]));
    }

    #[test]
    fn admin_holds_every_scope_in_its_projects() {
        let admin = Grants { scopes: vec![Scope::Admin], projects: None };
        for scope in Scope::ALL {
            assert!(admin.allow(&[scope], &project("any")) && admin.allow_everywhere(&[scope]));
        }
        let local = Grants { scopes: vec![Scope::Admin], projects: Some(vec![project("p")]) };
        assert!(local.allow(&[Scope::Pull], &project("p")) && !local.allow(&[Scope::Pull], &project("q")));
    }
}

//! `[database]`.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::schema::section;

/// The address of a database server. It may hold a password, so it is not shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The address, for the driver.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.0.starts_with("postgres://") || self.0.starts_with("postgresql://")
    }

    /// `user:password@`, or `?password=`.
    pub(crate) fn holds_password(&self) -> bool {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        let user = address.rsplit_once('@').map_or("", |(user, _)| user);
        user.contains(':') || query.split('&').any(|pair| pair.starts_with("password="))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl(…)")
    }
}

section! {
    /// Where the catalog is: in the home, or on a PostgreSQL server that many homes share. Homes on one server must name the same
    /// stores and the same `[staging]`.
    DatabaseConfig at "database" {
        /// `postgres://USER@HOST/DATABASE?sslmode=verify-full`, prepared by `n2s migrate`; `sslrootcert=FILE` names a private
        /// authority. Unset: SQLite, in the home.
        url: Option<DatabaseUrl> = None,
        /// A file that holds the password and nothing else.
        password_file: Option<PathBuf> = None,
        /// Connections to the server of one process at most.
        pool_size: u32 = 10,
        /// How long the server may take for a statement before it ends it. Whoever has had no answer five seconds later takes the way to the
        /// server for broken, and comes back on another connection.
        answer_secs: u32 = 60,
    }
}

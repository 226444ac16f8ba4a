//! What the home of a fleet's world has elsewhere: its catalog, its queue, its staging.

use std::path::PathBuf;

use n2s_servers::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use n2s_servers::{Postgres, RabbitMq};
use serde_json::Value;

use crate::files;

const BUCKET: &str = "waiting";

/// See the module. One of its own for each world; the servers of catalog and queue are the run's.
#[derive(Debug)]
pub(crate) struct Shared {
    database: String,
    queue: String,
    staging: S3Server,
}

impl Shared {
    /// An empty database, vhost and bucket.
    pub(crate) fn new() -> Self {
        let staging = S3Server::start();
        staging.make_bucket(BUCKET);
        let (database, queue) = (Postgres::shared().database(), RabbitMq::shared().vhost().url);
        Self { database, queue, staging }
    }

    /// The settings that every role has.
    pub(crate) fn config(&self) -> String {
        let Self { database, queue, staging } = self;
        let endpoint = staging.endpoint();
        format!(
            "[database]\nurl = \"{database}\"\n[queue]\nurl = \"{queue}\"\n[staging]\nkind = \"s3\"\nbucket = \"{BUCKET}\"\n\
             endpoint = \"{endpoint}\"\naccess_key_id = \"{ACCESS_KEY_ID}\"\nsecret_access_key = \"{SECRET_ACCESS_KEY}\"\n"
        )
    }

    /// Rows as SQLite would give them: arrays of columns.
    pub(crate) fn rows(&self, sql: &str) -> Value {
        let sql = format!(
            "SELECT coalesce(json_agg((SELECT json_agg(value) FROM json_each(row_to_json(q)))), '[]') FROM ({sql}) q"
        );
        serde_json::from_str(&Postgres::psql(&self.database, &sql)).unwrap()
    }

    /// Objects that wait.
    pub(crate) fn staged(&self) -> Vec<PathBuf> {
        files(&self.staging.object(BUCKET, "n2s/staging"))
    }

    pub(crate) fn lose_catalog(&self) {
        Postgres::psql(&self.database, "DROP SCHEMA public CASCADE");
    }
}

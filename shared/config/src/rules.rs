//! What settings must not do together. Each rule says what is wrong and what to do; a rule that could be a type is one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use n2s_domain::limits;

use crate::config::Config;
use crate::error::Problem;
use crate::sections::{BackendConfig, BackendKind, S3Config, StagingKind};
use crate::tree::Tree;

/// Every contradiction in settings whose keys and types are right.
pub(crate) fn contradictions(config: &Config, tree: &Tree) -> Vec<Problem> {
    let mut found = Found { tree, problems: Vec::new() };
    found.api(config);
    found.database(config);
    found.health(config);
    found.copies(config);
    for (name, backend) in &config.backends {
        found.backend(&format!("backends.{name}"), backend);
    }
    found.nested_stores(config);
    found.staging(config);
    found.queue(config);
    let no_lease = config.worker.lease_secs == 0;
    found.refuse_if(no_lease, "worker.lease_secs", "it must be at least 1");
    found.problems
}

const RELATIVE: &str =
    "it is relative, so it would be another place in every directory; write it in full, from '/'";

struct Found<'a> {
    tree: &'a Tree,
    problems: Vec<Problem>,
}

impl Found<'_> {
    fn refuse_if(&mut self, wrong: bool, key: &str, what: impl Into<String>) {
        if wrong {
            self.problems.push(Problem::new(self.tree.origin(key), key, what));
        }
    }

    fn api(&mut self, config: &Config) {
        let api = &config.api;
        let relative = |path: &Option<PathBuf>| path.as_ref().is_some_and(|path| path.is_relative());
        let what =
            "it is relative, so it would be another file in every directory; write it in full, from '/'";
        self.refuse_if(relative(&api.tls_cert), "api.tls_cert", what);
        self.refuse_if(relative(&api.tls_key), "api.tls_key", what);
        let what = "a certificate needs its key, and a key its certificate; set tls_cert and tls_key";
        self.refuse_if(api.tls_cert.is_some() != api.tls_key.is_some(), "api.tls_cert", what);
        let what = "it must be at least 64, or one large blob would not fit";
        self.refuse_if(api.in_flight_mib < 64, "api.in_flight_mib", what);
        self.refuse_if(api.connections_max == 0, "api.connections_max", "it must be at least 1");
        match api.address().parse::<SocketAddr>() {
            Err(_) => {
                let what = "it is not an address and port, such as \"0.0.0.0:7227\"";
                self.refuse_if(true, "api.listen", what);
            }
            Ok(address) => {
                let open = !address.ip().is_loopback() && api.tls_cert.is_none() && !api.plain_http;
                let what = "other machines reach this address, and tokens would travel in the clear; set tls_cert and tls_key, or plain_http = true behind a proxy that speaks TLS";
                self.refuse_if(open, "api.listen", what);
            }
        }
    }

    fn health(&mut self, config: &Config) {
        let wrong = config.health.listen.as_ref().is_some_and(|listen| listen.parse::<SocketAddr>().is_err());
        self.refuse_if(wrong, "health.listen", "it is not an address and port, such as \"127.0.0.1:7228\"");
    }

    fn database(&mut self, config: &Config) {
        let database = &config.database;
        self.refuse_if(database.pool_size == 0, "database.pool_size", "it must be at least 1");
        self.refuse_if(database.answer_secs == 0, "database.answer_secs", "it must be at least 1");
        let file = database.password_file.as_ref();
        let relative = file.is_some_and(|path| path.is_relative());
        self.refuse_if(relative, "database.password_file", "it is relative; write it in full, from '/'");
        let Some(url) = &database.url else {
            let what = "there is no url that it could be the password of; set [database] url";
            return self.refuse_if(file.is_some(), "database.password_file", what);
        };
        let what = "it must begin with postgres://; leave it out for SQLite in the home";
        self.refuse_if(!url.is_postgres(), "database.url", what);
        let what = "the url holds a password, too; take one of them out";
        self.refuse_if(file.is_some() && url.holds_password(), "database.password_file", what);
    }

    fn copies(&mut self, config: &Config) {
        let Some(copies) = config.push.min_copies else { return };
        let what = "it must be at least 1; leave it out to ask for all stores";
        self.refuse_if(copies == 0, "push.min_copies", what);
        let stores = config.backends.len();
        let what =
            format!("{copies} copies need as many stores, and there are {stores}; lower it or add stores");
        // Without any, the first push makes one, and this is looked at again.
        let too_many = stores > 0 && usize::try_from(copies).is_ok_and(|copies| copies > stores);
        self.refuse_if(too_many, "push.min_copies", what);
    }

    fn backend(&mut self, path: &str, backend: &BackendConfig) {
        let key = |name: &str| format!("{path}.{name}");
        match backend.kind {
            BackendKind::Local => {
                let missing = backend.path.as_os_str().is_empty();
                self.refuse_if(missing, &key("path"), "it is missing; write path = \"/the/directory\"");
                self.refuse_if(!missing && backend.path.is_relative(), &key("path"), RELATIVE);
                self.not_a_bucket(path);
            }
            BackendKind::S3 => self.bucket(path, &backend.s3),
        }
        self.timeout(path, backend.timeout_secs);
        let (fewest, most) = backend.concurrency();
        self.refuse_if(backend.concurrency_min == Some(0), &key("concurrency_min"), "it must be at least 1");
        let none = backend.bytes_per_sec_max == Some(0);
        self.refuse_if(
            none,
            &key("bytes_per_sec_max"),
            "it must be at least 1; leave it out for as fast as it goes",
        );
        let crossed = most < fewest || most == 0;
        self.refuse_if(crossed, &key("concurrency_max"), "it must be at least concurrency_min");
        let retry = &backend.retry;
        self.refuse_if(retry.attempts_max == 0, &key("retry.attempts_max"), "it must be at least 1");
        self.refuse_if(retry.base_ms == 0, &key("retry.base_ms"), "it must be at least 1");
        let crossed = retry.cap_secs.saturating_mul(1_000) < retry.base_ms;
        self.refuse_if(crossed, &key("retry.cap_secs"), "it must be at least as long as base_ms");
        let most = limits::RETRY_DELAY_MAX.as_secs();
        let what = format!("it must be at most {most}: nothing waits longer to be tried again");
        self.refuse_if(retry.cap_secs > most, &key("retry.cap_secs"), what);
    }

    fn timeout(&mut self, path: &str, secs: Option<u64>) {
        let Some(secs) = secs else { return };
        let key = format!("{path}.timeout_secs");
        self.refuse_if(secs == 0, &key, "it must be at least 1");
        let held = limits::JOB_HELD_MAX.as_secs();
        let what = format!("it must be less than {held}, after which a job is taken away from whoever waits");
        self.refuse_if(secs >= held, &key, what);
    }

    fn not_a_bucket(&mut self, path: &str) {
        for key in S3Config::SECTION.keys {
            let key = format!("{path}.{}", key.name);
            self.refuse_if(self.tree.is_set(&key), &key, "it is for kind = \"s3\"; leave it out");
        }
    }

    fn bucket(&mut self, path: &str, s3: &S3Config) {
        let key = |name: &str| format!("{path}.{name}");
        self.refuse_if(
            self.tree.is_set(&key("path")),
            &key("path"),
            "it is for kind = \"local\"; leave it out",
        );
        self.refuse_if(s3.bucket.is_empty(), &key("bucket"), "it is missing; write bucket = \"its-name\"");
        let (inline, file) = (s3.secret_access_key.is_some(), s3.secret_access_key_file.as_ref());
        let what = "there is a secret_access_key, too; leave one out";
        self.refuse_if(inline && file.is_some(), &key("secret_access_key_file"), what);
        let relative = file.is_some_and(|file| file.is_relative());
        self.refuse_if(relative, &key("secret_access_key_file"), RELATIVE);
        let secret = inline || file.is_some();
        let what = "its secret is missing; write secret_access_key_file = \"/a/file\", or leave both out for AWS's default chain";
        self.refuse_if(s3.access_key_id.is_some() && !secret, &key("access_key_id"), what);
        let what =
            "it is missing, but there is a secret; write it, or leave both out for AWS's default chain";
        self.refuse_if(s3.access_key_id.is_none() && secret, &key("access_key_id"), what);
        self.refuse_if(s3.pool_size == Some(0), &key("pool_size"), "it must be at least 1");
    }

    fn staging(&mut self, config: &Config) {
        let staging = &config.staging;
        match staging.kind {
            StagingKind::Local => {
                let relative = staging.path.as_ref().is_some_and(|path| path.is_relative());
                self.refuse_if(relative, "staging.path", RELATIVE);
                self.not_a_bucket("staging");
            }
            StagingKind::S3 => self.bucket("staging", &staging.s3),
        }
        self.timeout("staging", staging.timeout_secs);
    }

    fn queue(&mut self, config: &Config) {
        let queue = &config.queue;
        self.refuse_if(queue.unclaimed_secs == 0, "queue.unclaimed_secs", "it must be at least 1");
        let url = queue.url.as_ref();
        for (name, path) in [("password_file", &queue.password_file), ("tls_ca", &queue.tls_ca)] {
            let key = format!("queue.{name}");
            let what = "there is no broker to use it for; write queue.url, or leave this out";
            self.refuse_if(path.is_some() && url.is_none(), &key, what);
            let relative = path.as_ref().is_some_and(|path| path.is_relative());
            let what =
                "it is relative, so it would be another place in every directory; write it in full, from '/'";
            self.refuse_if(relative, &key, what);
        }
        let Some(url) = url else { return };
        let (file, plain) = (queue.password_file.is_some(), !url.is_tls());
        let what = "there is a password in queue.url, too; leave one out";
        self.refuse_if(file && url.has_password(), "queue.password_file", what);
        let what = "it names no user whose password is in password_file; write amqp://user@…";
        self.refuse_if(file && !url.has_user(), "queue.url", what);
        let what = "queue.url does not ask for TLS; write amqps:// there, or leave this out";
        self.refuse_if(queue.tls_ca.is_some() && plain, "queue.tls_ca", what);
    }

    /// Two stores in one place would be one copy that counts twice.
    fn nested_stores(&mut self, config: &Config) {
        let places: Vec<_> = config.backends.iter().map(|(name, backend)| (name, place(backend))).collect();
        for (index, (name, place)) in places.iter().enumerate() {
            for (other, earlier) in places[..index].iter().filter(|(_, earlier)| nested(place, earlier)) {
                let same = place == earlier;
                let how = if same { "has the same place as" } else { "lies inside or around the place of" };
                let (key, own) = match config.backends[*name].kind {
                    BackendKind::Local => ("path", "disk"),
                    BackendKind::S3 => ("bucket", "bucket"),
                };
                let what =
                    format!("it {how} backend '{other}', so both would be one copy; give each its own {own}");
                self.refuse_if(true, &format!("backends.{name}.{key}"), what);
            }
        }
    }
}

/// Where a store is. Components have no `.`, doubled or trailing slash, so two spellings of a path are equal. Those of a bucket
/// begin without a slash, so that no directory is near it.
fn place(backend: &BackendConfig) -> PathBuf {
    let s3 = &backend.s3;
    let place = match backend.kind {
        BackendKind::Local => backend.path.clone(),
        BackendKind::S3 => {
            let endpoint = s3.endpoint.as_deref().unwrap_or("aws");
            PathBuf::from(format!("s3/{endpoint}/{}/{}", s3.bucket, s3.prefix))
        }
    };
    place.components().collect()
}

fn nested(a: &Path, b: &Path) -> bool {
    !a.as_os_str().is_empty() && !b.as_os_str().is_empty() && (a.starts_with(b) || b.starts_with(a))
}

//! What settings must not do together. Each rule says what is wrong and what to do; a rule that could be a type is one.

use std::path::{Path, PathBuf};

use n2s_domain::limits;

use crate::config::Config;
use crate::error::Problem;
use crate::sections::BackendConfig;
use crate::tree::Tree;

/// Every contradiction in settings whose keys and types are right.
pub(crate) fn contradictions(config: &Config, tree: &Tree) -> Vec<Problem> {
    let mut found = Found { tree, problems: Vec::new() };
    found.database(config);
    found.copies(config);
    for (name, backend) in &config.backends {
        found.backend(&format!("backends.{name}"), backend);
    }
    found.nested_stores(config);
    found.staging(config);
    found.queue(config);
    found.problems
}

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

    fn database(&mut self, config: &Config) {
        let database = &config.database;
        self.refuse_if(database.pool_size == 0, "database.pool_size", "it must be at least 1");
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
        let missing = backend.path.as_os_str().is_empty();
        self.refuse_if(missing, &key("path"), "it is missing; write path = \"/the/directory\"");
        let what =
            "it is relative, so it would be another place in every directory; write it in full, from '/'";
        self.refuse_if(!missing && backend.path.is_relative(), &key("path"), what);
        self.refuse_if(backend.timeout_secs == 0, &key("timeout_secs"), "it must be at least 1");
        let held = limits::JOB_HELD_MAX.as_secs();
        let what = format!("it must be less than {held}, after which a job is taken away from whoever waits");
        self.refuse_if(backend.timeout_secs >= held, &key("timeout_secs"), what);
        let (fewest, most) = backend.concurrency();
        self.refuse_if(backend.concurrency_min == Some(0), &key("concurrency_min"), "it must be at least 1");
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

    fn staging(&mut self, config: &Config) {
        let relative = config.staging.path.as_ref().is_some_and(|path| path.is_relative());
        let what =
            "it is relative, so it would be another place in every directory; write it in full, from '/'";
        self.refuse_if(relative, "staging.path", what);
    }

    fn queue(&mut self, config: &Config) {
        let queue = &config.queue;
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
        // Components have no `.`, doubled or trailing slash, so two spellings of a path are equal.
        let places: Vec<(_, PathBuf)> = config
            .backends
            .iter()
            .map(|(name, backend)| (name, backend.path.components().collect()))
            .collect();
        for (index, (name, place)) in places.iter().enumerate() {
            for (other, earlier) in places[..index].iter().filter(|(_, earlier)| nested(place, earlier)) {
                let same = place == earlier;
                let how = if same { "has the same place as" } else { "lies inside or around the place of" };
                let what =
                    format!("it {how} backend '{other}', so both would be one copy; give each its own disk");
                self.refuse_if(true, &format!("backends.{name}.path"), what);
            }
        }
    }
}

fn nested(a: &Path, b: &Path) -> bool {
    !a.as_os_str().is_empty() && !b.as_os_str().is_empty() && (a.starts_with(b) || b.starts_with(a))
}

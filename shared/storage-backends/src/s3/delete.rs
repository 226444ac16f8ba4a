//! Deleting: a thousand names in one request, on servers that have it; one by one on the others, and for names the answer left out.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use anyhow::anyhow;
use aws_sdk_s3::operation::delete_objects::DeleteObjectsOutput;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use futures_util::StreamExt as _;
use futures_util::stream;
use n2s_domain::FailureKind;
use n2s_storage::{ObjectKey, StorageError};

use super::Inner;
use super::failure::Failure;
use super::verdict::{Answer, judge};

/// What one request may name, by S3's rules.
const NAMES_MAX: usize = 1_000;

type Answers = BTreeMap<String, Result<(), Failure>>;

impl Inner {
    pub(super) async fn delete(&self, keys: &[ObjectKey]) -> Vec<Result<(), StorageError>> {
        let mut answers = Vec::with_capacity(keys.len());
        for keys in keys.chunks(NAMES_MAX) {
            let mut known = self.delete_together(keys).await;
            let each = keys.iter().map(|key| (key.clone(), known.remove(&self.addresses.name(key))));
            let each = each.map(|(key, known)| async move {
                let answer = match known {
                    Some(answer) => answer,
                    None => self.delete_one(&key).await,
                };
                answer.map_err(|failure| self.error("delete", Some(&key), failure))
            });
            let futures: Vec<_> = each.collect();
            answers.extend(stream::iter(futures).buffered(self.options.pool_size).collect::<Vec<_>>().await);
        }
        answers
    }

    /// What one request settled. Nothing where one does not pay or is not known; whatever else fails is met again one by one.
    async fn delete_together(&self, keys: &[ObjectKey]) -> Answers {
        if keys.len() < 2 || self.no_bulk_delete.load(Ordering::Relaxed) {
            return Answers::new();
        }
        let names: Vec<_> = keys.iter().map(|key| self.addresses.name(key)).collect();
        let delete = async || {
            let delete = self.client.delete_objects().bucket(&self.options.bucket).delete(request(&names));
            delete.send().await.map_err(|error| Failure::of(&error))
        };
        match self.send(delete).await {
            Ok(answer) => settled(&answer),
            Err(failure) => {
                if matches!(failure.status, Some(400 | 404 | 405 | 411 | 501)) {
                    self.no_bulk_delete.store(true, Ordering::Relaxed);
                    return Answers::new();
                }
                // A thousand requests into an outage would tell nothing more.
                names.into_iter().map(|name| (name, Err(failure.again()))).collect()
            }
        }
    }

    async fn delete_one(&self, key: &ObjectKey) -> Result<(), Failure> {
        let delete = async || {
            let delete =
                self.client.delete_object().bucket(&self.options.bucket).key(self.addresses.name(key));
            delete.send().await.map_err(|error| Failure::of(&error))
        };
        match self.send(delete).await {
            Err(failure) if failure.kind != FailureKind::NotFound => Err(failure),
            _ => Ok(()),
        }
    }
}

fn request(names: &[String]) -> Delete {
    let object = |name: &String| ObjectIdentifier::builder().key(name).build().expect("it has a key");
    let names: Vec<_> = names.iter().map(object).collect();
    Delete::builder().set_objects(Some(names)).quiet(false).build().expect("it has objects")
}

fn settled(answer: &DeleteObjectsOutput) -> Answers {
    let deleted = answer.deleted().iter().filter_map(|deleted| Some((deleted.key()?.to_owned(), Ok(()))));
    let failed = answer.errors().iter().filter_map(|error| {
        let code = error.code().unwrap_or_default();
        let (kind, advice) = judge(&Answer { status: 500, code, region: None });
        if kind == FailureKind::NotFound {
            return Some((error.key()?.to_owned(), Ok(())));
        }
        let cause = anyhow!("the server answered {code} {}", error.message().unwrap_or_default());
        let cause = match advice {
            Some(advice) => cause.context(advice),
            None => cause,
        };
        Some((error.key()?.to_owned(), Err(Failure::new(kind, cause))))
    });
    deleted.chain(failed).collect()
}

//! What is there in the end, read from the catalog's rows, from the stores' own files and by pulling every version.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use n2s_tests::Ended;
use serde_json::Value;

use crate::actors::digest;
use crate::checker::{Charge, Committed, Facts};
use crate::faults::Havoc;
use crate::ground::Ground;
use crate::leaks;

/// Staged objects that every store has: they should have left.
const STAGED: &str = "SELECT count(*) FROM blobs l WHERE staging_id IS NOT NULL AND EXISTS \
     (SELECT 1 FROM blob_backends s WHERE s.blob_id = l.id) AND NOT EXISTS \
     (SELECT 1 FROM blob_backends s WHERE s.blob_id = l.id AND s.status <> 'completed')";
const LEFT: [(&str, &str); 5] = [
    ("unfinished jobs", "SELECT count(*) FROM jobs"),
    ("failed placements", "SELECT count(*) FROM blob_backends WHERE status = 'failed'"),
    (
        "committed changesets that are not completed",
        "SELECT count(*) FROM changesets WHERE committed_at IS NOT NULL AND status <> 'completed'",
    ),
    ("open pushes", "SELECT count(*) FROM changesets WHERE committed_at IS NULL AND undone_at IS NULL"),
    ("staged objects that every store has", STAGED),
];

/// What is left to do, by name.
pub fn left(ground: &Ground) -> Vec<(String, u64)> {
    LEFT.iter().map(|(name, sql)| ((*name).to_owned(), ground.fleet.count(sql))).collect()
}

/// Everything that the checker wants to know.
pub fn gather(ground: &Ground, havoc: &Havoc<'_>, seen: Vec<String>) -> Facts {
    let world = &ground.fleet.world;
    let drifts = world.json(&["audit"])["drifts"].as_array().unwrap().iter().map(Value::to_string).collect();
    Facts {
        versions: versions(ground),
        unreadable: unreadable(ground),
        drifts,
        charges: charges(ground, havoc),
        left: left(ground),
        leaks: [seen, leaks::in_files(world, &ground.secrets)].concat(),
    }
}

fn rows(ground: &Ground, sql: &str) -> Vec<Vec<String>> {
    let answer = ground.fleet.ask(sql);
    answer.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect()
}

/// Every committed version, pulled by a client and digested; four at a time.
fn versions(ground: &Ground) -> Vec<Committed> {
    let sql = "SELECT p.name || '/' || d.name, c.version, c.uuid, c.status FROM changesets c \
               JOIN datasets d ON d.id = c.dataset_id JOIN projects p ON p.id = d.project_id \
               WHERE c.committed_at IS NOT NULL ORDER BY 1, 2";
    let rows = rows(ground, sql);
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let [dataset, version, changeset, status] = &row[..] else { panic!("{row:?}") };
                    let pulled = pulled(ground, dataset, version);
                    let (dataset, changeset) = (dataset.clone(), changeset.clone());
                    let version = version.parse().unwrap();
                    let status = status.clone();
                    found.lock().unwrap().push(Committed { dataset, version, changeset, status, pulled });
                }
            });
        }
    });
    found.into_inner().unwrap()
}

fn pulled(ground: &Ground, dataset: &str, version: &str) -> Result<String, String> {
    let world = &ground.fleet.world;
    let target = format!("check-{}-{version}", dataset.replace('/', "-"));
    let (project, name) = dataset.split_once('/').expect("it has two parts");
    let mut pull = world.command(&[
        "pull",
        "--project",
        project,
        "--dataset",
        name,
        "--version",
        version,
        "--target",
        &target,
    ]);
    pull.env("N2S_HOME", world.path("client-0")).env("N2S_SERVER", &ground.urls[0]);
    let ended: Ended = pull.env("N2S_TOKEN", &ground.token).output().unwrap().into();
    let digest = (ended.code == 0).then(|| digest(&world.path(&target)));
    let _ = fs::remove_dir_all(world.path(&target));
    digest.ok_or_else(|| format!("{ended:?}"))
}

/// Where an object of a store is a file.
fn place(ground: &Ground, store: &str, key: &str) -> PathBuf {
    match store {
        "far" => ground.bucket.object("far", key),
        _ => ground.fleet.world.path(store).join(key),
    }
}

/// Completed placements and manifests that are not there, or not those bytes.
fn unreadable(ground: &Ground) -> Vec<String> {
    let blobs = "SELECT b.name, encode(l.sealed_hash, 'hex') FROM blob_backends s JOIN blobs l ON l.id = s.blob_id \
                 JOIN backends b ON b.id = s.backend_id WHERE s.status = 'completed'";
    let manifests = "SELECT b.name, encode(d.store_key, 'hex') || '/' || c.version, o.part, \
                     encode(o.sealed_hash, 'hex') FROM changeset_backends s JOIN backends b ON b.id = s.backend_id \
                     JOIN changesets c ON c.id = s.changeset_id JOIN datasets d ON d.id = c.dataset_id \
                     JOIN manifest_objects o ON o.changeset_id = c.id WHERE s.manifest = 'completed'";
    let blobs = rows(ground, blobs).into_iter().map(|row| {
        let (store, hash) = (row[0].clone(), row[1].clone());
        let key = format!("blobs/{}/{}", &hash[..2], &hash[2..]);
        (store, key, hash)
    });
    let manifests = rows(ground, manifests).into_iter().map(|row| {
        let key = format!("archives/{}/manifest-{}.json", row[1], row[2]);
        (row[0].clone(), key, row[3].clone())
    });
    let wrong = |(store, key, hash): &(String, String, String)| {
        let found = fs::read(place(ground, store, key));
        !found.is_ok_and(|bytes| n2s_envelope::sealed_hash(&bytes).to_hex() == *hash)
    };
    let all: Vec<_> = blobs.chain(manifests).collect();
    assert!(!all.is_empty(), "nothing was completed");
    all.into_iter().filter(wrong).map(|(store, key, _)| format!("{key} on {store}")).collect()
}

/// A worker that is stopped in the middle of a request finds it timed out when it goes on: a failure that nobody injected, at most one for
/// each time it was stopped.
fn charges(ground: &Ground, havoc: &Havoc<'_>) -> Vec<Charge> {
    let sql = "SELECT b.name, encode(l.sealed_hash, 'hex'), s.retry_count FROM blob_backends s \
               JOIN blobs l ON l.id = s.blob_id JOIN backends b ON b.id = s.backend_id WHERE s.retry_count > 0";
    let harmed: BTreeMap<String, u64> = havoc.targets.buckets[0].harmed();
    let stops = havoc.done.get("SIGSTOP worker").copied().unwrap_or(0);
    let charge = |row: Vec<String>| {
        let (store, object) = (row[0].clone(), row[1].clone());
        let key = format!("/far/blobs/{}/{}", &object[..2], &object[2..]);
        let met = if store == "far" { harmed.get(&key).copied().unwrap_or(0) } else { 0 };
        Charge { store, object, charged: row[2].parse().unwrap(), met: met + stops }
    };
    rows(ground, sql).into_iter().map(charge).collect()
}

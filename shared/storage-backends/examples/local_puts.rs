//! Times puts into a local store, from memory and from staged files, and prints JSON.
//!
//!     local_puts DIR [FILES BYTES]…
//!
//! Works in a new directory below DIR each time and leaves it there: ext4 passes over inodes deleted in the last seconds, so that
//! removing the last run's files right before this one would be measured too. Durable before each answer, as in production.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use n2s_domain::{Clock as _, SealedHash, SystemClock};
use n2s_storage::{Body, Put, Staging, StagingKey, Storage, layout};
use n2s_storage_backends::LocalStore;

const BATCH: usize = 200;
const TASKS: usize = 4;

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (dir, sizes) = args.split_first().context("name a directory to work in")?;
    let numbers = sizes.iter().map(|n| n.parse::<usize>()).collect::<Result<Vec<_>, _>>()?;
    let sets: Vec<_> = numbers.chunks_exact(2).map(|set| (set[0], set[1])).collect();
    let sets = if sets.is_empty() { vec![(20_000, 8 << 10), (5_000, 26 << 10)] } else { sets };
    let run = Path::new(dir).join(format!("run-{}", SystemClock.now().as_micros()));
    for (files, bytes) in sets {
        let (memory, staging, linked) = measure(&run, files, bytes).await?;
        println!(
            r#"{{"files":{files},"bytes":{bytes},"from_memory_secs":{memory:.3},"into_staging_secs":{staging:.3},"from_staging_secs":{linked:.3}}}"#
        );
    }
    Ok(())
}

async fn measure(run: &Path, files: usize, bytes: usize) -> Result<(f64, f64, f64)> {
    let at = |name: &str| {
        let root = run.join(format!("{name}-{files}"));
        LocalStore::create_root(&root)?;
        anyhow::Ok(LocalStore::new(name, root))
    };
    let (direct, linked) = (Arc::new(at("memory")?), Arc::new(at("linked")?));
    let staging = Staging::new(Arc::new(at("staging")?));
    let puts: Vec<Put> = (0..files).map(|n| put(n, bytes)).collect();
    let from_memory = timed(&puts, |batch| store(Arc::clone(&direct) as Arc<dyn Storage>, batch)).await?;
    let into_staging = timed(&puts, |batch| {
        let staging = staging.clone();
        async move {
            let objects = batch.into_iter().map(|put| (key(&put), put.body.bytes().clone())).collect();
            staging
                .put(objects)
                .await
                .into_iter()
                .collect::<Result<Vec<_>, _>>()
                .map(drop)
                .map_err(Into::into)
        }
    })
    .await?;
    let mut staged = Vec::new();
    for batch in puts.chunks(BATCH) {
        let keys: Vec<_> = batch.iter().map(key).collect();
        for (put, body) in batch.iter().zip(staging.get(&keys).await) {
            staged.push(Put { body: body?, ..put.clone() });
        }
    }
    let from_staging = timed(&staged, |batch| store(Arc::clone(&linked) as Arc<dyn Storage>, batch)).await?;
    Ok((from_memory, into_staging, from_staging))
}

async fn store(store: Arc<dyn Storage>, batch: Vec<Put>) -> Result<()> {
    Ok(store.store(batch).await.into_iter().collect::<Result<Vec<_>, _>>().map(drop)?)
}

/// Puts nobody can compress or find twice.
fn put(number: usize, bytes: usize) -> Put {
    let mut content = vec![0; bytes];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut content);
    let digest = SealedHash(*blake3::hash(&content).as_bytes());
    Put { key: layout::blob(digest), body: Body::Bytes(Bytes::from(content)), digest, overwrite: false }
}

fn key(put: &Put) -> StagingKey {
    StagingKey { sealed_hash: put.digest, id: 1 }
}

/// Seconds for all `puts`, some batches at a time, beginning with nothing left to write from before.
async fn timed<F: Future<Output = Result<()>> + Send + 'static>(
    puts: &[Put],
    work: impl Fn(Vec<Put>) -> F,
) -> Result<f64> {
    tokio::task::spawn_blocking(rustix::fs::sync).await?;
    let start = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for batch in puts.chunks(BATCH) {
        if running.len() == TASKS {
            running.join_next().await.expect("it is not empty")??;
        }
        running.spawn(work(batch.to_vec()));
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(start.elapsed().as_secs_f64())
}

//! How fast the s3 store puts and gets: `cargo run --release -p n2s-storage-backends --example s3_speed`.
//!
//! Against the tests' server in this process, or, with `S3_ENDPOINT`, `S3_BUCKET`, `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` set,
//! against that one. Both sides then share the cores, so the figures are floors.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "it is a measurement, read by a person")]

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use n2s_domain::SealedHash;
use n2s_servers::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use n2s_storage::{Body, Get, Put, Storage, layout};
use n2s_storage_backends::s3::SecretKey;
use n2s_storage_backends::{S3Options, S3Store};

fn main() {
    let server = S3Server::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure(&server));
}

async fn measure(server: &S3Server) {
    let options = if let Ok(endpoint) = std::env::var("S3_ENDPOINT") {
        S3Options { endpoint: Some(endpoint), ..S3Options::new(std::env::var("S3_BUCKET").unwrap()) }
    } else {
        server.make_bucket("speed");
        S3Options {
            endpoint: Some(server.endpoint()),
            access_key_id: Some(ACCESS_KEY_ID.to_owned()),
            secret_access_key: Some(SecretKey::new(SECRET_ACCESS_KEY)),
            ..S3Options::new("speed")
        }
    };
    for pool_size in [1, 10, 32] {
        let store = S3Store::new("speed", S3Options { pool_size, ..options.clone() }).unwrap();
        let store: Arc<dyn Storage> = Arc::new(store);
        run(&*store, pool_size, 8 * 1024, 2_000).await;
        run(&*store, pool_size, 16 * 1024 * 1024, 40).await;
    }
}

async fn run(store: &dyn Storage, pool_size: usize, length: usize, count: usize) {
    let mut puts = Vec::with_capacity(count);
    for n in 0..count {
        let mut bytes = vec![0; length];
        bytes[..8].copy_from_slice(&(pool_size * 1_000_000 + n).to_le_bytes());
        let digest = SealedHash(*blake3::hash(&bytes).as_bytes());
        puts.push(Put {
            key: layout::blob(digest),
            body: Body::Bytes(Bytes::from(bytes)),
            digest,
            overwrite: false,
        });
    }
    let keys: Vec<_> = puts.iter().map(|put| put.key.clone()).collect();
    let start = Instant::now();
    store.store(puts).await.into_iter().for_each(|answer| drop(answer.unwrap()));
    report("put", pool_size, length, count, start);
    let start = Instant::now();
    // Not all at once: the answers lie in memory.
    for keys in keys.chunks(10.max(pool_size)) {
        let gets = keys.iter().map(|key| Get { key: key.clone(), range: None }).collect();
        store.retrieve(gets).await.into_iter().for_each(|answer| drop(answer.unwrap()));
    }
    report("get", pool_size, length, count, start);
    let start = Instant::now();
    store.delete(&keys).await.into_iter().for_each(|answer| answer.unwrap());
    report("delete", pool_size, length, count, start);
}

#[expect(clippy::cast_precision_loss, reason = "figures for reading")]
fn report(op: &str, pool_size: usize, length: usize, count: usize, start: Instant) {
    let secs = start.elapsed().as_secs_f64();
    let (rate, megabytes) = (count as f64 / secs, (count * length) as f64 / secs / 1e6);
    println!(
        "pool_size {pool_size:2}  {op:6} {count:5} x {length:8} bytes: {rate:7.0}/s {megabytes:6.0} MB/s"
    );
}

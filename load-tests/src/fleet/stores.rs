//! Trees and objects on a bucket, near and 20 ms away, beside programs that push there. No targets: how far small files are behind until packs
//! exist.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use n2s_domain::SealedHash;
use n2s_load_tests::data::Data;
use n2s_load_tests::programs::installed;
use n2s_servers::Proxy;
use n2s_servers::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use n2s_storage::{Body, Put, Storage, StorageExt as _, layout};
use n2s_storage_backends::s3::SecretKey;
use n2s_storage_backends::{S3Options, S3Store};
use serde_json::{Map, Value, json};

use crate::Context;
use crate::report::Figure;

const PROGRAMS: [&str; 5] = ["n2s", "restic", "rustic", "rclone", "s5cmd"];
const SIZES: [usize; 4] = [1 << 10, 10 << 10, 100 << 10, 1 << 20];
/// Seconds that a step may take, unless `N2S_LOAD_STEP_SECONDS` says otherwise; what takes longer is not measured.
const STEP_SECONDS: u32 = 60;
const AWAY: Duration = Duration::from_millis(20);
const PASSWORD: &str = "load test";
/// Objects under way at once.
const AT_ONCE: usize = 10;

/// How much is pushed: the full sets take half an hour, most of it in the programs beside n2s.
struct Amounts {
    files: u32,
    files_away: u32,
    large_mib: u64,
    large_mib_away: u64,
}

fn amount(name: &str, usual: u32) -> u32 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(usual)
}

/// All, or those that `N2S_LOAD_PROGRAMS` names.
fn wanted(program: &str) -> bool {
    std::env::var("N2S_LOAD_PROGRAMS").map_or(true, |names| names.split(',').any(|name| name == program))
}

/// Each program's pushes and pull, then single objects; near, then away.
pub async fn figure(context: &Context) -> Result<Figure> {
    let amounts = Amounts {
        files: amount("N2S_LOAD_FILES", 3_000),
        files_away: amount("N2S_LOAD_FILES_AWAY", 300),
        large_mib: amount("N2S_LOAD_LARGE_MIB", 256).into(),
        large_mib_away: amount("N2S_LOAD_LARGE_MIB_AWAY", 256).into(),
    };
    let server = tokio::task::spawn_blocking(S3Server::start).await?;
    let port = server.endpoint().rsplit(':').next().unwrap_or_default().parse()?;
    let proxy = tokio::task::spawn_blocking(move || Proxy::to(port)).await?;
    proxy.delay(AWAY);
    let away = format!("http://127.0.0.1:{}", proxy.port());
    let mut detail = Map::new();
    let sets = [
        ("files", Data::Files(amounts.files), server.endpoint()),
        ("large", Data::Large(amounts.large_mib << 20), server.endpoint()),
        ("files, 20 ms each way", Data::Files(amounts.files_away), away.clone()),
        ("large, 20 ms each way", Data::Large(amounts.large_mib_away << 20), away.clone()),
    ];
    for (number, (set, data, endpoint)) in sets.into_iter().enumerate() {
        let dir = context.dir.path().join(format!("stores-{number}"));
        let tree = Tree { data, dir, number, endpoint: &endpoint, server: &server };
        detail.insert(set.to_owned(), tokio::task::block_in_place(|| tree.measure(&context.n2s))?);
    }
    for (set, endpoint) in [("objects", server.endpoint()), ("objects, 20 ms each way", away)] {
        let bucket = format!("objects-{}", detail.len());
        server.make_bucket(&bucket);
        detail.insert(set.to_owned(), objects(&endpoint, &bucket).await?);
    }
    detail.insert("server".to_owned(), json!("s3s-fs in this program's process: no fsync"));
    detail.insert("targets".to_owned(), json!("none: small files are slow until packs exist"));
    Ok(Figure { detail: Value::Object(detail), verdicts: Vec::new() })
}

/// A set of files, and where they go.
struct Tree<'a> {
    data: Data,
    dir: PathBuf,
    number: usize,
    endpoint: &'a str,
    server: &'a S3Server,
}

impl Tree<'_> {
    fn measure(&self, n2s: &Path) -> Result<Value> {
        fs::create_dir(&self.dir)?;
        let source = self.dir.join("source");
        let (files, bytes) = self.data.make(&source)?;
        let mut programs = Map::new();
        for name in PROGRAMS.into_iter().filter(|name| wanted(name)) {
            let bucket = format!("{name}-{}", self.number);
            self.server.make_bucket(&bucket);
            let (place, kept) = (self.dir.join(name), self.server.object(&bucket, ""));
            let program = Program { name, n2s, place, endpoint: self.endpoint, bucket };
            let measured = program.measure(self.data, &source);
            let measured = measured.unwrap_or_else(|why| json!({ "not measured": format!("{why:#}") }));
            programs.insert(name.to_owned(), measured);
            if matches!(self.data, Data::Large(_)) {
                // Together they are more than many a disk has room for; and few files, which are deleted in a moment.
                fs::remove_dir_all(program.place)?;
                fs::remove_dir_all(kept)?;
            }
        }
        if matches!(self.data, Data::Large(_)) {
            fs::remove_dir_all(&source)?;
        }
        Ok(json!({ "files": files, "bytes": bytes, "programs": programs }))
    }
}

/// A program with a bucket.
struct Program<'a> {
    name: &'static str,
    n2s: &'a Path,
    place: PathBuf,
    endpoint: &'a str,
    bucket: String,
}

impl Program<'_> {
    fn measure(&self, data: Data, source: &Path) -> Result<Value> {
        fs::create_dir(&self.place)?;
        self.prepare()?;
        let target = self.place.join("target");
        let mut steps = Map::new();
        // What it has not pushed whole, no other step means anything for.
        steps.insert("first".to_owned(), json!(self.step(source, None)?));
        steps.insert("unchanged".to_owned(), self.told(source, None));
        if data.can_change() {
            data.change(source)?;
            steps.insert("one_percent".to_owned(), self.told(source, None));
            data.restore(source)?;
        }
        fs::create_dir(&target)?;
        steps.insert("pull".to_owned(), self.told(source, Some(&target)));
        Ok(Value::Object(steps))
    }

    /// Seconds, or why there are none.
    fn told(&self, source: &Path, target: Option<&Path>) -> Value {
        let step = self.step(source, target);
        step.map_or_else(|why| json!(format!("not measured: {why:#}")), |seconds| json!(seconds))
    }

    fn prepare(&self) -> Result<()> {
        let (endpoint, bucket) = (self.endpoint, &self.bucket);
        match self.name {
            "n2s" => {
                fs::create_dir(self.place.join("home"))?;
                let store = format!(
                    "[backends.bucket]\nkind = \"s3\"\nbucket = \"{bucket}\"\nendpoint = \"{endpoint}\"\nregion = \"us-east-1\"\n\
                     path_style = true\naccess_key_id = \"{ACCESS_KEY_ID}\"\nsecret_access_key = \"{SECRET_ACCESS_KEY}\"\n"
                );
                Ok(fs::write(self.place.join("home/config.toml"), store)?)
            }
            "rustic" => {
                let profile = format!(
                    "[repository]\nrepository = \"opendal:s3\"\npassword = \"{PASSWORD}\"\n[repository.options]\nroot = \"/\"\n\
                     bucket = \"{bucket}\"\nendpoint = \"{endpoint}\"\nregion = \"us-east-1\"\naccess_key_id = \"{ACCESS_KEY_ID}\"\n\
                     secret_access_key = \"{SECRET_ACCESS_KEY}\"\n"
                );
                fs::write(self.place.join("profile.toml"), profile)?;
                run(self.command()?.arg("init")).map(drop)
            }
            "restic" => run(self.command()?.arg("init")).map(drop),
            _ => Ok(()),
        }
    }

    fn step(&self, source: &Path, target: Option<&Path>) -> Result<f64> {
        let mut command = self.command()?;
        match (self.name, target) {
            ("n2s", None) => {
                command.args(["--quiet", "push", "--project", "p", "--dataset", "d"]).arg(source)
            }
            ("n2s", Some(target)) => command
                .args(["--quiet", "pull", "--project", "p", "--dataset", "d", "--force", "--target"])
                .arg(target),
            ("restic" | "rustic", None) => command.args(["backup", "."]).current_dir(source),
            ("restic", Some(target)) => command.args(["restore", "latest", "--target"]).arg(target),
            ("rustic", Some(target)) => command.args(["restore", "latest"]).arg(target),
            ("rclone", None) => command.arg("sync").arg(source).arg("crypt:"),
            ("rclone", Some(target)) => command.args(["copy", "crypt:"]).arg(target),
            (_, None) => command
                .arg("sync")
                .arg(format!("{}/", source.display()))
                .arg(format!("s3://{}/", self.bucket)),
            (_, Some(target)) => {
                command.arg("cp").arg(format!("s3://{}/*", self.bucket)).arg(format!("{}/", target.display()))
            }
        };
        run(&mut command)
    }

    fn command(&self) -> Result<Command> {
        let mut command = Command::new("timeout");
        command.arg(amount("N2S_LOAD_STEP_SECONDS", STEP_SECONDS).to_string());
        match self.name {
            "n2s" => command.arg(self.n2s),
            name => command.arg(installed(name)),
        };
        command.env("HOME", &self.place).env("XDG_CACHE_HOME", self.place.join("cache"));
        command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID).env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY);
        // rclone refuses a CA bundle from there, and the server speaks no TLS.
        command.env("AWS_REGION", "us-east-1").env_remove("AWS_CA_BUNDLE");
        let (endpoint, bucket) = (self.endpoint, &self.bucket);
        match self.name {
            "n2s" => command.env("N2S_HOME", self.place.join("home")),
            "restic" => command
                .env("RESTIC_REPOSITORY", format!("s3:{endpoint}/{bucket}"))
                .env("RESTIC_PASSWORD", PASSWORD),
            "rustic" => command.arg("-P").arg(self.place.join("profile")),
            "rclone" => {
                let obscured = Command::new(installed("rclone")).args(["obscure", PASSWORD]).output()?.stdout;
                command.env("RCLONE_CONFIG_S3_TYPE", "s3").env("RCLONE_CONFIG_S3_PROVIDER", "Other");
                command
                    .env("RCLONE_CONFIG_S3_ENDPOINT", endpoint)
                    .env("RCLONE_CONFIG_S3_REGION", "us-east-1");
                command.env("RCLONE_CONFIG_S3_ENV_AUTH", "true").env("RCLONE_CONFIG_CRYPT_TYPE", "crypt");
                command.env("RCLONE_CONFIG_CRYPT_REMOTE", format!("s3:{bucket}"));
                command.env("RCLONE_CONFIG_CRYPT_PASSWORD", String::from_utf8(obscured)?.trim())
            }
            _ => command.args(["--endpoint-url", endpoint]),
        };
        Ok(command)
    }
}

fn run(command: &mut Command) -> Result<f64> {
    let began = Instant::now();
    let output = command.stdin(Stdio::null()).output()?;
    let seconds = began.elapsed().as_secs_f64();
    let said = String::from_utf8_lossy(&output.stderr);
    let last: String = said.lines().rev().take(2).collect::<Vec<_>>().join(" / ");
    ensure!(output.status.success(), "{}: {}", output.status, last.chars().take(300).collect::<String>());
    Ok(seconds)
}

/// Milliseconds for an object, of each operation and size, with some under way at once.
async fn objects(endpoint: &str, bucket: &str) -> Result<Value> {
    let options = S3Options {
        region: "us-east-1".to_owned(),
        endpoint: Some(endpoint.to_owned()),
        path_style: Some(true),
        access_key_id: Some(ACCESS_KEY_ID.to_owned()),
        secret_access_key: Some(SecretKey::new(SECRET_ACCESS_KEY)),
        ..S3Options::new(bucket)
    };
    let store = &S3Store::new("objects", options)?;
    let mut sizes = Map::new();
    for size in SIZES {
        let count = if size > 100 << 10 { 50 } else { 200 };
        let bodies: Vec<_> = (0..count).map(|n| body(size, n)).collect();
        let keys: Vec<_> = bodies.iter().map(|(digest, _)| layout::blob(*digest)).collect();
        let put = each(&bodies, |(digest, bytes)| async move {
            let body = Body::Bytes(bytes.clone());
            let put = Put { key: layout::blob(*digest), body, digest: *digest, overwrite: false };
            store.put(put).await.map(drop)
        });
        let put = put.await?;
        let get = each(&keys, |key| async move { store.get(key.clone()).await.map(drop) }).await?;
        let began = Instant::now();
        let listed = store.list("blobs").count().await;
        let list = per_object(began, listed);
        let delete = each(&keys, |key| async move {
            store.delete(std::slice::from_ref(key)).await.pop().unwrap_or(Ok(()))
        })
        .await?;
        let times = json!({ "put_ms": put, "get_ms": get, "list_ms": list, "delete_ms": delete, "objects": count, "at_once": AT_ONCE });
        sizes.insert(format!("{size}"), times);
    }
    Ok(Value::Object(sizes))
}

fn body(size: usize, number: usize) -> (SealedHash, Bytes) {
    let bytes: Vec<u8> = number.to_le_bytes().into_iter().cycle().take(size).collect();
    (SealedHash(*blake3::hash(&bytes).as_bytes()), bytes.into())
}

async fn each<'a, T, F, E>(items: &'a [T], run: impl Fn(&'a T) -> F) -> Result<f64>
where
    F: Future<Output = Result<(), E>>,
    E: std::error::Error + Send + Sync + 'static,
{
    let began = Instant::now();
    let mut answers = stream::iter(items.iter().map(run)).buffer_unordered(AT_ONCE);
    while let Some(answer) = answers.next().await {
        answer?;
    }
    Ok(per_object(began, items.len()))
}

fn per_object(began: Instant, count: usize) -> f64 {
    began.elapsed().as_secs_f64() * 1_000.0 / crate::verdict::float(count.max(1))
}

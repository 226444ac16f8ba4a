//! The roles of a fleet, made of the product's libraries: the engine, which `n2s serve intake` has in its own process, and workers, which are
//! processes of their own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use n2s_catalog::{BackendRecord, Catalog};
use n2s_catalog_postgres::{PostgresCatalog, PostgresOptions};
use n2s_dispatcher::{
    Dispatcher, DispatcherDeps, DispatcherSettings, Folder, PoisonDesk, Sweeper, SweeperDeps,
    SweeperSettings, WipeWatch,
};
use n2s_domain::backoff::RetryPolicy;
use n2s_domain::{BackendName, SystemClock, SystemEntropy};
use n2s_queue::Bell;
use n2s_queue_rabbitmq::{Options, RabbitQueue};
use n2s_storage::{Staging, TimedOut, Verified};
use n2s_worker::{StoreDeps, Worker, WorkerDeps, WorkerSettings};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::store::NoStore;

/// What a worker's process is told, on its command line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkerOrders {
    pub database: String,
    pub broker: String,
    pub name: String,
    pub stores: usize,
    pub concurrency: (u32, u32),
    pub batch: u32,
    pub delay_ms: u64,
    pub trace: Option<PathBuf>,
}

/// The name of a store.
pub fn backend(index: usize) -> Result<BackendName> {
    Ok(format!("none{index}").parse()?)
}

/// The catalog, as the product opens it.
pub async fn open(database: &str) -> Result<Arc<dyn Catalog>> {
    Ok(Arc::new(PostgresCatalog::open(&PostgresOptions::new(database)).await?))
}

/// The rows of the stores.
pub async fn rows(catalog: &dyn Catalog, stores: usize) -> Result<Vec<BackendRecord>> {
    let named: Result<Vec<_>> = (0..stores).map(|i| Ok((backend(i)?, "none".to_owned()))).collect();
    Ok(catalog.ensure_backends(&named?).await?)
}

fn staging() -> Staging {
    Staging::new(Arc::new(NoStore::new("staging", Duration::ZERO, None)))
}

/// Dispatcher, folder, sweeper, and what watches over the broker.
pub struct Engine {
    pub bell: Bell,
    stop: CancellationToken,
    parts: JoinSet<()>,
    queue: Arc<RabbitQueue>,
}

impl Engine {
    /// Starts them for these stores.
    pub async fn start(catalog: &Arc<dyn Catalog>, broker: &str, stores: usize) -> Result<Self> {
        let bell = Bell::new();
        let desk = PoisonDesk::new(Arc::clone(catalog), bell.clone());
        let queue = Arc::new(RabbitQueue::start(Options::new(broker), Some(Arc::new(desk)))?);
        let backends = rows(&**catalog, stores).await?.into_iter().map(|row| (row.id, row.name)).collect();
        let deps = DispatcherDeps {
            catalog: Arc::clone(catalog),
            queue: Arc::clone(&queue) as _,
            bell: bell.clone(),
            backends,
        };
        let sweeping = SweeperDeps {
            catalog: Arc::clone(catalog),
            staging: staging(),
            bell: bell.clone(),
            clock: Arc::new(SystemClock),
        };
        let (stop, mut parts) = (CancellationToken::new(), JoinSet::new());
        parts.spawn(Dispatcher::new(deps, DispatcherSettings::default()).run(stop.clone()));
        parts.spawn(Folder::new(Arc::clone(catalog), bell.clone()).run(stop.clone()));
        parts.spawn(Sweeper::new(sweeping, SweeperSettings::default()).run(stop.clone()));
        parts.spawn(
            WipeWatch::new(Arc::clone(catalog), Arc::clone(&queue) as _, bell.clone()).run(stop.clone()),
        );
        Ok(Self { bell, stop, parts, queue })
    }

    /// Stops them.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.parts.join_next().await.is_some() {}
        self.queue.close().await;
    }
}

/// Works until its standard input ends.
pub async fn work(orders: WorkerOrders) -> Result<()> {
    let catalog = open(&orders.database).await?;
    let queue = Arc::new(RabbitQueue::start(Options::new(orders.broker.as_str()), None)?);
    let mut stores = Vec::new();
    for (index, row) in rows(&*catalog, orders.stores).await?.into_iter().enumerate() {
        let trace = orders.trace.as_ref().filter(|_| index == 0).map(File::create).transpose()?;
        let plain = NoStore::new(row.name.as_str(), Duration::from_millis(orders.delay_ms), trace);
        let timed = TimedOut::new(Arc::new(plain), Duration::from_secs(30));
        stores.push(StoreDeps {
            id: row.id,
            name: row.name,
            kind: row.kind,
            storage: Arc::new(Verified(Arc::new(timed))),
            retry: RetryPolicy {
                attempts_max: 10,
                base: Duration::from_millis(100),
                cap: Duration::from_mins(1),
            },
            concurrency: orders.concurrency,
            batch: orders.batch,
        });
    }
    let deps = WorkerDeps {
        catalog,
        queue: Arc::clone(&queue) as _,
        staging: staging(),
        bell: Bell::new(),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        stores,
        sources: Vec::new(),
    };
    let worker = Worker::new(deps, WorkerSettings::new(orders.name));
    let (stop, attendance) = (CancellationToken::new(), worker.attendance());
    let running = tokio::spawn(worker.run(stop.clone()));
    while !attendance.absences().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println_ready()?;
    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await?;
    stop.cancel();
    running.await?;
    queue.close().await;
    Ok(())
}

fn println_ready() -> Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    writeln!(out, "ready")?;
    Ok(out.flush()?)
}

/// A worker's process. It ends with its input, or with this.
pub struct WorkerProcess {
    child: Child,
    input: Option<ChildStdin>,
    _output: ChildStdout,
}

impl WorkerProcess {
    /// Starts one, and waits until it hears its queues.
    pub fn start(orders: &WorkerOrders) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("worker").arg(serde_json::to_string(orders)?);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (input, mut output) = (child.stdin.take(), child.stdout.take().context("it is piped")?);
        let mut ready = [0; 6];
        let heard = std::io::Read::read_exact(&mut output, &mut ready);
        ensure!(heard.is_ok() && &ready == b"ready\n", "a worker did not start");
        Ok(Self { child, input, _output: output })
    }

    /// Several.
    pub fn start_many(orders: &WorkerOrders, count: usize) -> Result<Vec<Self>> {
        let named = |i: usize| WorkerOrders { name: format!("{}-{i}", orders.name), ..orders.clone() };
        (0..count).map(|i| Self::start(&named(i))).collect()
    }

    /// Tells it to stop, and waits.
    pub fn stop(mut self) -> Result<()> {
        drop(self.input.take());
        ensure!(self.child.wait()?.success(), "a worker ended badly");
        Ok(())
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        drop(self.input.take());
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file for a worker's trace below `dir`.
pub fn trace(dir: &Path, worker: usize) -> PathBuf {
    dir.join(format!("trace-{worker}"))
}

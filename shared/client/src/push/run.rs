//! The push from open to commit.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use n2s_domain::PathSpan;
use n2s_envelope::Metadata;
use n2s_failpoints::{Point, failpoint};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use super::base::{Base, Cached, Changes, Rows};
use super::batch::{Batch, Done, Shared, process};
use super::diff::{Merge, Rules, Step};
use super::error::PushError;
use super::manifest::{self, Facts};
use super::measure;
use super::options::{PROBLEMS_NAMED_MAX, PushDeps, PushOptions, PushReport, Source};
use super::scope::Scope;
use super::seals::Terms;
use super::stat_cache::{CacheKey, CacheReader, CacheWriter};
use crate::budget::Budget;
use crate::seam::{OpenRequest, Opened, SeamError, Selector, TakeOver};
use crate::tree::{Excludes, Root, WalkOptions, Walked, walk, walk_named};

/// Walked entries handed over at a time.
const HANDED: usize = 256;
/// Between two renewals of the lease.
const RENEW_EVERY: Duration = Duration::from_secs(30);
/// Plaintext in memory: sealed copies about double it.
const BUDGET_KIB: u32 = 32 * 1024;

/// Tries of one push that found out, at its end, that it must read some files again.
const TRIES: u32 = 3;

/// Pushes. On an error after opening, the push stays open and the next one resumes it; a refused mass removal is undone. What
/// only needs files to be read again, a blob that lost its last source meanwhile or a cache that is damaged, is resumed here.
pub async fn push(deps: &PushDeps, options: &PushOptions) -> Result<PushReport, PushError> {
    let mut options = options.clone();
    let terms = Terms::of(deps, &options).await?;
    let mut tries = 1;
    loop {
        match push_once(deps, &options, &terms).await {
            Err(PushError::Seam(SeamError::Unsourced(lost))) if tries < TRIES => {
                tracing::info!(
                    blobs = lost.len(),
                    "blobs lost their last source during the push; sending them again"
                );
            }
            Err(PushError::Cache(error)) if tries < TRIES => {
                tracing::warn!(%error, "the stat cache is damaged; reading every file");
                if let Some(dir) = &options.cache_dir {
                    // If it stays, the next try says so.
                    let _ = std::fs::remove_file(cache_path(dir, &terms, &options));
                }
            }
            ended => return ended,
        }
        // Its own push is still open.
        options.take_over = TakeOver::OwnEvenIfLive;
        tries += 1;
    }
}

async fn push_once(deps: &PushDeps, options: &PushOptions, terms: &Terms) -> Result<PushReport, PushError> {
    let source = |source| PushError::Source { path: options.root.clone(), source };
    let root = Root::open(&options.root).map_err(source)?;
    let walk_options = WalkOptions {
        excludes: Excludes::from_patterns(&options.excludes)?,
        one_file_system: options.one_file_system,
    };
    let catalog = deps.producer.catalog_id().await?;
    let opened = deps.producer.open(&request(terms, options)).await?;
    failpoint(Point::ClientOpened);
    let shared = Arc::new(Shared {
        producer: Arc::clone(&deps.producer),
        progress: Arc::clone(&deps.progress),
        clock: Arc::clone(&deps.clock),
        root,
        lease: opened.lease,
        vault: terms.vault,
        seals: terms.seals.clone(),
        chunk_seed: terms.chunk_seed,
        blob: Metadata::blob(options.project.clone(), options.dataset.clone()),
        budget: Budget::new(BUDGET_KIB),
    });
    let _renewing = AbortOnDropHandle::new(tokio::spawn(renew(Arc::clone(&shared))));
    let cache_path = options.cache_dir.as_ref().map(|dir| cache_path(dir, terms, options));
    let _measuring = measure::start(options, &walk_options, &deps.progress);
    let mut run = Run::new(&shared, &opened, cache_path.as_ref().filter(|_| is_tree(options)))?;
    let cache = cache(deps, options, &opened, cache_path.as_ref()).await?;
    let (scope, spans) = Scope::of(&shared.root, &options.source);
    let base = base(deps, options, &opened, spans, cache).await?;
    let rules = Rules { scope, checksum: options.checksum, resend: sorted(&opened) };
    run.merge(base, Merge::new(rules), walker(options, walk_options)).await?;
    failpoint(Point::TreeEntered);
    refuse_mass_removal(&shared, options, &opened).await?;
    let facts = Facts { catalog, opened: &opened, snapshot: options.snapshot.clone(), now: deps.clock.now() };
    manifest::commit(&shared, &facts, run.batches).await?;
    failpoint(Point::ClientCommitted);
    run.finish(&CacheKey { catalog, changeset: opened.lease.changeset, version: opened.version });
    Ok(run.report)
}

fn request(terms: &Terms, options: &PushOptions) -> OpenRequest {
    OpenRequest {
        project: options.project.clone(),
        dataset: options.dataset.clone(),
        vault: terms.vault,
        store_key: terms.store_key,
        snapshot: options.snapshot.clone(),
        description: options.description.clone(),
        client_id: options.client_id.clone(),
        metadata: options.metadata.clone(),
        backends: options.backends.clone(),
        min_copies: options.min_copies,
        take_over: options.take_over,
    }
}

async fn renew(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        // A failure shows in the next call of the push itself.
        drop(shared.producer.renew(&shared.lease).await);
    }
}

/// One cache per dataset and root.
fn cache_path(dir: &std::path::Path, terms: &Terms, options: &PushOptions) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&terms.store_key.0);
    let root = options.root.canonicalize().unwrap_or_else(|_| options.root.clone());
    hasher.update(root.as_os_str().as_bytes());
    dir.join(&hasher.finalize().to_hex()[..32])
}

async fn base(
    deps: &PushDeps,
    options: &PushOptions,
    opened: &Opened,
    spans: Vec<PathSpan>,
    cache: Option<CacheReader>,
) -> Result<Base, PushError> {
    if opened.parent.is_none() && opened.resumed.is_none_or(|batch| batch == 0) {
        return Ok(Base::Empty);
    }
    match (&options.source, cache) {
        (Source::Tree, Some(cache)) => {
            let since = cache.key().version;
            let changes = Changes::since(Arc::clone(&deps.producer), opened.lease, since);
            Ok(Base::Cached(Box::new(Cached::new(cache, changes))))
        }
        (_, cache) => {
            let selector = Selector::Open(opened.lease.changeset);
            let version = deps.reader.version(&options.project, &options.dataset, &selector).await?;
            Ok(Base::Rows(Box::new(Rows::new(Arc::clone(&deps.reader), version, spans, cache))))
        }
    }
}

/// The stat cache, if it describes a version of this very line. Paths that were named one by one are read anyway.
async fn cache(
    deps: &PushDeps,
    options: &PushOptions,
    opened: &Opened,
    path: Option<&PathBuf>,
) -> Result<Option<CacheReader>, PushError> {
    let wanted = path.filter(|_| !matches!(options.source, Source::Paths(_)));
    let (Some(cache), Some(parent)) = (wanted.and_then(|path| CacheReader::open(path)), opened.parent) else {
        return Ok(None);
    };
    let key = cache.key();
    if key.catalog != deps.producer.catalog_id().await? {
        return Ok(None);
    }
    if key.changeset == parent.changeset {
        return Ok(Some(cache));
    }
    // A catalog that was put back from a backup gives numbers out again.
    let selector = Selector::Changeset(key.changeset);
    let version = deps.reader.version(&options.project, &options.dataset, &selector).await;
    Ok(version
        .ok()
        .filter(|found| found.version == key.version && key.version < parent.version)
        .map(|_| cache))
}

/// Only a push of the whole tree sees what a cache must hold.
fn is_tree(options: &PushOptions) -> bool {
    matches!(options.source, Source::Tree)
}

fn sorted(opened: &Opened) -> Vec<n2s_domain::ContentHash> {
    let mut resend = opened.resend.clone();
    resend.sort_unstable();
    resend
}

type Handed = Result<Vec<Walked>, std::io::Error>;

/// Walks on a thread of its own.
fn walker(options: &PushOptions, walk_options: WalkOptions) -> mpsc::Receiver<Handed> {
    let (sender, receiver) = mpsc::channel(16);
    let (path, source) = (options.root.clone(), options.source.clone());
    std::thread::spawn(move || {
        let mut pack = Vec::with_capacity(HANDED);
        let hand = |walked: Walked| {
            pack.push(walked);
            pack.len() < HANDED || sender.blocking_send(Ok(std::mem::take(&mut pack))).is_ok()
        };
        let walked = Root::open(&path).and_then(|root| match &source {
            Source::Tree => walk(&root, &walk_options, hand),
            Source::Below(paths) => walk_named(&root, paths, true, &walk_options, hand),
            Source::Paths(paths) => walk_named(&root, paths, false, &walk_options, hand),
        });
        // The receiver is gone when the push has failed: then nobody wants the rest.
        let _ = sender.blocking_send(walked.map(|()| std::mem::take(&mut pack)));
    });
    receiver
}

struct Run<'a> {
    shared: &'a Arc<Shared>,
    report: PushReport,
    cache: Option<CacheWriter>,
    batches: u64,
    next_number: u64,
    open: Batch,
    under_way: FuturesOrdered<JoinHandle<Result<Done, PushError>>>,
    at_once: usize,
    path: PathBuf,
}

impl<'a> Run<'a> {
    fn new(shared: &'a Arc<Shared>, opened: &Opened, cache: Option<&PathBuf>) -> Result<Self, PushError> {
        let io = |source| PushError::Io { doing: "writing the stat cache", source };
        let report = PushReport {
            changeset: opened.lease.changeset,
            version: opened.version,
            backends: opened.backends.clone(),
            resumed: opened.resumed.is_some(),
            seen: 0,
            put: 0,
            removed: 0,
            unchanged: 0,
            read_bytes: 0,
            sent_bytes: 0,
            problems: Vec::new(),
            problem_count: 0,
            serious_count: 0,
        };
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let resumed = opened.resumed.unwrap_or(0);
        Ok(Self {
            shared,
            report,
            cache: cache.map(|path| CacheWriter::create(path)).transpose().map_err(io)?,
            batches: opened.recorded,
            next_number: resumed + 1,
            open: Batch::default(),
            under_way: FuturesOrdered::new(),
            at_once: cores + 2,
            path: PathBuf::new(),
        })
    }

    /// Merges the walk with what is known, batch by batch.
    async fn merge(
        &mut self,
        mut base: Base,
        mut merge: Merge,
        mut walker: mpsc::Receiver<Handed>,
    ) -> Result<(), PushError> {
        let mut pack = Vec::new().into_iter();
        let mut known = base.next().await?;
        let mut walked: Option<Walked> = None;
        loop {
            if walked.is_none() {
                walked = pack.next();
            }
            if walked.is_none() {
                // The last pack may be empty; the end is the channel's.
                match walker.recv().await {
                    Some(Ok(more)) => {
                        self.shared.progress.seen(more.len() as u64);
                        pack = more.into_iter();
                        continue;
                    }
                    Some(Err(source)) => return Err(PushError::Source { path: self.path.clone(), source }),
                    None => {}
                }
            }
            let step = match Merge::order(walked.as_ref(), known.as_ref()) {
                None => break,
                Some(std::cmp::Ordering::Greater) => {
                    let step = known.take().map(|known| merge.only_known(known));
                    known = base.next().await?;
                    step
                }
                Some(order) => {
                    self.report.seen += 1;
                    let same = if order.is_eq() { known.take() } else { None };
                    let advance = same.is_some();
                    let step = walked.take().map(|walked| merge.walked(walked, same));
                    if advance {
                        known = base.next().await?;
                    }
                    step
                }
            };
            if let Some(step) = step {
                self.add(step).await?;
            }
        }
        self.close().await?;
        while !self.under_way.is_empty() {
            self.collect().await?;
        }
        Ok(())
    }

    async fn add(&mut self, step: Step) -> Result<(), PushError> {
        self.open.push(step);
        if self.open.is_full() { self.close().await } else { Ok(()) }
    }

    async fn close(&mut self) -> Result<(), PushError> {
        let mut batch = std::mem::take(&mut self.open);
        if batch.is_empty() {
            return Ok(());
        }
        if batch.changes() {
            batch.number = Some(self.next_number);
            self.next_number += 1;
            self.batches += 1;
        }
        // In order: a large file must not overtake the small ones before it, which would then wait for all of it.
        let share = self.shared.budget.take(batch.bytes()).await;
        self.under_way.push_back(tokio::spawn(process(Arc::clone(self.shared), batch, share)));
        while self.under_way.len() >= self.at_once {
            self.collect().await?;
        }
        Ok(())
    }

    /// Takes the oldest batch's result.
    async fn collect(&mut self) -> Result<(), PushError> {
        let Some(done) = self.under_way.next().await else { return Ok(()) };
        let done = done.expect("a batch does not panic")?;
        let report = &mut self.report;
        report.put += done.put;
        report.removed += done.removed;
        report.unchanged += done.unchanged;
        report.read_bytes += done.read_bytes;
        report.sent_bytes += done.sent_bytes;
        report.problem_count += done.problems.len() as u64;
        report.serious_count += done.problems.iter().filter(|problem| problem.serious).count() as u64;
        let room = PROBLEMS_NAMED_MAX.saturating_sub(report.problems.len());
        report.problems.extend(done.problems.into_iter().take(room));
        let written = self
            .cache
            .as_mut()
            .map_or(Ok(()), |cache| done.seen.iter().try_for_each(|seen| cache.push(seen)));
        if written.is_err() {
            // A full disk costs the cache, not the push.
            self.cache = None;
        }
        Ok(())
    }

    /// The version is committed: the cache describes it. Failing to keep it costs the next push time, nothing else.
    fn finish(&mut self, key: &CacheKey) {
        if let Some(Err(error)) = self.cache.take().map(|cache| cache.finish(key)) {
            tracing::warn!(%error, "the stat cache could not be kept; the next push reads every file");
        }
    }
}

/// A push that takes most of the dataset away is undone unless it was allowed to: an unmounted disk looks like that.
async fn refuse_mass_removal(
    shared: &Shared,
    options: &PushOptions,
    opened: &Opened,
) -> Result<(), PushError> {
    let Some(parent) = opened.parent.filter(|_| !options.allow_mass_removal) else { return Ok(()) };
    let counts = shared.producer.version_counts(&shared.lease).await?;
    // The root itself is always there.
    let before = parent.file_count.saturating_sub(1);
    if counts.removed * 2 <= before {
        return Ok(());
    }
    shared.producer.abandon(&shared.lease).await?;
    Err(PushError::MassRemoval { before, removed: counts.removed })
}

//! `n2s push`.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use n2s_assembly::{Engine, PushLock};
use n2s_client::push::{PushDeps, PushOptions, PushReport, Source, push};
use n2s_client::seam::TakeOver;
use n2s_domain::{ChangesetStatus, RelPath};
use serde_json::json;

use super::wait::{Waited, wait_for};
use crate::args::Push;
use crate::exit::Usage;
use crate::output::{Output, bytes};
use crate::progress::Watch;
use crate::side::{Place, Side};

pub async fn run(place: Place, args: Push, output: &Output) -> anyhow::Result<ExitCode> {
    let (root, source) = source(&args)?;
    let side = place.open_or_make().await?;
    if side.node.as_ref().is_some_and(|node| node.made_vault) {
        output.note(&format!(
            "made a vault at {}; without it nothing can be read: back it up, or print its root with `n2s keys print-root`",
            side.home.vault().display()
        ));
    }
    let key = side.store_key(&args.dataset.project, &args.dataset.dataset).await?;
    let Some(_lock) = PushLock::take(&side.home, key)? else {
        let dataset = &args.dataset;
        anyhow::bail!(
            "another process of this home is pushing {}/{}; wait for it to end",
            dataset.project,
            dataset.dataset
        );
    };
    let engine = match &side.node {
        Some(node) => Some(Engine::start(node).await?),
        None => None,
    };
    let watch = Arc::new(Watch::new(output));
    let ended = pushed(&side, &watch, args, (root, source), output).await;
    watch.end();
    if let Some(engine) = engine {
        engine.stop().await;
    }
    ended
}

async fn pushed(
    side: &Side,
    watch: &Arc<Watch>,
    args: Push,
    (root, source): (PathBuf, Source),
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let deps = PushDeps {
        producer: Arc::clone(&side.producer),
        reader: Arc::clone(&side.reader),
        vault: side.vault(),
        clock: Arc::clone(&side.clock),
        progress: Arc::clone(watch) as _,
    };
    let no_wait = args.no_wait;
    let report = push(&deps, &options(side, args, root, source)).await?;
    if no_wait {
        let record = side.operator.changeset(report.changeset).await?;
        return Ok(tell(&report, record.status, None, output));
    }
    let waited = wait_for(side, report.changeset, watch).await?;
    Ok(tell(&report, waited.status, Some(&waited), output))
}

fn options(side: &Side, args: Push, root: PathBuf, source: Source) -> PushOptions {
    let client_id = args.client_id.unwrap_or_else(|| {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let home = blake3::hash(side.home.root().as_os_str().as_bytes()).to_hex();
        format!("{host}/{}", &home[..8])
    });
    PushOptions {
        project: args.dataset.project,
        dataset: args.dataset.dataset,
        snapshot: args.snapshot,
        description: args.description,
        client_id,
        metadata: args.meta.into_iter().collect(),
        backends: args.backends,
        min_copies: args.min_copies,
        // The push lock proves that a former push of this home is dead.
        take_over: if args.take_over { TakeOver::Abandon } else { TakeOver::OwnEvenIfLive },
        root,
        source,
        excludes: args.exclude,
        one_file_system: args.one_file_system,
        checksum: args.checksum,
        allow_mass_removal: args.allow_mass_removal,
        cache_dir: Some(side.home.cache()),
    }
}

/// The root, and what of it. One directory is its own root; a file's root is the directory it lies in.
fn source(args: &Push) -> anyhow::Result<(PathBuf, Source)> {
    if let Some(list) = &args.files_from {
        let root = args.root.clone().ok_or_else(|| Usage("--files-from needs --root DIR".to_owned()))?;
        let paths = listed(list)?.iter().map(|path| relative(&root, path)).collect::<Result<_, _>>()?;
        return Ok((root, Source::Paths(paths)));
    }
    for path in &args.paths {
        if !args.delta && path.symlink_metadata().is_err() {
            return Err(Usage(format!("the source {} is not there", path.display())).into());
        }
    }
    let root = match (&args.root, args.paths.as_slice()) {
        (Some(root), _) => root.clone(),
        (None, [path]) if path.is_dir() && !args.delta => return Ok((path.clone(), Source::Tree)),
        (None, [path]) => std::path::absolute(path)?.parent().map_or_else(|| path.clone(), Path::to_path_buf),
        (None, _) => return Err(Usage("several PATHs need --root DIR".to_owned()).into()),
    };
    let paths = args.paths.iter().map(|path| relative(&root, path)).collect::<Result<Vec<_>, _>>()?;
    Ok((root, if args.delta { Source::Paths(paths) } else { Source::Below(paths) }))
}

/// A path below the root: as seen from here, or else from the root.
fn relative(root: &Path, path: &Path) -> anyhow::Result<RelPath> {
    let (from, at) = (std::path::absolute(root)?, std::path::absolute(path)?);
    let below = match at.strip_prefix(&from) {
        Ok(below) => below,
        Err(_) if path.is_relative() && path.symlink_metadata().is_err() => path,
        Err(_) => {
            let (path, root) = (path.display(), root.display());
            return Err(Usage(format!("{path} does not lie below --root {root}")).into());
        }
    };
    let bytes: Vec<u8> =
        below.as_os_str().as_bytes().strip_suffix(b"/").unwrap_or(below.as_os_str().as_bytes()).to_vec();
    Ok(RelPath::new(bytes).map_err(|error| Usage(error.to_string()))?)
}

fn listed(list: &Path) -> anyhow::Result<Vec<PathBuf>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    if list.as_os_str() == "-" {
        std::io::stdin().read_to_end(&mut bytes)?;
    } else {
        let read = std::fs::File::open(list).and_then(|mut file| file.read_to_end(&mut bytes));
        read.map_err(|error| Usage(format!("--files-from {}: {error}", list.display())))?;
    }
    let separator = if bytes.contains(&0) { 0 } else { b'\n' };
    let names = bytes.split(|&b| b == separator).filter(|name| !name.is_empty());
    Ok(names.map(|name| PathBuf::from(std::ffi::OsStr::from_bytes(name))).collect())
}

fn tell(report: &PushReport, status: ChangesetStatus, waited: Option<&Waited>, output: &Output) -> ExitCode {
    for problem in &report.problems {
        output.note(&format!("{}: {}", problem.path, problem.what));
    }
    let stuck = waited.and_then(|waited| waited.stuck.clone());
    let text = format!(
        "changeset {}\nversion {}: {} new or changed, {} removed, {} unchanged; {} read, {} sent\n{}",
        report.changeset,
        report.version,
        report.put,
        report.removed,
        report.unchanged,
        bytes(report.read_bytes),
        bytes(report.sent_bytes),
        match (&stuck, status) {
            (Some(stuck), _) => format!("staged, but not everywhere yet: {stuck}"),
            (None, ChangesetStatus::Completed) => "completed on every store".to_owned(),
            (None, status) => format!("{status}; see `n2s status {}`", report.changeset),
        }
    );
    let problems = report.problems.iter();
    let problems = problems
        .map(|problem| json!({ "path": problem.path, "what": problem.what, "serious": problem.serious }));
    output.answer(
        &text,
        &json!({
            "changeset": report.changeset, "version": report.version, "status": status, "resumed": report.resumed,
            "backends": report.backends, "put": report.put, "removed": report.removed, "unchanged": report.unchanged,
            "read_bytes": report.read_bytes, "sent_bytes": report.sent_bytes, "stuck": stuck,
            "problem_count": report.problem_count, "problems": problems.collect::<Vec<_>>(),
        }),
    );
    let settled = matches!(status, ChangesetStatus::Completed) || waited.is_none();
    if report.serious_count == 0 && settled && stuck.is_none() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    }
}

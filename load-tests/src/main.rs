#![doc = include_str!("../README.md")]

mod floor;
mod report;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use n2s_load_tests::data::Data;
use n2s_load_tests::measure::{Usage, measure};
use n2s_load_tests::{data, measure, programs};
use programs::{Program, Step};
use report::{Figure, Outcome, Report, Set};

struct Options {
    n2s: PathBuf,
    files: u32,
    large_mib: u64,
    tiny: u32,
    runs: usize,
    dir: Option<PathBuf>,
    only: Option<String>,
}

/// Before each step, for the disk to come to rest.
const REST: Duration = Duration::from_secs(6);

fn main() -> Result<()> {
    let options = parse(std::env::args().skip(1))?;
    let work = match &options.dir {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    }
    .context("no directory to work in; name one with --dir")?;
    let processors = std::thread::available_parallelism()?.get();
    let mut report = Report { processors, ..Report::default() };
    for data in sets(&options) {
        go_through(data, &options, work.path(), &mut report)?;
    }
    report.judge();
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &report)?;
    Ok(writeln!(out)?)
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Options> {
    let mut options = Options {
        n2s: PathBuf::new(),
        files: 20_000,
        large_mib: 4_096,
        tiny: 1_000_000,
        runs: 3,
        dir: None,
        only: None,
    };
    while let Some(arg) = args.next() {
        let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--files" => options.files = value()?.parse().context("--files takes a number")?,
            "--large-mib" => options.large_mib = value()?.parse().context("--large-mib takes a number")?,
            "--tiny" => options.tiny = value()?.parse().context("--tiny takes a number")?,
            "--runs" => options.runs = value()?.parse().context("--runs takes a number")?,
            "--dir" => options.dir = Some(value()?.into()),
            "--only" => options.only = Some(value()?),
            _ if arg.starts_with('-') => bail!("there is no option {arg}; see load-tests/README.md"),
            _ => options.n2s = std::path::absolute(arg)?,
        }
    }
    ensure!(options.n2s.is_file(), "name the n2s binary to measure: make build makes target/release/n2s");
    ensure!(options.runs > 0, "--runs takes 1 or more");
    Ok(options)
}

fn sets(options: &Options) -> Vec<Data> {
    let all = [Data::Files(options.files), Data::Large(options.large_mib << 20), Data::Tiny(options.tiny)];
    all.into_iter().filter(|data| !data.is_empty()).collect()
}

/// One set: each program in turn, as often as asked, so that a slow minute of the machine meets all of them.
///
/// What many small files leave behind stays until everything is measured: ext4 without a journal passes over inodes that were freed within
/// the last five minutes one by one, so that whoever makes files then pays for those that somebody else has deleted.
fn go_through(data: Data, options: &Options, work: &Path, report: &mut Report) -> Result<()> {
    let work = &work.join(data.name());
    fs::create_dir(work)?;
    let source = work.join("source");
    let (files, bytes) = data.make(&source).context("the data could not be made; is the disk full?")?;
    let wanted = |program: &Program| {
        (program.is_ours || data.has_peers()) && options.only.as_ref().is_none_or(|only| only == program.name)
    };
    let programs: Vec<_> = programs::all(&options.n2s).into_iter().filter(wanted).collect();
    let mut runs: Vec<Vec<Ran>> = programs.iter().map(|_| Vec::new()).collect();
    let (mut pushes, mut pulls) = (Vec::new(), Vec::new());
    let mut set = Set { data: data.name(), files, bytes, catalog_bytes: None };
    for round in 0..data.runs(options.runs) {
        for (program, runs) in programs.iter().zip(&mut runs) {
            writeln!(std::io::stderr(), "{}: {}, run {}", data.name(), program.name, round + 1)?;
            let place = work.join(format!("{}-{round}", program.name));
            fs::create_dir(&place)?;
            runs.extend(run(program, data, &source, &place, &mut set)?);
            data.restore(&source)?;
            if matches!(data, Data::Large(_)) {
                fs::remove_dir_all(&place)?;
            }
        }
        if matches!(data, Data::Files(_)) {
            rest();
            pulls.push(floor::pull::measure(&source, &work.join(format!("pulled-{round}")), rest)?);
            rest();
            pushes.push(floor::push::measure(&source, &work.join(format!("pushed-{round}")))?);
        }
    }
    if matches!(data, Data::Large(_)) {
        rest();
        report.floor = Some(floor::measure(&source.join(Data::LARGE), &work.join("floor"))?);
    }
    if matches!(data, Data::Files(_)) {
        (report.files_pull_floor, report.files_push_floor) = (median(pulls), median(pushes));
    }
    for (program, runs) in programs.iter().zip(runs) {
        report.figures.extend(figures(program, data, &runs));
    }
    report.data.push(set);
    if matches!(data, Data::Large(_)) {
        fs::remove_dir_all(work)?;
    }
    Ok(())
}

fn median(mut seconds: Vec<f64>) -> Option<f64> {
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied()
}

type Ran = (Step, Result<Usage, String>);

/// All steps of one program on one set. n2s must succeed; another program's failure is written down.
fn run(program: &Program, data: Data, source: &Path, work: &Path, set: &mut Set) -> Result<Vec<Ran>> {
    let (store, target) = (work.join("store"), work.join("target"));
    let mut prepared = match program.version() {
        None => Err(format!("{} is not installed", program.name)),
        Some(_) => fs::create_dir(&store)
            .map_err(anyhow::Error::from)
            .and_then(|()| program.prepare(&store))
            .map_err(said),
    };
    let mut steps = Vec::new();
    let all = [Step::First, Step::Unchanged, Step::Changed, Step::Pull];
    for step in all.into_iter().filter(|step| *step != Step::Changed || data.can_change()) {
        if step == Step::Changed {
            data.change(source)?;
        }
        rest();
        let ran = prepared.clone().and_then(|()| {
            let target = (step == Step::Pull).then_some(target.as_path());
            let push = if step == Step::Pull { data.last_push() } else { step };
            measure(&mut program.step(push, source, &store, target).map_err(said)?).map_err(said)
        });
        if let Err(why) = &ran {
            ensure!(!program.is_ours, "n2s, {step:?} of {}: {why}", data.name());
            // What follows a failed step would be measured on something else.
            prepared = Err(why.clone());
        }
        if program.is_ours && step == Step::First {
            set.catalog_bytes = Some(programs::catalog_bytes(&store));
        }
        steps.push((step, ran));
    }
    if program.is_ours {
        compare(source, &target)?;
    }
    Ok(steps)
}

/// What was written or deleted before is not the next step's.
fn rest() {
    rustix::fs::sync();
    std::thread::sleep(REST);
}

fn figures(program: &Program, data: Data, runs: &[Ran]) -> Vec<Figure> {
    let steps = [Step::First, Step::Unchanged, Step::Changed, Step::Pull];
    let of = |step| {
        let these = runs.iter().filter(move |(which, _)| *which == step);
        let these: Result<Vec<Usage>, &String> = these.map(|(_, ran)| ran.as_ref().copied()).collect();
        let outcome = match these {
            Ok(runs) if runs.is_empty() => return None,
            Ok(runs) => Outcome::of(&runs),
            Err(why) => Outcome::NotMeasured { not_measured: why.clone() },
        };
        let version = program.version().unwrap_or_default();
        let (name, durability) = (program.name, program.durability);
        Some(Figure { program: name, version, durability, data: data.name(), step, outcome })
    };
    steps.into_iter().filter_map(of).collect()
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
fn said(error: anyhow::Error) -> String {
    format!("{error:#}")
}

fn compare(source: &Path, target: &Path) -> Result<()> {
    let same = Command::new("diff").args(["-r", "--no-dereference"]).arg(source).arg(target).status()?;
    ensure!(same.success(), "what n2s pulled is not what it pushed");
    Ok(())
}

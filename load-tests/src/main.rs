#![doc = include_str!("../README.md")]

mod data;
mod measure;
mod programs;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;

use data::Data;
use measure::measure;
use programs::{Program, Step};

struct Options {
    n2s: PathBuf,
    files: u32,
    large_mib: u64,
    tiny: u32,
    dir: Option<PathBuf>,
    only: Option<String>,
}

#[derive(Serialize)]
struct Report {
    processors: usize,
    data: Vec<Set>,
    figures: Vec<Figure>,
}

#[derive(Serialize)]
struct Set {
    data: &'static str,
    files: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct Figure {
    program: &'static str,
    version: String,
    durability: &'static str,
    data: &'static str,
    step: Step,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Outcome {
    Measured { seconds: f64, peak_rss_bytes: u64 },
    NotMeasured { not_measured: String },
}

fn main() -> Result<()> {
    let options = parse(std::env::args().skip(1))?;
    let work = match &options.dir {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    }
    .context("no directory to work in; name one with --dir")?;
    let mut report = Report {
        processors: std::thread::available_parallelism()?.get(),
        data: Vec::new(),
        figures: Vec::new(),
    };
    for data in sets(&options) {
        let source = work.path().join("source");
        let (files, bytes) = data.make(&source).context("the data could not be made; is the disk full?")?;
        report.data.push(Set { data: data.name(), files, bytes });
        for program in programs::all(&options.n2s) {
            if options.only.as_ref().is_none_or(|only| only == program.name) {
                run(&program, data, &source, work.path(), &mut report.figures)?;
                data.restore(&source)?;
            }
        }
        fs::remove_dir_all(&source)?;
    }
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &report)?;
    Ok(writeln!(out)?)
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Options> {
    let mut options =
        Options { n2s: PathBuf::new(), files: 20_000, large_mib: 4_096, tiny: 0, dir: None, only: None };
    while let Some(arg) = args.next() {
        let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--files" => options.files = value()?.parse().context("--files takes a number")?,
            "--large-mib" => options.large_mib = value()?.parse().context("--large-mib takes a number")?,
            "--tiny" => options.tiny = value()?.parse().context("--tiny takes a number")?,
            "--dir" => options.dir = Some(value()?.into()),
            "--only" => options.only = Some(value()?),
            _ if arg.starts_with('-') => bail!("there is no option {arg}; see load-tests/README.md"),
            _ => options.n2s = std::path::absolute(arg)?,
        }
    }
    ensure!(options.n2s.is_file(), "name the n2s binary to measure: make build makes target/release/n2s");
    Ok(options)
}

fn sets(options: &Options) -> Vec<Data> {
    let all = [Data::Files(options.files), Data::Large(options.large_mib << 20), Data::Tiny(options.tiny)];
    all.into_iter().filter(|data| !data.is_empty()).collect()
}

/// All steps of one program on one set. n2s must succeed; another program's failure is written down.
fn run(program: &Program, data: Data, source: &Path, work: &Path, figures: &mut Vec<Figure>) -> Result<()> {
    let (store, target) = (work.join("store"), work.join("target"));
    let version = program.version();
    let mut prepared = match &version {
        None => Err(format!("{} is not installed", program.name)),
        Some(_) => fs::create_dir(&store)
            .map_err(anyhow::Error::from)
            .and_then(|()| program.prepare(&store))
            .map_err(said),
    };
    let steps = [Step::First, Step::Unchanged, Step::Changed, Step::Pull];
    for step in steps.into_iter().filter(|step| *step != Step::Changed || data.can_change()) {
        if step == Step::Changed {
            data.change(source)?;
        }
        let outcome = prepared.clone().and_then(|()| {
            let target = (step == Step::Pull).then_some(target.as_path());
            let push = if step == Step::Pull { data.last_push() } else { step };
            measure(&mut program.step(push, source, &store, target).map_err(said)?).map_err(said)
        });
        let outcome = match outcome {
            Ok(usage) => Outcome::Measured {
                seconds: usage.elapsed.as_secs_f64(),
                peak_rss_bytes: usage.peak_rss_bytes,
            },
            Err(not_measured) if program.is_ours => bail!("n2s, {step:?} of {}: {not_measured}", data.name()),
            // What follows a failed step would be measured on something else.
            Err(not_measured) => {
                prepared = Err(not_measured.clone());
                Outcome::NotMeasured { not_measured }
            }
        };
        figures.push(Figure {
            program: program.name,
            version: version.clone().unwrap_or_default(),
            durability: program.durability,
            data: data.name(),
            step,
            outcome,
        });
    }
    if program.is_ours {
        compare(source, &target)?;
    }
    for place in [store, target].into_iter().filter(|place| place.exists()) {
        fs::remove_dir_all(place)?;
    }
    Ok(())
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

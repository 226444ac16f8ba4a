//! What was measured, and what that says about what n2s is to reach.

use serde::Serialize;

use crate::data::Data;
use crate::floor::Floor;
use crate::measure::Usage;
use crate::programs::Step;

/// The whole run.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Of this machine.
    pub processors: usize,
    /// What was pushed.
    pub data: Vec<Set>,
    /// By program, set and step.
    pub figures: Vec<Figure>,
    /// What a large file takes at least.
    pub floor: Option<Floor>,
    /// Seconds that a pull of the small files takes at least.
    pub files_pull_floor: Option<f64>,
    /// Seconds that a first push of the small files takes at least.
    pub files_push_floor: Option<f64>,
    /// What n2s is to reach, and whether it did.
    pub targets: Vec<Target>,
}

/// A set of data.
#[derive(Debug, Serialize)]
pub struct Set {
    /// Its name.
    pub data: &'static str,
    /// Its files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What n2s's catalog grew to with the first push.
    pub catalog_bytes: Option<u64>,
}

/// One step of one program on one set.
#[derive(Debug, Serialize)]
pub struct Figure {
    /// Whose.
    pub program: &'static str,
    /// As it says itself.
    pub version: String,
    /// When it makes sure that bytes are on the disk.
    pub durability: &'static str,
    /// On what.
    pub data: &'static str,
    /// Doing what.
    pub step: Step,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Seconds, or a reason why there are none.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    /// Medians, and every run.
    Measured {
        /// The median.
        seconds: f64,
        /// Each run.
        runs: Vec<f64>,
        /// The highest of all runs.
        peak_rss_bytes: u64,
    },
    /// Why not.
    NotMeasured {
        /// In its own words.
        not_measured: String,
    },
}

impl Outcome {
    /// Of one or more runs.
    pub fn of(runs: &[Usage]) -> Self {
        let mut sorted: Vec<f64> = runs.iter().map(|usage| usage.elapsed.as_secs_f64()).collect();
        sorted.sort_by(f64::total_cmp);
        Self::Measured {
            seconds: sorted[sorted.len() / 2],
            runs: runs.iter().map(|usage| usage.elapsed.as_secs_f64()).collect(),
            peak_rss_bytes: runs.iter().map(|usage| usage.peak_rss_bytes).max().unwrap_or(0),
        }
    }
}

/// One line of what is to be reached.
#[derive(Debug, Serialize)]
pub struct Target {
    what: String,
    ours: Option<f64>,
    compared_with: String,
    theirs: Option<f64>,
    to_reach: String,
    verdict: &'static str,
    /// What it takes at least on this machine, where that is measured: what is missed may be out of reach.
    floor: Option<f64>,
}

impl Report {
    /// Fills in the targets. What nothing was compared with is not measured, never met.
    pub fn judge(&mut self) {
        let mut targets = Vec::new();
        for (step, factor) in
            [(Step::First, 0.5), (Step::Unchanged, 0.5), (Step::Changed, 0.5), (Step::Pull, 0.7)]
        {
            let floor = match step {
                Step::First => self.files_push_floor,
                Step::Pull => self.files_pull_floor,
                _ => None,
            };
            targets.push(Target { floor, ..self.beside_peers(step, factor) });
        }
        targets.push(self.beside_floor("push", Step::First, |floor| floor.push_seconds));
        targets.push(self.beside_floor("pull", Step::Pull, |floor| floor.pull_seconds));
        for data in ["files", "large", "tiny"] {
            targets.push(self.memory(data));
        }
        for step in [Step::First, Step::Unchanged] {
            targets.push(self.per_file(step));
        }
        self.targets = targets;
    }

    fn seconds(&self, program: &str, data: &str, step: Step) -> Option<f64> {
        self.measured(program, data, step).map(|(seconds, _)| seconds)
    }

    fn measured(&self, program: &str, data: &str, step: Step) -> Option<(f64, u64)> {
        let of = |figure: &&Figure| figure.program == program && figure.data == data && figure.step == step;
        match self.figures.iter().find(of).map(|figure| &figure.outcome) {
            Some(Outcome::Measured { seconds, peak_rss_bytes, .. }) => Some((*seconds, *peak_rss_bytes)),
            _ => None,
        }
    }

    fn beside_peers(&self, step: Step, factor: f64) -> Target {
        let peers = crate::programs::PEERS;
        let times = peers.iter().map(|peer| (self.seconds(peer, "files", step), *peer));
        let complete = times.clone().all(|(seconds, _)| seconds.is_some());
        let fastest =
            times.filter_map(|(seconds, peer)| Some((seconds?, peer))).min_by(|a, b| a.0.total_cmp(&b.0));
        let fastest = fastest.filter(|_| complete);
        Target::new(
            format!("files, {step:?}, seconds"),
            self.seconds("n2s", "files", step),
            fastest.map_or("a peer is missing".to_owned(), |(_, peer)| peer.to_owned()),
            fastest.map(|(seconds, _)| seconds),
            (format!("at most {factor} of it"), |ours, theirs| ours <= theirs * factor),
        )
    }

    fn beside_floor(&self, what: &str, step: Step, of: fn(&Floor) -> f64) -> Target {
        Target::new(
            format!("large, {what}, seconds"),
            self.seconds("n2s", Data::LARGE, step),
            "the pipeline alone".to_owned(),
            self.floor.as_ref().map(of),
            ("at least 0.8 of its rate".to_owned(), |ours, floor| floor / ours >= 0.8),
        )
    }

    #[expect(clippy::cast_precision_loss, reason = "mebibytes need no more")]
    fn memory(&self, data: &str) -> Target {
        let steps = [Step::First, Step::Unchanged, Step::Changed, Step::Pull];
        let peak =
            steps.iter().filter_map(|step| self.measured("n2s", data, *step)).map(|(_, peak)| peak).max();
        Target::new(
            format!("{data}, peak memory of any step, MB"),
            peak.map(|bytes| bytes as f64 / 1e6),
            "a bound".to_owned(),
            Some(200.0),
            ("at most that".to_owned(), |ours, bound| ours <= bound),
        )
    }

    #[expect(clippy::cast_precision_loss, reason = "numbers of files are small")]
    fn per_file(&self, step: Step) -> Target {
        let of = |data: &str| {
            let files = self.data.iter().find(|set| set.data == data)?.files;
            Some(self.seconds("n2s", data, step)? * 1e6 / files as f64)
        };
        Target::new(
            format!("tiny, {step:?}, microseconds per file"),
            of("tiny"),
            "files".to_owned(),
            of("files"),
            ("at most 1.3 of it".to_owned(), |ours, theirs| ours <= theirs * 1.3),
        )
    }
}

impl Target {
    fn new(
        what: String,
        ours: Option<f64>,
        compared_with: String,
        theirs: Option<f64>,
        (to_reach, met): (String, impl Fn(f64, f64) -> bool),
    ) -> Self {
        let verdict = match (ours, theirs) {
            (Some(ours), Some(theirs)) if met(ours, theirs) => "met",
            (Some(_), Some(_)) => "missed",
            _ => "not measured",
        };
        Self { what, ours, compared_with, theirs, to_reach, verdict, floor: None }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn figure(program: &'static str, seconds: u64) -> Figure {
        let usage = Usage { elapsed: Duration::from_secs(seconds), peak_rss_bytes: 1 << 20 };
        let outcome = Outcome::of(&[usage]);
        Figure { program, version: String::new(), durability: "", data: "files", step: Step::First, outcome }
    }

    fn first(figures: Vec<Figure>) -> &'static str {
        let mut report = Report { figures, ..Report::default() };
        report.judge();
        report.targets[0].verdict
    }

    #[test]
    fn a_target_is_met_only_beside_every_peer() {
        let with = |ours| {
            let peers = crate::programs::PEERS.map(|peer| figure(peer, 10));
            peers.into_iter().chain([figure("n2s", ours)]).collect::<Vec<_>>()
        };
        assert_eq!(first(with(5)), "met");
        assert_eq!(first(with(6)), "missed");
        assert_eq!(first(with(1).split_off(1)), "not measured");
        assert_eq!(first(vec![figure("n2s", 1)]), "not measured");
    }
}

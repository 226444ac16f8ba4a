//! Progress: a line that is drawn over on a terminal, plain lines now and then elsewhere.

use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressStyle};
use n2s_client::pull::PullProgress;
use n2s_client::push::Progress;
use n2s_client::seam::ProofWatch;

use crate::output::Output;

/// Between two plain lines.
const PLAIN_EVERY_SECS: u64 = 10;
/// What a path costs besides its bytes, in bytes, when time left is estimated.
const TOLL: u64 = 16 * 1024;

/// Where the words go.
#[derive(Debug)]
struct Line {
    bar: ProgressBar,
    plain: bool,
    started: Instant,
    told_secs: AtomicU64,
}

impl Line {
    fn new(output: &Output) -> Self {
        let bar = if output.is_live() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        bar.set_style(ProgressStyle::with_template("{spinner} {msg}").expect("the template is constant"));
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar, plain: output.is_plain(), started: Instant::now(), told_secs: AtomicU64::new(0) }
    }

    fn wanted(&self) -> bool {
        !self.bar.is_hidden() || self.plain
    }

    fn tell(&self, text: impl FnOnce() -> String) {
        let secs = self.started.elapsed().as_secs();
        if !self.bar.is_hidden() {
            self.bar.set_message(text());
        } else if self.plain && secs >= self.told_secs.load(Ordering::Relaxed) + PLAIN_EVERY_SECS {
            self.told_secs.store(secs, Ordering::Relaxed);
            // Nobody reads it any more: the work goes on.
            let _ = writeln!(anstream::stderr(), "{}", text());
        }
    }

    fn rate(&self, bytes: u64) -> HumanBytes {
        HumanBytes(bytes / self.started.elapsed().as_secs().max(1))
    }
}

/// `; 43 %, 2 minutes left`, once both sides are known.
fn left(done: u64, total: u64, elapsed: Duration) -> String {
    if total == 0 || done == 0 {
        return String::new();
    }
    let done = done.min(total);
    #[expect(clippy::cast_precision_loss, reason = "an estimate needs no more than 52 bits")]
    let left = elapsed.mul_f64((total - done) as f64 / done as f64);
    format!("; {} %, {} left", done * 100 / total, HumanDuration(left))
}

/// Watches a push: counts, and shows them.
#[derive(Debug)]
pub struct Watch {
    line: Line,
    seen: AtomicU64,
    read: AtomicU64,
    sent: AtomicU64,
    passed: AtomicU64,
    total: AtomicU64,
    /// When the push began to wait for the stores, and for how many objects.
    waiting: Mutex<Option<(Instant, u64)>>,
}

impl Watch {
    pub fn new(output: &Output) -> Self {
        let zero = AtomicU64::default;
        Self {
            line: Line::new(output),
            seen: zero(),
            read: zero(),
            sent: zero(),
            passed: zero(),
            total: zero(),
            waiting: Mutex::new(None),
        }
    }

    fn tell(&self) {
        self.line.tell(|| {
            let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
            let (seen, read) = (of(&self.seen), of(&self.read));
            // A large file passes only at its end; until then its bytes count as they are read.
            let left = left(of(&self.passed).max(read), of(&self.total), self.line.started.elapsed());
            format!(
                "{} paths, {} read ({}/s), {} sent{left}",
                HumanCount(seen),
                HumanBytes(read),
                self.line.rate(read),
                HumanBytes(of(&self.sent))
            )
        });
    }

    /// How far the stores are, while the push waits for them; `why` says what keeps some.
    pub fn waiting(&self, objects: u64, why: &[String]) {
        let mut waiting = self.waiting.lock().expect("no holder of this lock can panic");
        let (since, first) = *waiting.get_or_insert_with(|| (Instant::now(), objects));
        let first = first.max(objects);
        drop(waiting);
        self.line.tell(|| {
            let left = left(first - objects, first, since.elapsed());
            let why =
                if why.is_empty() { String::new() } else { format!("; waiting for {}", why.join("; ")) };
            format!("{} objects on their way to the stores{left}{why}", HumanCount(objects))
        });
    }

    /// Takes the line away.
    pub fn end(&self) {
        self.line.bar.finish_and_clear();
    }
}

impl Progress for Watch {
    fn seen(&self, paths: u64) {
        self.seen.fetch_add(paths, Ordering::Relaxed);
        self.tell();
    }

    fn read(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
        self.tell();
    }

    fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
        self.tell();
    }

    fn passed(&self, paths: u64, bytes: u64) {
        self.passed.fetch_add(bytes + paths * TOLL, Ordering::Relaxed);
    }

    fn wants_total(&self) -> bool {
        self.line.wanted()
    }

    fn total(&self, paths: u64, bytes: u64) {
        self.total.store(bytes + paths * TOLL, Ordering::Relaxed);
    }
}

/// Watches a pull.
#[derive(Debug)]
pub struct PullWatch {
    line: Line,
    paths: AtomicU64,
    bytes: AtomicU64,
    total_paths: AtomicU64,
    total_bytes: AtomicU64,
}

impl PullWatch {
    pub fn new(output: &Output) -> Self {
        let zero = AtomicU64::default;
        Self {
            line: Line::new(output),
            paths: zero(),
            bytes: zero(),
            total_paths: zero(),
            total_bytes: zero(),
        }
    }

    /// Takes the line away.
    pub fn end(&self) {
        self.line.bar.finish_and_clear();
    }
}

impl PullProgress for PullWatch {
    fn total(&self, paths: u64, bytes: u64) {
        self.total_paths.store(paths, Ordering::Relaxed);
        self.total_bytes.store(bytes, Ordering::Relaxed);
    }

    fn restored(&self, bytes: u64) {
        self.paths.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.line.tell(|| {
            let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
            let (paths, bytes) = (of(&self.paths), of(&self.bytes));
            let (all, total) = (of(&self.total_paths), of(&self.total_bytes));
            let left = left(bytes + paths * TOLL, total + all * TOLL, self.line.started.elapsed());
            format!(
                "{} of {} paths, {} of {} ({}/s){left}",
                HumanCount(paths),
                HumanCount(all),
                HumanBytes(bytes),
                HumanBytes(total),
                self.line.rate(bytes)
            )
        });
    }
}

/// Watches a validation.
#[derive(Debug)]
pub struct ValidateWatch {
    line: Line,
    copies: AtomicU64,
    bytes: AtomicU64,
    damaged: AtomicU64,
    total_copies: AtomicU64,
    total_bytes: AtomicU64,
}

impl ValidateWatch {
    pub fn new(output: &Output) -> Self {
        let zero = AtomicU64::default;
        Self {
            line: Line::new(output),
            copies: zero(),
            bytes: zero(),
            damaged: zero(),
            total_copies: zero(),
            total_bytes: zero(),
        }
    }

    /// Takes the line away.
    pub fn end(&self) {
        self.line.bar.finish_and_clear();
    }
}

impl ProofWatch for ValidateWatch {
    fn total(&self, copies: u64, bytes: u64) {
        self.total_copies.fetch_add(copies, Ordering::Relaxed);
        self.total_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn checked(&self, copies: u64, bytes: u64, damaged: u64) {
        self.copies.fetch_add(copies, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.damaged.fetch_add(damaged, Ordering::Relaxed);
        self.line.tell(|| {
            let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
            let (copies, bytes, damaged) = (of(&self.copies), of(&self.bytes), of(&self.damaged));
            let (all, total) = (of(&self.total_copies), of(&self.total_bytes));
            let left = left(bytes + copies * TOLL, total + all * TOLL, self.line.started.elapsed());
            format!(
                "{} of {} copies, {} read ({}/s), {} damaged{left}",
                HumanCount(copies),
                HumanCount(all),
                HumanBytes(bytes),
                self.line.rate(bytes),
                HumanCount(damaged)
            )
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_told_only_when_it_is_known() {
        assert_eq!(left(0, 10, Duration::from_secs(1)), "");
        assert_eq!(left(5, 0, Duration::from_secs(1)), "");
        assert_eq!(left(1, 4, Duration::from_secs(20)), "; 25 %, 60 seconds left");
        assert_eq!(left(9, 4, Duration::from_secs(20)), "; 100 %, 0 seconds left");
    }
}

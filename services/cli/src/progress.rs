//! Progress of a push: a line that is drawn over on a terminal, plain lines now and then elsewhere.

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use n2s_client::push::Progress;

use crate::output::Output;

/// Between two plain lines.
const PLAIN_EVERY_SECS: u64 = 10;

/// Counts, and shows them.
#[derive(Debug)]
pub struct Watch {
    bar: ProgressBar,
    plain: bool,
    started: Instant,
    told_secs: AtomicU64,
    seen: AtomicU64,
    read: AtomicU64,
    sent: AtomicU64,
}

impl Watch {
    pub fn new(output: &Output) -> Self {
        let bar = if output.is_live() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        bar.set_style(ProgressStyle::with_template("{spinner} {msg}").expect("the template is constant"));
        bar.enable_steady_tick(Duration::from_millis(120));
        Self {
            bar,
            plain: output.is_plain(),
            started: Instant::now(),
            told_secs: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            read: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        }
    }

    fn tell(&self) {
        let secs = self.started.elapsed().as_secs();
        let text = || {
            let (seen, read) = (self.seen.load(Ordering::Relaxed), self.read.load(Ordering::Relaxed));
            let rate = HumanBytes(read / secs.max(1));
            format!(
                "{} paths, {} read ({rate}/s), {} sent",
                HumanCount(seen),
                HumanBytes(read),
                HumanBytes(self.sent.load(Ordering::Relaxed))
            )
        };
        if !self.bar.is_hidden() {
            self.bar.set_message(text());
        } else if self.plain && secs >= self.told_secs.load(Ordering::Relaxed) + PLAIN_EVERY_SECS {
            self.told_secs.store(secs, Ordering::Relaxed);
            let _ = writeln!(anstream::stderr(), "{}", text());
        }
    }

    /// How far the stores are, while the push waits for them.
    pub fn waiting(&self, text: String) {
        self.bar.set_message(text);
    }

    /// Takes the line away.
    pub fn end(&self) {
        self.bar.finish_and_clear();
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
}

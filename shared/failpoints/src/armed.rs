//! What the binary of the tests gets.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use n2s_domain::{Clock, SystemClock, Timestamp};
use rustix::process::{Pid, Signal, getpid, kill_process};

use crate::points::Point;

const DAY_SECS: i64 = 24 * 60 * 60;

static PLAN: LazyLock<Plan> = LazyLock::new(Plan::from_environment);
static OFFSET_SECS: AtomicI64 = AtomicI64::new(0);

/// What the environment asked for.
struct Plan {
    /// `None` for any point.
    at: Option<Point>,
    hit: u64,
    action: Action,
    hits: AtomicU64,
    log: Option<File>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Nothing,
    Kill,
    /// SIGSTOP, until somebody sends SIGCONT.
    Stop,
    DayBack,
}

impl Plan {
    fn from_environment() -> Self {
        let offset = std::env::var("N2S_CLOCK_OFFSET_SECS").ok();
        let offset = offset.map_or(0, |text| text.parse().expect("N2S_CLOCK_OFFSET_SECS is a number"));
        OFFSET_SECS.store(offset, Ordering::SeqCst);
        let log = std::env::var_os("N2S_FAILPOINT_LOG").map(|path| {
            OpenOptions::new().create(true).append(true).open(path).expect("N2S_FAILPOINT_LOG can be opened")
        });
        let Ok(text) = std::env::var("N2S_FAILPOINT") else {
            return Self { at: None, hit: 0, action: Action::Nothing, hits: AtomicU64::new(0), log };
        };
        let mut parts = text.split(':');
        let at = match parts.next() {
            Some("any") | None => None,
            Some(name) => Some(Point::named(name).expect("N2S_FAILPOINT names a point")),
        };
        let hit = parts.next().map_or(1, |hit| hit.parse().expect("the second part is a count of hits"));
        let action = match parts.next() {
            None | Some("kill") => Action::Kill,
            Some("stop") => Action::Stop,
            Some("back") => Action::DayBack,
            Some(other) => panic!("{other} is nothing that a failpoint does"),
        };
        Self { at, hit, action, hits: AtomicU64::new(0), log }
    }

    /// One write each, so that lines of several threads do not mix. They outlive a kill: the kernel has them.
    fn note(&self, lines: &str) {
        if let Some(mut log) = self.log.as_ref() {
            log.write_all(lines.as_bytes()).expect("N2S_FAILPOINT_LOG can be written");
        }
    }
}

/// Notes the hit, and does what the environment asks for at this one.
pub fn failpoint(point: Point) {
    let plan = &*PLAN;
    plan.note(&format!("hit {}\n", point.name()));
    if plan.action == Action::Nothing || plan.at.is_some_and(|at| at != point) {
        return;
    }
    if plan.hits.fetch_add(1, Ordering::SeqCst) + 1 != plan.hit {
        return;
    }
    plan.note(&format!("fired {}\n", point.name()));
    match plan.action {
        Action::Nothing => {}
        Action::Kill => kill(),
        Action::Stop => stop(),
        Action::DayBack => drop(OFFSET_SECS.fetch_sub(DAY_SECS, Ordering::SeqCst)),
    }
}

fn kill() {
    kill_process(getpid(), Signal::KILL).expect("a process may kill itself");
    loop {
        std::thread::park();
    }
}

/// By this thread's number: the whole process stops, this thread first. Sent to the process's number, the signal is the main thread's, and this
/// one goes on past the point for a moment.
fn stop() {
    let this = std::fs::read_link("/proc/thread-self").expect("Linux says which thread this is");
    let number = this.file_name().and_then(|name| name.to_str()?.parse().ok());
    let thread = number.and_then(Pid::from_raw).expect("a thread's number is one");
    kill_process(thread, Signal::STOP).expect("a process that sees its own /proc may stop itself");
}

/// Notes that a store was given these objects to store.
pub fn put<'a>(store: &str, keys: impl Iterator<Item = &'a str>) {
    note_each("put", store, keys);
}

/// Notes that a store made sure of these objects and is about to say so.
pub fn stored<'a>(store: &str, keys: impl Iterator<Item = &'a str>) {
    note_each("stored", store, keys);
}

fn note_each<'a>(what: &str, store: &str, keys: impl Iterator<Item = &'a str>) {
    if PLAN.log.is_none() {
        return;
    }
    let mut lines = String::new();
    for key in keys {
        writeln!(lines, "{what} {store} {key}").expect("writing to a string does not fail");
    }
    PLAN.note(&lines);
}

/// The machine's clock, off by what the environment asks for.
pub fn clock() -> Arc<dyn Clock> {
    LazyLock::force(&PLAN);
    Arc::new(ShiftedClock)
}

#[derive(Debug)]
struct ShiftedClock;

impl Clock for ShiftedClock {
    fn now(&self) -> Timestamp {
        let offset = OFFSET_SECS.load(Ordering::SeqCst).saturating_mul(1_000_000);
        Timestamp::from_micros(SystemClock.now().as_micros().saturating_add(offset))
    }
}

//! A server process of our own.

use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// How often readiness is asked for.
const LOOK: Duration = Duration::from_millis(20);

/// A running server; killed with everything it started when dropped.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts `command` in a process group of its own; what it prints goes to `log`.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).unwrap();
        command.process_group(0).stdin(Stdio::null());
        command.stdout(file.try_clone().unwrap()).stderr(file);
        let child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self { name: name.to_owned(), child, log: log.to_owned() }
    }

    /// Waits until `ready` says so. Panics with the end of the log when the server ends first or takes longer than `limit`.
    pub fn wait_until(&mut self, limit: Duration, mut ready: impl FnMut() -> bool) {
        let start = Instant::now();
        while !ready() {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{} ended with {ended:?}:\n{}", self.name, self.log_end());
            assert!(
                start.elapsed() < limit,
                "{} is not ready after {limit:?}:\n{}",
                self.name,
                self.log_end()
            );
            std::thread::sleep(LOOK);
        }
    }

    /// Lets it live on when this is gone, and tells its process group.
    pub(crate) fn leave(self) -> i32 {
        let group = self.pid().as_raw_nonzero().get();
        std::mem::forget(self);
        group
    }

    /// Kills it and all it started with SIGKILL, as a power cut would.
    pub fn kill(&mut self) {
        // Both may have ended already.
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.wait();
    }

    /// Waits until it ends by itself, for at most a minute, and says how it did.
    pub fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(ended) = self.child.try_wait().unwrap() {
                return ended;
            }
            assert!(start.elapsed() < Duration::from_mins(1), "{} does not end", self.name);
            std::thread::sleep(LOOK);
        }
    }

    /// Sends a signal to its process group, such as STOP and CONT.
    pub fn signal(&self, signal: Signal) {
        kill_process_group(self.pid(), signal).unwrap();
    }

    /// The last lines of what it printed.
    pub fn log_end(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(4_000)..]).into_owned()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Below are ports of the system's own services.
const FIRST_PORT: u16 = 10_240;

/// A port of the loopback address that nobody listens on at this moment, and that the kernel gives to no outgoing connection: a server
/// that takes seconds to start must find it free then, while other tests connect to theirs.
pub fn free_port() -> u16 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let outgoing: u16 = range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0);
    let ports = outgoing.saturating_sub(FIRST_PORT);
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let drawn = std::iter::repeat_with(random).take(1_000).filter(|_| ports > 0);
    let mut drawn = drawn.map(|number| FIRST_PORT + u16::try_from(number % u64::from(ports)).unwrap());
    drawn
        .find(free)
        .unwrap_or_else(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port())
}

/// Every hasher's keys are random.
fn random() -> u64 {
    RandomState::new().hash_one(())
}

/// The first existing path of `candidates`, or the program of that name on PATH. A candidate may hold one `*` for a directory, of
/// which the last in order (the newest version) is taken. Panics with the package to install.
pub fn find(program: &str, candidates: &[&str], package: &str) -> PathBuf {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&on_path).map(|dir| dir.join(program));
    let mut found = candidates.iter().filter_map(|candidate| newest(candidate)).chain(on_path);
    found.find(|path| path.is_file()).unwrap_or_else(|| {
        panic!("{program} is not installed; run `make deps` as root, or: apt-get install {package}")
    })
}

fn newest(candidate: &str) -> Option<PathBuf> {
    let Some((before, after)) = candidate.split_once('*') else { return Some(PathBuf::from(candidate)) };
    let mut dirs: Vec<_> =
        std::fs::read_dir(before).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    dirs.sort();
    dirs.pop().map(|dir| dir.join(after.trim_start_matches('/')))
}

//! A PostgreSQL server of our own: private directory, free port, fsync on.
//!
//! A runner that gives each test a process of its own (cargo-nextest) would start a server for each, seconds of work every time. So
//! the first test of a run that asks for the shared one starts it, the others find it, and it ends when the runner does.

use std::fs::{File, Permissions};
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::{find, free_port};

const READY: Duration = Duration::from_mins(1);
const PACKAGE: &str = "postgresql";

/// Starts the server, kills it, and, when the test's process is gone in whatever way (or the runner's, for a server that a run's tests
/// share), ends it and removes its directory: a static is never dropped, and a killed test drops nothing.
const KEEPER: &str = r#"
trap "" HUP INT TERM
start() {
    "$BIN/postgres" -D "$DIR/data" -k "$DIR" -p "$1" -c listen_addresses=127.0.0.1 -c max_connections=300 \
        -c shared_buffers=64MB -c log_min_messages=warning $SETTINGS >>"$DIR/log" 2>&1 </dev/null & pid=$!
}
while read -r word port; do
    case "$word" in
        start) start "$port" ;;
        kill) kill -KILL "$pid"; wait "$pid" ;;
        share) while [ -d "/proc/$RUNNER" ]; do sleep 1; done; break ;;
    esac
done
[ -z "$pid" ] || { kill -QUIT "$pid"; wait "$pid"; }
rm -rf "$DIR"
"#;

/// A running server. Dropped, it ends and its directory goes, unless it is the run's.
#[derive(Debug)]
pub struct Postgres {
    dir: PathBuf,
    bin: PathBuf,
    port: u16,
    settings: String,
    /// `None` once it is the run's.
    keeper: Mutex<Option<(Child, ChildStdin)>>,
    databases: AtomicU32,
}

impl Postgres {
    /// The one server of this test run.
    pub fn shared() -> &'static Self {
        static SERVER: OnceLock<Postgres> = OnceLock::new();
        SERVER.get_or_init(|| match std::env::var("NEXTEST_RUN_ID") {
            Ok(run) => Self::of_run(&run),
            Err(_) => Self::start(),
        })
    }

    /// Starts the run's server, or finds it.
    fn of_run(run: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("n2s-postgres-run-{run}"));
        if let Err(error) = std::fs::create_dir(&dir) {
            assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists, "{}", dir.display());
        }
        let lock = locked(&dir.join("lock"));
        let port = dir.join("port");
        if let Ok(port) = std::fs::read_to_string(&port) {
            return Self::at(dir, port.parse().unwrap());
        }
        let server = Self::start_in(dir);
        server.say("share");
        *server.keeper.lock().unwrap() = None;
        std::fs::write(&port, server.port.to_string()).unwrap();
        drop(lock);
        server
    }

    /// Makes a cluster and starts a server for it.
    pub fn start() -> Self {
        Self::start_in(tempfile::Builder::new().prefix("n2s-postgres-").tempdir().unwrap().keep())
    }

    /// The same with settings of its own, `name=value` without spaces: for measurements.
    pub fn start_with(settings: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("n2s-postgres-").tempdir().unwrap().keep();
        let given: Vec<_> = settings.iter().map(|setting| format!("-c {setting}")).collect();
        let mut server = Self::at(dir, 0);
        server.settings = given.join(" ");
        server.begin()
    }

    fn at(dir: PathBuf, port: u16) -> Self {
        let (keeper, databases) = (Mutex::new(None), AtomicU32::new(0));
        Self { dir, bin: programs(), port, settings: String::new(), keeper, databases }
    }

    fn start_in(dir: PathBuf) -> Self {
        Self::at(dir, 0).begin()
    }

    fn begin(mut self) -> Self {
        let server = &mut self;
        std::fs::set_permissions(&server.dir, Permissions::from_mode(0o700)).unwrap();
        if let Some(user) = other_user() {
            run(Command::new("chown").arg(user).arg(&server.dir));
        }
        run(as_user(server.bin.join("initdb"))
            .args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync", "-D"])
            .arg(server.dir.join("data")));
        server.keep();
        // Another one is taken when the port found free is taken after all.
        for _ in 0..5 {
            server.port = free_port();
            if server.restart_or_port_taken() {
                return self;
            }
        }
        panic!("PostgreSQL found no free port in five attempts");
    }

    fn keep(&mut self) {
        let mut keeper = as_user("sh");
        let runner = rustix::process::getppid().map_or(1, |pid| pid.as_raw_nonzero().get());
        keeper
            .args(["-c", KEEPER])
            .env("BIN", &self.bin)
            .env("DIR", &self.dir)
            .env("SETTINGS", &self.settings)
            .env("RUNNER", runner.to_string());
        keeper.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut keeper = keeper.current_dir("/").spawn().unwrap();
        let words = keeper.stdin.take().expect("it is piped");
        *self.keeper.lock().unwrap() = Some((keeper, words));
    }

    /// The address of the database that is always there.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// Makes a fresh database and returns its address.
    pub fn database(&self) -> String {
        self.database_from("template1")
    }

    /// Makes a database like the one that `make` fills, and returns its address. The pattern is made once per server, by whoever asks first;
    /// do not ask twice at once in one task.
    pub async fn database_like(&self, pattern: &str, make: impl AsyncFnOnce(String)) -> String {
        let made = self.dir.join(format!("{pattern}.made"));
        if !made.exists() {
            let lock = locked(&self.dir.join(format!("{pattern}.lock")));
            if !made.exists() {
                Self::psql(&self.url(), &format!("CREATE DATABASE {pattern}"));
                make(self.url_of(pattern)).await;
                std::fs::write(&made, []).unwrap();
            }
            drop(lock);
        }
        self.database_from(pattern)
    }

    fn database_from(&self, pattern: &str) -> String {
        let name = format!("n2s_{}_{}", std::process::id(), self.databases.fetch_add(1, Ordering::Relaxed));
        Self::psql(&self.url(), &format!("CREATE DATABASE {name} TEMPLATE {pattern}"));
        self.url_of(&name)
    }

    /// Runs SQL with psql and returns what it prints, unaligned and without headings. Panics when it fails.
    pub fn psql(url: &str, sql: &str) -> String {
        Self::try_psql(url, sql).unwrap_or_else(|said| panic!("{sql} failed:\n{said}"))
    }

    /// The same, and what psql says where it fails.
    pub fn try_psql(url: &str, sql: &str) -> Result<String, String> {
        let mut psql = Command::new(programs().join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]).arg(url);
        let output = psql.current_dir("/").stdin(Stdio::null()).output().unwrap();
        let words = |bytes| String::from_utf8(bytes).unwrap().trim_end().to_owned();
        if output.status.success() { Ok(words(output.stdout)) } else { Err(words(output.stderr)) }
    }

    /// Kills it as a power cut would.
    pub fn kill(&self) {
        self.say("kill");
        let (start, pid) = (Instant::now(), self.dir.join("data/postmaster.pid"));
        // The file outlives its process; a connection does not.
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
            assert!(start.elapsed() < READY, "PostgreSQL does not die; see {}", pid.display());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts it again after [`Postgres::kill`], on the same directory and port.
    pub fn restart(&self) {
        assert!(self.restart_or_port_taken(), "the port of a killed PostgreSQL was taken by another server");
    }

    fn restart_or_port_taken(&self) -> bool {
        let mut seen = self.log().len();
        self.say(&format!("start {}", self.port));
        let start = Instant::now();
        while !self.ready() {
            let log = self.log();
            let new = String::from_utf8_lossy(&log[seen.min(log.len())..]);
            if new.contains("Address already in use") {
                return false;
            }
            assert!(start.elapsed() < READY, "PostgreSQL is not ready after {READY:?}:\n{new}");
            if new.contains("is still in use") || new.contains("lock file") {
                // Processes of the killed server are still on their way out.
                seen = log.len();
                std::thread::sleep(Duration::from_millis(100));
                self.say(&format!("start {}", self.port));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }

    fn ready(&self) -> bool {
        let mut ask = Command::new(self.bin.join("pg_isready"));
        ask.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]).status().unwrap().success()
    }

    fn say(&self, word: &str) {
        let mut keeper = self.keeper.lock().unwrap();
        let (_, words) = keeper.as_mut().expect("the run's server is nobody's to kill: start one");
        writeln!(words, "{word}").unwrap();
    }

    /// What it has written to its log.
    pub fn log(&self) -> Vec<u8> {
        std::fs::read(self.dir.join("log")).unwrap_or_default()
    }

    fn url_of(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some((mut keeper, words)) = self.keeper.lock().unwrap().take() {
            drop(words);
            // It ends by itself at the end of its input.
            let _ = keeper.wait();
        }
    }
}

/// Where PostgreSQL's programs are.
fn programs() -> PathBuf {
    find("initdb", &["/usr/lib/postgresql/*/bin/initdb"], PACKAGE).parent().unwrap().to_owned()
}

/// A file that one process holds at a time, until it is dropped.
fn locked(path: &Path) -> File {
    let file = File::options().create(true).write(true).truncate(false).open(path).unwrap();
    file.lock().unwrap();
    file
}

/// PostgreSQL refuses to run as root: then it runs as its own user, or as nobody.
fn other_user() -> Option<&'static str> {
    if !rustix::process::getuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    Some(if users.lines().any(|line| line.starts_with("postgres:")) { "postgres" } else { "nobody" })
}

fn as_user(program: impl AsRef<std::ffi::OsStr>) -> Command {
    match other_user() {
        None => Command::new(program),
        Some(user) => {
            let mut command = Command::new("runuser");
            command.args(["-u", user, "--"]).arg(program);
            command
        }
    }
}

fn run(command: &mut Command) -> Output {
    let output = command.current_dir("/").stdin(File::open("/dev/null").unwrap()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed:\n{said}");
    output
}

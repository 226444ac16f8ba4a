//! A PostgreSQL server of our own: private directory, free port, fsync on.

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

/// Starts the server, kills it, and, when the test's process is gone in whatever way, ends it and removes its directory: a static is
/// never dropped, and a killed test drops nothing.
const KEEPER: &str = r#"
trap "" HUP INT TERM
while read -r word; do
    case "$word" in
        start) "$BIN/postgres" -D "$DIR/data" -k "$DIR" -p "$PORT" -c listen_addresses=127.0.0.1 -c max_connections=200 \
            -c shared_buffers=64MB -c log_min_messages=warning >>"$DIR/log" 2>&1 </dev/null & pid=$! ;;
        kill) kill -KILL "$pid"; wait "$pid" ;;
    esac
done
[ -z "$pid" ] || { kill -QUIT "$pid"; wait "$pid"; }
rm -rf "$DIR"
"#;

/// A running server. Dropped, it ends and its directory goes.
#[derive(Debug)]
pub struct Postgres {
    dir: PathBuf,
    bin: PathBuf,
    port: u16,
    keeper: Child,
    words: Mutex<Option<ChildStdin>>,
    databases: AtomicU32,
}

impl Postgres {
    /// The one server of this test process.
    pub fn shared() -> &'static Self {
        static SERVER: OnceLock<Postgres> = OnceLock::new();
        SERVER.get_or_init(Self::start)
    }

    /// Makes a cluster and starts a server for it; takes another port when the one found free is taken after all.
    pub fn start() -> Self {
        let bin = find("initdb", &["/usr/lib/postgresql/*/bin/initdb"], PACKAGE).parent().unwrap().to_owned();
        for _ in 0..5 {
            if let Some(server) = Self::try_start(&bin) {
                return server;
            }
        }
        panic!("PostgreSQL found no free port in five attempts");
    }

    fn try_start(bin: &Path) -> Option<Self> {
        let dir = tempfile::Builder::new().prefix("n2s-postgres-").tempdir().unwrap().keep();
        std::fs::set_permissions(&dir, Permissions::from_mode(0o700)).unwrap();
        if let Some(user) = other_user() {
            run(Command::new("chown").arg(user).arg(&dir));
        }
        run(as_user(bin.join("initdb"))
            .args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync", "-D"])
            .arg(dir.join("data")));
        let port = free_port();
        let mut keeper = as_user("sh");
        keeper.args(["-c", KEEPER]).env("BIN", bin).env("DIR", &dir).env("PORT", port.to_string());
        keeper.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut keeper = keeper.current_dir("/").spawn().unwrap();
        let words = Mutex::new(keeper.stdin.take());
        let bin = bin.to_owned();
        let server = Self { dir, bin, port, keeper, words, databases: AtomicU32::new(0) };
        server.restart_or_port_taken().then_some(server)
    }

    /// The address of the database that is always there.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// Makes a fresh database and returns its address.
    pub fn database(&self) -> String {
        let name = format!("n2s_{}_{}", std::process::id(), self.databases.fetch_add(1, Ordering::Relaxed));
        self.psql(&self.url(), &format!("CREATE DATABASE {name}"));
        self.url_of(&name)
    }

    /// Runs SQL with psql and returns what it prints, unaligned and without headings. Panics when it fails.
    pub fn psql(&self, url: &str, sql: &str) -> String {
        let output = run(Command::new(self.bin.join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql])
            .arg(url));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
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
        self.say("start");
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
                self.say("start");
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
        let mut words = self.words.lock().unwrap();
        writeln!(words.as_mut().expect("words end with the server"), "{word}").unwrap();
    }

    fn log(&self) -> Vec<u8> {
        std::fs::read(self.dir.join("log")).unwrap_or_default()
    }

    fn url_of(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.words.lock().unwrap().take());
        // It ends by itself at the end of its input.
        let _ = self.keeper.wait();
    }
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

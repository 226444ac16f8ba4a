//! A RabbitMQ node of our own, with the management plugin, its own epmd and a vhost per test.
//!
//! It starts in about seven seconds, so a run of tests shares one where none of them kills it, as with PostgreSQL: the first test that asks
//! starts it, the others find it, and it ends when the runner does. Debian's wrapper in `/usr/sbin` refuses ordinary users, so the node's own script is called, as `nobody` when the tests run as root.

use std::fs::{File, Permissions};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{Daemon, find, free_port};

const READY: Duration = Duration::from_mins(2);
const PACKAGE: &str = "rabbitmq-server";
/// `nobody` and `nogroup` on every Debian.
const NOBODY: u32 = 65_534;

/// Ends a shared node when the runner is gone, in whatever way: a static is never dropped, and a killed test drops nothing. A group is named as
/// every shell understands: to dash, `kill -KILL --` is an error, and the node would live for ever.
const KEEPER: &str = r#"
trap "" HUP INT TERM
while [ -d "/proc/$RUNNER" ]; do sleep 1; done
kill -s KILL -- "-$NODE"
for _ in 1 2 3 4 5 6 7 8 9 10; do "$EPMD" -kill >/dev/null 2>&1 && break; sleep 1; done
rm -rf "$DIR"
"#;

/// Where a node keeps its things; its own go when it is dropped.
#[derive(Debug)]
struct Dir {
    path: PathBuf,
    _own: Option<TempDir>,
}

impl Dir {
    fn path(&self) -> &Path {
        &self.path
    }
}

/// A running node; killed with its epmd when dropped, unless it is the run's.
#[derive(Debug)]
pub struct RabbitMq {
    dir: Dir,
    node: Option<Daemon>,
    /// Ends the run's node.
    keeper: Option<Child>,
    ports: Ports,
    vhosts: AtomicU32,
    /// Whether others use its epmd, too, or it is the run's: then epmd is not this one's to stop.
    clustered: bool,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    amqp: u16,
    amqps: u16,
    http: u16,
    dist: u16,
    epmd: u16,
}

/// A vhost of a node, which only one test uses.
#[derive(Clone, Debug)]
pub struct Vhost {
    /// Its name.
    pub name: String,
    /// How to connect to it.
    pub url: String,
    /// The same over TLS.
    pub tls_url: String,
}

impl RabbitMq {
    /// Starts a node with a private CA, and waits until it answers.
    pub fn start() -> Self {
        let mut server = Self::prepare(free_port());
        server.launch();
        server
    }

    /// The one node of this test run, for tests that do not kill it: each has a vhost of its own.
    pub fn shared() -> &'static Self {
        static SERVER: OnceLock<RabbitMq> = OnceLock::new();
        SERVER.get_or_init(|| {
            let (run, runner) = match std::env::var("NEXTEST_RUN_ID") {
                Ok(run) => (run, rustix::process::getppid().map_or(1, |pid| pid.as_raw_nonzero().get())),
                Err(_) => (std::process::id().to_string(), rustix::process::getpid().as_raw_nonzero().get()),
            };
            Self::of_run(&run, runner)
        })
    }

    /// Starts the run's node, or finds it.
    fn of_run(run: &str, runner: i32) -> Self {
        let path = std::env::temp_dir().join(format!("n2s-rabbitmq-run-{run}"));
        if let Err(error) = std::fs::create_dir(&path) {
            assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists, "{}", path.display());
        }
        let lock = File::options().create(true).write(true).truncate(false).open(path.join("lock")).unwrap();
        lock.lock().unwrap();
        let told = path.join("ports");
        if let Ok(text) = std::fs::read_to_string(&told) {
            let [amqp, amqps, http, dist, epmd] =
                text.split(' ').map(|port| port.parse().unwrap()).collect::<Vec<u16>>()[..]
            else {
                panic!("{text} in {}", told.display())
            };
            let ports = Ports { amqp, amqps, http, dist, epmd };
            let dir = Dir { path, _own: None };
            return Self { dir, node: None, keeper: None, ports, vhosts: AtomicU32::new(0), clustered: true };
        }
        let mut server = Self::prepare_in(Dir { path, _own: None }, free_port());
        server.clustered = true;
        server.launch();
        server.keep(runner);
        let Ports { amqp, amqps, http, dist, epmd } = server.ports;
        std::fs::write(&told, format!("{amqp} {amqps} {http} {dist} {epmd}")).unwrap();
        server
    }

    /// Leaves the node to a keeper.
    fn keep(&mut self, runner: i32) {
        let node = self.node.take().expect("it was launched");
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER]).env("RUNNER", runner.to_string()).env("NODE", node.leave().to_string());
        keeper.env("EPMD", find("epmd", &[], PACKAGE)).env("ERL_EPMD_PORT", self.ports.epmd.to_string());
        keeper.env("DIR", self.dir.path()).current_dir("/").process_group(0);
        let keeper = keeper.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.keeper = Some(keeper.unwrap());
    }

    /// Starts a node that others can join or be joined by: all with the same epmd and cookie. It leaves epmd to its caller.
    pub(crate) fn start_member(epmd: u16, cookie: &str) -> Self {
        let mut server = Self::prepare(epmd);
        server.clustered = true;
        let path = server.dir.path().join(".erlang.cookie");
        std::fs::write(&path, cookie).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
        Self::give_away(&path);
        server.launch();
        server
    }

    fn prepare(epmd: u16) -> Self {
        let own = tempfile::Builder::new().prefix("n2s-rabbitmq").tempdir().unwrap();
        Self::prepare_in(Dir { path: own.path().to_owned(), _own: Some(own) }, epmd)
    }

    fn prepare_in(dir: Dir, epmd: u16) -> Self {
        let ports =
            Ports { amqp: free_port(), amqps: free_port(), http: free_port(), dist: free_port(), epmd };
        let server =
            Self { dir, node: None, keeper: None, ports, vhosts: AtomicU32::new(0), clustered: false };
        server.certificates();
        server.configure();
        server
    }

    /// A new vhost that `guest` may use.
    pub fn vhost(&self) -> Vhost {
        let name = format!("v{}-{}", std::process::id(), self.vhosts.fetch_add(1, Ordering::Relaxed));
        self.http("PUT", &format!("/api/vhosts/{name}"), "{}");
        let rights = r#"{"configure":".*","write":".*","read":".*"}"#;
        self.http("PUT", &format!("/api/permissions/{name}/guest"), rights);
        self.at(name)
    }

    /// A vhost by its name, for one that was lost with a wipe.
    pub fn recreate(&self, vhost: &Vhost) {
        self.http("PUT", &format!("/api/vhosts/{}", vhost.name), "{}");
        let rights = r#"{"configure":".*","write":".*","read":".*"}"#;
        self.http("PUT", &format!("/api/permissions/{}/guest", vhost.name), rights);
    }

    /// How to connect to a vhost through this node.
    pub fn at(&self, name: String) -> Vhost {
        let Ports { amqp, amqps, .. } = self.ports;
        let url = format!("amqp://guest:guest@127.0.0.1:{amqp}/{name}");
        let tls_url = format!("amqps://guest:guest@localhost:{amqps}/{name}");
        Vhost { name, url, tls_url }
    }

    /// The certificate of the CA that signed the node's.
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Makes it write down which quorum queues it has. On its own, 3.10 does so half a second after a queue was declared, and
    /// one that is killed earlier comes back with a queue that never elects a leader and takes no message ever again.
    pub fn note_queues(&self) {
        assert_eq!(self.ctl(&["eval", "dets:sync(ra_directory_reverse)."]).trim(), "ok");
    }

    /// Kills it as a power cut would.
    pub fn kill(&mut self) {
        drop(self.node.take());
        if !self.clustered {
            stop_epmd(self.ports.epmd);
        }
    }

    /// Stops its processes without ending them: its sockets stay open and nobody answers.
    pub fn freeze(&self) {
        self.node.as_ref().unwrap().signal(Signal::STOP);
    }

    /// Lets it go on after [`Self::freeze`].
    pub fn thaw(&self) {
        self.node.as_ref().unwrap().signal(Signal::CONT);
    }

    /// Starts it again on what it kept.
    pub fn restart(&mut self) {
        self.kill();
        self.launch();
    }

    /// Starts it again with nothing left of what it knew, vhosts included.
    pub fn wipe(&mut self) {
        self.kill();
        self.start_empty();
    }

    /// Starts it after [`Self::kill`] with nothing left.
    pub fn start_empty(&mut self) {
        std::fs::remove_dir_all(self.dir.path().join("mnesia")).unwrap();
        self.launch();
    }

    /// Runs `rabbitmqctl` and returns what it printed.
    pub fn ctl(&self, arguments: &[&str]) -> String {
        let program = find("rabbitmqctl", &["/usr/lib/rabbitmq/bin/rabbitmqctl"], PACKAGE);
        let mut command = self.command(&program);
        command.arg("-q").args(arguments);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Asks the management API, and returns the answer's body. Panics unless it is a 2xx.
    pub fn http(&self, method: &str, path: &str, body: &str) -> String {
        let answer = self.ask(method, path, body).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 2"), "{method} {path}: {answer}");
        body.to_owned()
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.ports.http))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        // "guest:guest"
        let auth = "Authorization: Basic Z3Vlc3Q6Z3Vlc3Q=";
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{auth}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    fn launch(&mut self) {
        let program = find("rabbitmq-server", &["/usr/lib/rabbitmq/bin/rabbitmq-server"], PACKAGE);
        let command = self.command(&program);
        let mut node = Daemon::start("rabbitmq", command, &self.dir.path().join("log"));
        let up = |server: &Self| {
            let answer = server.ask("GET", "/api/aliveness-test/%2F", "").unwrap_or_default();
            answer.starts_with("HTTP/1.1 200")
        };
        node.wait_until(READY, || up(self));
        self.node = Some(node);
    }

    /// A command in the node's surroundings, as an ordinary user.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if is_root() {
            // Not runuser: it would set another HOME, where no cookie can be kept.
            command.uid(NOBODY).gid(NOBODY);
        }
        let (dir, Ports { amqp, dist, epmd, .. }) = (self.dir.path(), self.ports);
        command.current_dir(dir).env("HOME", dir).env("RABBITMQ_CONF_ENV_FILE", "/dev/null");
        command.env("RABBITMQ_NODENAME", self.name());
        command.env("RABBITMQ_NODE_PORT", amqp.to_string()).env("RABBITMQ_DIST_PORT", dist.to_string());
        command.env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1");
        command.env("RABBITMQ_MNESIA_BASE", dir.join("mnesia")).env("RABBITMQ_LOG_BASE", dir.join("logs"));
        command.env("RABBITMQ_ENABLED_PLUGINS_FILE", dir.join("plugins"));
        command.env("RABBITMQ_CONFIG_FILE", dir.join("rabbitmq.conf"));
        command.env("ERL_EPMD_PORT", epmd.to_string()).env("ERL_EPMD_ADDRESS", "127.0.0.1");
        command
    }

    fn configure(&self) {
        let (dir, Ports { amqps, http, .. }) = (self.dir.path(), self.ports);
        let shown = dir.display();
        let conf = format!(
            "listeners.ssl.default = 127.0.0.1:{amqps}\nssl_options.cacertfile = {shown}/ca.pem\n\
             ssl_options.certfile = {shown}/server.pem\nssl_options.keyfile = {shown}/server.key\n\
             ssl_options.verify = verify_none\nmanagement.tcp.port = {http}\nmanagement.tcp.ip = 127.0.0.1\n\
             vm_memory_high_watermark.absolute = 2GB\ndisk_free_limit.absolute = 10MB\n"
        );
        std::fs::write(dir.join("rabbitmq.conf"), conf).unwrap();
        std::fs::write(dir.join("plugins"), "[rabbitmq_management].\n").unwrap();
        if is_root() {
            std::fs::set_permissions(dir, Permissions::from_mode(0o700)).unwrap();
            let inside = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
            inside.chain([dir.to_owned()]).for_each(|path| Self::give_away(&path));
        }
    }

    /// Lets the node's user have a file.
    fn give_away(path: &Path) {
        if is_root() {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }

    /// Its name in a cluster.
    pub fn name(&self) -> String {
        format!("n{}@localhost", self.ports.amqp)
    }

    /// A CA, and a certificate of it for `localhost`.
    fn certificates(&self) {
        let dir = self.dir.path();
        std::fs::write(
            dir.join("san"),
            "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n",
        )
        .unwrap();
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        let ca = format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=n2s-test-ca");
        let request = format!("req -new {key} -keyout server.key -out server.csr -subj /CN=localhost");
        let sign = "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile san";
        for arguments in [ca.as_str(), &request, sign] {
            let mut openssl = Command::new(find("openssl", &[], "openssl"));
            let output = openssl.current_dir(dir).args(arguments.split(' ')).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

/// It refuses while it knows of a node, and learns of a killed one's end a moment later. It may have ended with the node.
pub(crate) fn stop_epmd(port: u16) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() && Instant::now() < deadline {
        let mut epmd = Command::new(find("epmd", &[], PACKAGE));
        let _ = epmd.arg("-kill").env("ERL_EPMD_PORT", port.to_string()).output();
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        self.kill();
    }
}

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

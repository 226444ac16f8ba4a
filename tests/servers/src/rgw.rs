//! Ceph's S3 gateway on a cluster of one monitor and one storage daemon, which keeps its objects in memory.
//!
//! Without a manager, which only counts. Its version in Debian 12
//! knows no checksum headers and honours `If-None-Match`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::{Daemon, find, free_port};

/// The one key pair the server knows.
pub const ACCESS_KEY_ID: &str = "n2s-tests";
/// See [`ACCESS_KEY_ID`].
pub const SECRET_ACCESS_KEY: &str = "not-much-of-a-secret";

/// How long any one step may take; a busy machine needs 20 s for the gateway's pools.
const STEP: Duration = Duration::from_mins(2);
const PACKAGES: &str = "radosgw ceph-mon ceph-osd ceph-mgr";
const CLUSTER: &str = "11111111-2222-3333-4444-555555555555";
const OSD: &str = "99999999-2222-3333-4444-555555555555";

/// A running gateway; killed with its cluster when dropped.
#[derive(Debug)]
pub struct Rgw {
    endpoint: String,
    /// Gateway, storage, monitor: stopped in this order.
    _daemons: [Daemon; 3],
    _dir: TempDir,
}

impl Rgw {
    /// Starts one on free ports.
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (monitor_port, port) = (free_port(), free_port());
        configure(dir.path(), monitor_port, port);
        let monitor = start_monitor(dir.path(), monitor_port);
        let storage = start_storage(dir.path());
        let endpoint = format!("http://127.0.0.1:{port}");
        let gateway = start_gateway(dir.path(), port);
        let user = ["user", "create", "--uid", "n2s", "--display-name", "n2s", "--access-key", ACCESS_KEY_ID];
        run(ceph("radosgw-admin", dir.path())
            .args(["-n", "client.rgw"])
            .args(user)
            .args(["--secret-key", SECRET_ACCESS_KEY]));
        Self { endpoint, _daemons: [gateway, storage, monitor], _dir: dir }
    }

    /// `http://` and its address.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

fn configure(dir: &Path, monitor_port: u16, port: u16) {
    let at = dir.display();
    for folder in ["mon", "osd"] {
        std::fs::create_dir(dir.join(folder)).unwrap();
    }
    let text = format!(
        "[global]\nfsid = {CLUSTER}\nmon host = v2:127.0.0.1:{monitor_port}/0\npublic addr = 127.0.0.1\ncluster addr = 127.0.0.1\n\
         keyring = {at}/keyring\n\
         osd pool default size = 1\nosd pool default min size = 1\nmon allow pool size one = true\nosd pool default pg num = 1\n\
         osd pool default pg autoscale mode = off\nosd crush chooseleaf type = 0\nosd objectstore = memstore\n\
         memstore device bytes = 4294967296\nosd class load list = *\nosd class default list = *\n\
         mon data = {at}/mon\nosd data = {at}/osd\nrun dir = {at}\nadmin socket = {at}/$name.asok\ncrash dir = {at}\n\
         log file = {at}/$name.log\nmon data avail crit = 0\n\
         rgw data = {at}\nrgw frontends = beast endpoint=127.0.0.1:{port}\n"
    );
    std::fs::write(dir.join("ceph.conf"), text).unwrap();
}

fn start_monitor(dir: &Path, port: u16) -> Daemon {
    let (keyring, map) = (dir.join("keyring"), dir.join("monmap"));
    // One file with everybody's keys, which the monitor starts from. Without keys the gateway does not get on.
    for name in ["mon.", "client.admin", "client.rgw", "osd.0"] {
        let create = if keyring.exists() { "--gen-key" } else { "--create-keyring" };
        let all = ["--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *"];
        run(ceph("ceph-authtool", dir).arg(create).arg(&keyring).args(["--gen-key", "-n", name]).args(all));
    }
    let address = format!("[v2:127.0.0.1:{port}]");
    run(ceph("monmaptool", dir).args(["--create", "--fsid", CLUSTER, "--addv", "a", &address]).arg(&map));
    run(ceph("ceph-mon", dir).args(["--mkfs", "-i", "a", "--monmap"]).arg(map).arg("--keyring").arg(keyring));
    let mut command = ceph("ceph-mon", dir);
    command.args(["-f", "-i", "a"]);
    let mut monitor = Daemon::start("ceph-mon", command, &dir.join("mon.log"));
    let new = || ceph("ceph", dir).args(["--connect-timeout", "5", "osd", "new", OSD]).output().unwrap();
    monitor.wait_until(STEP, || new().status.success());
    monitor
}

fn start_storage(dir: &Path) -> Daemon {
    run(ceph("ceph-osd", dir).args(["--mkfs", "-i", "0", "--osd-uuid", OSD]));
    let mut command = ceph("ceph-osd", dir);
    command.args(["-f", "-i", "0"]);
    Daemon::start("ceph-osd", command, &dir.join("osd.log"))
}

fn start_gateway(dir: &Path, port: u16) -> Daemon {
    let mut command = ceph("radosgw", dir);
    command.args(["-f", "-n", "client.rgw"]);
    let mut gateway = Daemon::start("radosgw", command, &dir.join("rgw.log"));
    gateway.wait_until(STEP, || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    gateway
}

fn ceph(program: &str, dir: &Path) -> Command {
    let mut command = Command::new(find(program, &[], PACKAGES));
    command.arg("-c").arg(dir.join("ceph.conf")).stdin(Stdio::null());
    command
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} failed:\n{text}", command.get_program().display());
}

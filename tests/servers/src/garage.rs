//! Garage, an S3 server of one node that keeps its objects in a private directory.
//!
//! No distribution has it, so `make test-stores` builds it, once, below `target/tools`. Its version knows checksums, and takes
//! `If-None-Match` without heeding it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::{Daemon, free_port};

/// The one key pair the server knows, in the form Garage wants.
pub const ACCESS_KEY_ID: &str = "GK6e3273000000000000000000";
/// See [`ACCESS_KEY_ID`].
pub const SECRET_ACCESS_KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// Its region.
pub const REGION: &str = "garage";

/// How long any one step may take on a busy machine.
const STEP: Duration = Duration::from_mins(1);

/// A running server; killed when dropped.
#[derive(Debug)]
pub struct Garage {
    endpoint: String,
    _daemon: Daemon,
    _dir: TempDir,
}

impl Garage {
    /// Starts one on free ports.
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (rpc, api) = (free_port(), free_port());
        configure(dir.path(), rpc, api);
        let mut command = garage(dir.path());
        command.arg("server");
        let mut daemon = Daemon::start("garage", command, &dir.path().join("log"));
        let status = || garage(dir.path()).arg("status").output().unwrap().status.success();
        daemon.wait_until(STEP, status);
        let node = run(dir.path(), &["node", "id", "-q"]);
        let node = node.split('@').next().unwrap();
        run(dir.path(), &["layout", "assign", "-z", "here", "-c", "4G", node]);
        run(dir.path(), &["layout", "apply", "--version", "1"]);
        run(dir.path(), &["key", "import", "--yes", "-n", "n2s", ACCESS_KEY_ID, SECRET_ACCESS_KEY]);
        run(dir.path(), &["key", "allow", "--create-bucket", ACCESS_KEY_ID]);
        Self { endpoint: format!("http://127.0.0.1:{api}"), _daemon: daemon, _dir: dir }
    }

    /// `http://` and its address.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

fn configure(dir: &Path, rpc: u16, api: u16) {
    let at = dir.display();
    let text = format!(
        "metadata_dir = \"{at}/meta\"\ndata_dir = \"{at}/data\"\ndb_engine = \"sqlite\"\nreplication_factor = 1\n\
         rpc_bind_addr = \"127.0.0.1:{rpc}\"\nrpc_public_addr = \"127.0.0.1:{rpc}\"\nrpc_secret = \"{SECRET_ACCESS_KEY}\"\n\
         [s3_api]\ns3_region = \"{REGION}\"\napi_bind_addr = \"127.0.0.1:{api}\"\n"
    );
    std::fs::write(dir.join("garage.toml"), text).unwrap();
}

fn garage(dir: &Path) -> Command {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/bin/garage");
    assert!(program.is_file(), "{} is missing; `make test-stores` builds it", program.display());
    let mut command = Command::new(program);
    command.arg("-c").arg(dir.join("garage.toml")).stdin(Stdio::null());
    command
}

fn run(dir: &Path, args: &[&str]) -> String {
    let output = garage(dir).args(args).output().unwrap();
    assert!(output.status.success(), "garage {args:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

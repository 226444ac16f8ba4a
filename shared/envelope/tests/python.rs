//! The recovery script opens what Rust sealed, and Rust opens what a Python sealer made from FORMAT.md alone.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use n2s_domain::limits::BLOB_BYTES_MAX;
use n2s_domain::{Entropy as _, FileTime, RelPath, SeededEntropy};
use n2s_envelope::{Expect, Metadata, Sealed, Vault};
use tempfile::TempDir;

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Python with the script's libraries, which `make deps` puts there.
fn python(script: &str) -> Command {
    let python = here().join("../../.venv/bin/python3");
    assert!(python.exists(), "the recovery script's libraries are not installed; run `make deps`");
    let mut command = Command::new(python);
    command
        .arg("-I")
        .arg(here().join(script))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(mut command: Command, input: &[u8]) -> Output {
    let mut child = command.spawn().unwrap();
    // A script that ends early closes its input; what it says of that is looked at below.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

struct World {
    dir: TempDir,
    vault: Vault,
}

impl World {
    fn new(epochs: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut vault = Vault::create(&SeededEntropy::new(7));
        for epoch in 1..epochs {
            vault.rotate(&SeededEntropy::new(u64::from(epoch) + 100));
        }
        vault.save_new(&dir.path().join("vault")).unwrap();
        Self { dir, vault }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn seal(&self, payload: &[u8]) -> Sealed {
        self.vault.sealer().unwrap().seal(&metadata(), payload).unwrap()
    }

    /// What the recovery script makes of an object.
    fn open(&self, object: &[u8], more: &[&str]) -> Output {
        std::fs::write(self.path("object"), object).unwrap();
        let mut command = python("recovery/n2s_open.py");
        command.arg("--vault").arg(self.path("vault")).args(more).arg(self.path("object"));
        run(command, b"")
    }

    /// What the Python sealer makes of a payload.
    fn seal_in_python(&self, payload: &[u8], compression: &str, padding: usize) -> Vec<u8> {
        let mut command = python("tests/n2s_seal.py");
        command
            .arg(self.path("vault"))
            .arg(self.vault.current_epoch().unwrap().0.to_string())
            .arg(compression);
        command
            .env("METADATA", serde_json::to_string(&metadata()).unwrap())
            .env("PADDING", padding.to_string());
        let output = run(command, payload);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }
}

fn metadata() -> Metadata {
    Metadata {
        filepath: Some(RelPath::new(&b"caf\xe9/\\n\n"[..]).unwrap()),
        mtime: Some(FileTime { secs: -1, nanos: 999_999_999 }),
        mode: Some(0o4755),
        ..Metadata::blob("dsg".parse().unwrap(), "BB".parse().unwrap())
    }
}

fn payloads() -> Vec<Vec<u8>> {
    let mut random = vec![0; 100_000];
    SeededEntropy::new(3).fill(&mut random);
    let mut whole = b"text that compresses ".repeat(BLOB_BYTES_MAX / 20);
    whole.truncate(BLOB_BYTES_MAX);
    vec![Vec::new(), b"x".to_vec(), random, b"again and again ".repeat(5_000), whole]
}

#[test]
fn the_script_opens_what_rust_sealed() {
    for epochs in [1, 3] {
        let world = World::new(epochs);
        for payload in payloads() {
            let sealed = world.seal(&payload);
            let output = world.open(&sealed.bytes, &[]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(output.stdout == payload, "{} bytes came back as {}", payload.len(), output.stdout.len());
        }
    }
    let world = World::new(1);
    let said = world.open(&world.seal(b"x").bytes, &["--metadata"]).stdout;
    let said: Metadata = serde_json::from_slice(&said).unwrap();
    assert_eq!((said.filepath, said.mtime), (metadata().filepath, metadata().mtime));
}

#[test]
fn the_root_and_the_stores_own_keys_are_enough() {
    let world = World::new(2);
    std::fs::create_dir_all(world.path("store/keys")).unwrap();
    for (epoch, object) in world.vault.wrapped_epochs() {
        std::fs::write(world.path("store/keys").join(epoch.0.to_string()), object).unwrap();
    }
    std::fs::write(world.path("root"), world.vault.root_text().to_lowercase().replace('-', " ")).unwrap();
    std::fs::write(world.path("object"), world.seal(b"everything").bytes).unwrap();
    let open = |arguments: &[&str]| {
        let mut command = python("recovery/n2s_open.py");
        command.args(arguments).arg(world.path("object")).current_dir(world.dir.path());
        run(command, b"")
    };
    assert_eq!(open(&["--root", "root", "--store", "store"]).stdout, b"everything");
    let without = open(&["--root", "root"]);
    assert!(!without.status.success());
    assert!(String::from_utf8_lossy(&without.stderr).contains("keys/2"), "{without:?}");
}

#[test]
fn the_script_refuses_what_was_changed_cut_or_sealed_by_another_vault() {
    let world = World::new(1);
    let object = world.seal(b"a small payload").bytes.to_vec();
    let refused = |object: &[u8], says: &str| {
        let output = world.open(object, &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && output.stdout.is_empty() && said.contains(says), "{said}");
        assert!(!said.contains("Traceback"), "{said}");
    };
    for at in [0, 4, 7, 15, 20, 60, object.len() - 1] {
        let mut changed = object.clone();
        changed[at] ^= 1;
        refused(&changed, "n2s_open: ");
    }
    refused(&object[..object.len() - 1], "does not authenticate");
    refused(&object[..10], "cut short");
    let stranger = Vault::create(&SeededEntropy::new(8)).sealer().unwrap().seal(&metadata(), b"x").unwrap();
    refused(&stranger.bytes, "belongs to vault");
    let vault = std::fs::read(world.path("vault")).unwrap();
    std::fs::write(world.path("vault"), &vault[..vault.len() - 3]).unwrap();
    refused(&object, "damaged or cut short");
}

#[test]
fn an_object_under_anothers_name_is_refused() {
    let world = World::new(1);
    let (sealed, other) = (world.seal(b"asked for"), world.seal(b"another"));
    let hex = sealed.sealed_hash.to_hex();
    let place = world.path("store/blobs").join(&hex[..2]);
    std::fs::create_dir_all(&place).unwrap();
    for (bytes, works) in [(&sealed.bytes, true), (&other.bytes, false)] {
        std::fs::write(place.join(&hex[2..]), bytes).unwrap();
        let mut command = python("recovery/n2s_open.py");
        command.arg("--vault").arg(world.path("vault")).arg(place.join(&hex[2..]));
        assert_eq!(run(command, b"").status.success(), works);
    }
}

#[test]
fn rust_opens_what_python_sealed_and_both_seal_alike() {
    let world = World::new(2);
    for payload in payloads() {
        for (compression, padding) in [("none", 0), ("zstd", 0), ("none", 77), ("zstd", 4096)] {
            let object = world.seal_in_python(&payload, compression, padding);
            let hash = n2s_envelope::content_hash(&payload);
            let opened = world.vault.opener().open(&object, &Expect::Blob(hash)).unwrap();
            assert!(opened.payload == payload);
            assert_eq!(opened.metadata.filepath, metadata().filepath);
        }
    }
    let mut random = vec![0; 5_000];
    SeededEntropy::new(4).fill(&mut random);
    let (rust, python) = (world.seal(&random), world.seal_in_python(&random, "none", 0));
    assert!(rust.bytes == python, "the same plaintext gives the same bytes");
}

#[test]
fn the_script_opens_what_python_padded_and_compressed() {
    let world = World::new(1);
    for payload in payloads() {
        for (compression, padding) in [("none", 77), ("zstd", 4096)] {
            let output = world.open(&world.seal_in_python(&payload, compression, padding), &[]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(output.stdout == payload);
        }
    }
}

#[test]
fn python_cuts_where_rust_does() {
    let seed = World::new(1).vault.chunk_seed();
    let mut bytes = vec![0; 8 * 1024 * 1024 + 1];
    SeededEntropy::new(5).fill(&mut bytes);
    let chunks: Vec<_> =
        n2s_envelope::Chunker::new(&bytes[..], seed).map(|chunk| chunk.unwrap().bytes.len()).collect();
    assert!(chunks.len() > 1, "{chunks:?}");
    let hex = data_encoding::HEXLOWER.encode(&seed.to_le_bytes());
    let mut command = python("tests/n2s_cut.py");
    command.arg(hex).arg(chunks.len().to_string());
    let output = run(command, &bytes);
    let said = String::from_utf8_lossy(&output.stdout);
    let lengths: Vec<usize> = said.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(lengths, chunks, "{}", String::from_utf8_lossy(&output.stderr));
}

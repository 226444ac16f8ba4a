//! The restore script goes on where a store is damaged beside what is asked for.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use n2s_domain::{FileTime, SeededEntropy, Version};
use n2s_envelope::manifest::{Body, Group, GroupKind, Replaced, SegmentRef};
use n2s_envelope::{Kind, Metadata, Sealed, Vault, content_hash};
use serde_json::json;
use tempfile::TempDir;

const CONTENT: &[u8] = b"what was lost and found";

/// A store with versions of one file, written by hand.
struct Store {
    dir: TempDir,
    vault: Vault,
}

impl Store {
    fn new() -> Self {
        let store = Self { dir: tempfile::tempdir().unwrap(), vault: Vault::create(&SeededEntropy::new(7)) };
        store.write("root", store.vault.root_text().as_bytes());
        store.write_keys();
        store
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    fn write_keys(&self) {
        for (epoch, object) in self.vault.wrapped_epochs() {
            self.write(&format!("store/keys/{epoch}"), &object);
        }
    }

    fn metadata() -> Metadata {
        Metadata::blob("p".parse().unwrap(), "d".parse().unwrap())
    }

    /// A sealing of `payload` that differs from others of it by when the file was seen; not stored.
    fn seal(&self, payload: &[u8], secs: i64) -> Sealed {
        let metadata = Metadata { mtime: Some(FileTime { secs, nanos: 0 }), ..Self::metadata() };
        self.vault.sealer().unwrap().seal(&metadata, payload).unwrap()
    }

    fn put(&self, sealed: &Sealed) {
        let hex = sealed.sealed_hash.to_hex();
        self.write(&format!("store/blobs/{}/{}", &hex[..2], &hex[2..]), &sealed.bytes);
    }

    fn group(&self, kind: GroupKind, line: &serde_json::Value) -> Group {
        let sealed = self.seal(format!("{line}\n").as_bytes(), 0);
        self.put(&sealed);
        let segment = SegmentRef {
            content_hash: sealed.content_hash,
            sealed_hash: sealed.sealed_hash,
            size: sealed.size,
            encrypted_size: sealed.bytes.len() as u64,
        };
        Group { kind, since: Version(0), through: Version(1), entries: 1, segments: vec![segment] }
    }

    /// A version whose map names `sealed` for its one file.
    fn version(&self, version: u64, sealed: &Sealed, replaced: &[(&Sealed, &Sealed)]) -> PathBuf {
        let hash = content_hash(CONTENT);
        let entry = json!({ "mode": 0o640, "uid": 0, "gid": 0, "mtime": [1, 5], "kind": "f", "size": CONTENT.len(), "hash": hash });
        let map = json!({ "content_hash": hash, "sealed_hash": sealed.sealed_hash, "epoch": 1, "encrypted_size": sealed.bytes.len() });
        let groups = vec![
            self.group(GroupKind::List, &json!({ "path": "file", "entry": entry })),
            self.group(GroupKind::Map, &map),
        ];
        let pair = |pair: &(&Sealed, &Sealed)| Replaced { old: pair.0.sealed_hash, new: pair.1.sealed_hash };
        let body = Body { groups, replaced: replaced.iter().map(pair).collect() };
        let body = self.manifest(version, Kind::ManifestBody, &json!(body));
        let header = json!({ "body": { "sealed_hash": body.sealed_hash, "size": body.bytes.len() } });
        let header = self.manifest(version, Kind::ManifestHeader, &header);
        let key = self.vault.store_key(&"p".parse().unwrap(), &"d".parse().unwrap());
        let place = format!("store/archives/{}/{version}", key.to_hex());
        self.write(&format!("{place}/manifest-body.json"), &body.bytes);
        self.write(&format!("{place}/manifest-header.json"), &header.bytes)
    }

    fn manifest(&self, version: u64, kind: Kind, json: &serde_json::Value) -> Sealed {
        let metadata = Metadata { kind, version: Some(Version(version)), ..Self::metadata() };
        self.vault.sealer().unwrap().seal(&metadata, json.to_string().as_bytes()).unwrap()
    }

    fn restore(&self, version: &str) -> Output {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = here.join("../../.venv/bin/python3");
        assert!(python.exists(), "the recovery script's libraries are not installed; run `make deps`");
        Command::new(python)
            .arg("-B")
            .arg(here.join("recovery/n2s_restore.py"))
            .args(["--root", "root", "--store", "store", "--project", "p", "--dataset", "d"])
            .args(["--version", version, "--target", "out"])
            .current_dir(self.dir.path())
            .output()
            .unwrap()
    }

    fn assert_restores(&self, version: &str) -> String {
        let output = self.restore(version);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        assert_eq!(fs::read(self.dir.path().join("out/file")).unwrap(), CONTENT);
        said
    }
}

#[test]
fn a_lost_sealing_is_taken_from_the_one_that_replaced_it_even_where_replacements_run_in_a_circle() {
    for kept in [0, 1] {
        let store = Store::new();
        let sealings = [store.seal(CONTENT, 1), store.seal(CONTENT, 2)];
        let [first, second] = &sealings;
        store.version(1, first, &[]);
        store.version(2, first, &[(first, second)]);
        store.version(3, first, &[(second, first)]);
        store.put(&sealings[kept]);
        store.assert_restores("1");
    }
}

#[test]
fn a_file_whose_every_sealing_is_lost_is_named() {
    let store = Store::new();
    let (first, second) = (store.seal(CONTENT, 1), store.seal(CONTENT, 2));
    store.version(1, &first, &[(&first, &second), (&second, &first)]);
    let output = store.restore("1");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("n2s_restore: file: "), "{said}");
    assert!(!said.contains("Traceback"), "{said}");
}

#[test]
fn a_damaged_later_version_does_not_stand_in_the_way_of_an_earlier_one() {
    let store = Store::new();
    let sealed = store.seal(CONTENT, 1);
    store.put(&sealed);
    store.version(1, &sealed, &[]);
    fs::write(store.version(2, &sealed, &[]), b"no manifest").unwrap();
    let said = store.assert_restores("1");
    assert!(said.contains("went on without version 2"), "{said}");
    let refused = String::from_utf8(store.restore("2").stderr).unwrap();
    assert!(refused.contains("does not begin with N2SB"), "the damaged one itself is refused: {refused}");
}

#[test]
fn a_damaged_key_costs_its_own_epoch_only() {
    let mut store = Store::new();
    let sealed = store.seal(CONTENT, 1);
    store.put(&sealed);
    store.version(1, &sealed, &[]);
    store.vault.rotate(&SeededEntropy::new(8));
    store.write_keys();
    let mut key = fs::read(store.dir.path().join("store/keys/2")).unwrap();
    key[60] ^= 1;
    store.write("store/keys/2", &key);
    store.write("store/keys/.listing", b"of a file manager");
    let said = store.assert_restores("1");
    assert!(said.contains("keys/2: it does not authenticate"), "{said}");
    assert!(said.contains("keys/.listing"), "{said}");
}

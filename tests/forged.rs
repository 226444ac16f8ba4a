//! Manifests that would lead a restore out of its target, sealed as the vault's holder would seal them: nothing outside changes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use n2s_domain::Version;
use n2s_envelope::manifest::{Body, Group, GroupKind, SegmentRef};
use n2s_envelope::{Kind, Metadata, Sealed, Vault};
use n2s_tests::{World, listed};
use serde_json::{Value, json};

/// A store whose manifest was written by hand, and is sealed as the vault's holder would seal it.
struct Forged {
    world: World,
    vault: Vault,
}

impl Forged {
    fn new() -> Self {
        let world = World::new();
        world.write("src/real", "a real version beside the forged one");
        world.push(&[]).code(0);
        let root = world.json(&["keys", "print-root"])["root"].as_str().unwrap().to_owned();
        let mut vault = Vault::from_root_text(&root).unwrap();
        vault.add_wrapped_epoch(&fs::read(world.path("home/store/keys/1")).unwrap()).unwrap();
        fs::write(world.path("root"), root).unwrap();
        Self { world, vault }
    }

    fn seal(&self, kind: Kind, payload: &[u8]) -> Sealed {
        let version = (kind != Kind::Blob).then_some(Version(2));
        let blob = Metadata::blob("p".parse().unwrap(), "d".parse().unwrap());
        self.vault.sealer().unwrap().seal(&Metadata { kind, version, ..blob }, payload).unwrap()
    }

    /// Puts a blob on the store.
    fn blob(&self, payload: &[u8]) -> Sealed {
        let sealed = self.seal(Kind::Blob, payload);
        let hex = sealed.sealed_hash.to_hex();
        self.world.write(&format!("home/store/blobs/{}/{}", &hex[..2], &hex[2..]), &sealed.bytes);
        sealed
    }

    fn group(&self, kind: GroupKind, lines: &[Value]) -> Group {
        let text = lines.iter().map(|line| format!("{line}\n")).collect::<Vec<_>>().concat();
        let sealed = self.blob(text.as_bytes());
        let segment = SegmentRef {
            content_hash: sealed.content_hash,
            sealed_hash: sealed.sealed_hash,
            size: sealed.size,
            encrypted_size: sealed.bytes.len() as u64,
        };
        let entries = lines.len() as u64;
        Group { kind, since: Version(0), through: Version(2), entries, segments: vec![segment] }
    }

    /// Version 2 lists these entries; each file holds `content`.
    fn version(&self, content: &Sealed, lines: &[Value]) {
        let map = json!({ "content_hash": content.content_hash, "sealed_hash": content.sealed_hash });
        let groups = vec![self.group(GroupKind::List, lines), self.group(GroupKind::Map, &[map])];
        let body = json!(Body { groups, replaced: Vec::new() }).to_string();
        let body = self.seal(Kind::ManifestBody, body.as_bytes());
        let header = json!({ "body": { "sealed_hash": body.sealed_hash, "size": body.bytes.len() } });
        let header = self.seal(Kind::ManifestHeader, header.to_string().as_bytes());
        let key = self.vault.store_key(&"p".parse().unwrap(), &"d".parse().unwrap()).to_hex();
        let place = format!("home/store/archives/{key}/2");
        self.world.write(&format!("{place}/manifest-body.json"), &body.bytes);
        self.world.write(&format!("{place}/manifest-header.json"), &header.bytes);
    }

    fn restore(&self) -> Output {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let python = here.join(".venv/bin/python3");
        assert!(python.exists(), "the recovery script's libraries are not installed; run `make deps`");
        Command::new(python)
            .arg("-B")
            .arg(here.join("shared/envelope/recovery/n2s_restore.py"))
            .args(["--root", "root", "--store", "home/store", "--project", "p", "--dataset", "d"])
            .args(["--version", "2", "--target", "out"])
            .current_dir(self.world.path(""))
            .output()
            .unwrap()
    }
}

fn entry(kind: &str, more: &Value) -> Value {
    let mut entry =
        json!({ "mode": 0o777, "uid": 4_321, "gid": 4_321, "mtime": [1_000, 5], "kind": kind, "size": 0 });
    entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    entry
}

/// The recovery script is all that reads manifests yet; `n2s recover` will have to pass this, too.
#[test]
fn the_script_writes_nothing_outside_of_its_target_whatever_a_sealed_manifest_says() {
    let forged = Forged::new();
    let world = &forged.world;
    let before = world.outside();
    let content = forged.blob(b"from a sealed blob");
    let file = entry("f", &json!({ "size": content.size, "hash": content.content_hash }));
    let dir = entry("d", &json!({}));
    let link = |to: PathBuf| entry("l", &json!({ "target": to }));
    let (victims, victim) = (world.path("outside"), world.path("outside/victim"));
    let absolute = world.path("outside/absolute").display().to_string();
    let climbing = ["../outside/climbed", "a/../../outside/climbed", "../outside", "./here", "a//b", ".."];
    let below = ["link/victim", "link/new", "link/dir/victim"];
    let line = |path: &str, entry: &Value| json!({ "path": path, "entry": entry });
    let mut lines: Vec<Value> = climbing.iter().chain(&below).map(|path| line(path, &file)).collect();
    lines.extend([
        line("", &dir),
        line(&absolute, &file),
        line("nul\\x00name", &file),
        line("lone\\backslash", &file),
        line("link", &link(victims.clone())),
        line("link/dir", &dir),
        line("link/soft", &link(victim.clone())),
        line("nul-link", &entry("l", &json!({ "target": "a\\x00b" }))),
        line("no-hash", &entry("f", &json!({ "size": 5 }))),
        line("odd-time", &entry("f", &json!({ "mtime": "yesterday" }))),
        // One group of hard links across what must not be linked.
        line("linked", &entry("l", &json!({ "target": victim, "group": 7 }))),
        line(
            "linked-too",
            &entry("f", &json!({ "size": content.size, "hash": content.content_hash, "group": 7 })),
        ),
        line("zz-rest", &file),
    ]);
    forged.version(&content, &lines);
    let output = forged.restore();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(!said.contains("Traceback"), "{said}");
    assert_eq!(listed(&world.path("outside")), before, "something outside was touched: {said}");
    for path in
        climbing.iter().chain(&below).chain(&["link/soft", &absolute[..], "nul-link", "no-hash", "odd-time"])
    {
        assert!(said.contains(&format!("n2s_restore: {path}: ")), "{path} is not named in {said}");
    }
    assert!(
        said.contains("backslash that begins no escape") && said.contains("would lead out of the target"),
        "{said}"
    );
    for name in ["zz-rest", "linked-too"] {
        assert_eq!(fs::read(world.path("out").join(name)).unwrap(), b"from a sealed blob", "{said}");
    }
    assert_eq!(fs::read_link(world.path("out/link")).unwrap(), victims);
}

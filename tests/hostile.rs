//! Catalogs, manifests and targets that would lead a restore out of its target: whatever they say, nothing outside changes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use n2s_domain::Version;
use n2s_envelope::manifest::{Body, Group, GroupKind, SegmentRef};
use n2s_envelope::{Kind, Metadata, Sealed, Vault};
use n2s_tests::{World, assert_listed_same, listed};
use serde_json::{Value, json};

/// What lies beside the target and must stay as it is.
fn outside(world: &World) -> String {
    world.write("outside/dir/victim", "untouched");
    world.write("outside/victim", "untouched");
    listed(&world.path("outside"))
}

/// Changes what the catalog says; no process of the home runs.
fn alter(world: &World, sql: &str, values: &[&[u8]]) {
    let script = "import sqlite3, sys\n\
        db = sqlite3.connect(sys.argv[1])\n\
        done = db.execute(sys.argv[2], [bytes.fromhex(value) for value in sys.argv[3:]])\n\
        assert done.rowcount == 1, done.rowcount\n\
        db.commit()";
    let hex =
        values.iter().map(|value| value.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().concat());
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(world.path("home/catalog.db")).arg(sql).args(hex);
    assert!(python.status().unwrap().success());
}

/// Renames one row of a pushed version. The path is refused by name, nothing is written anywhere, and what lies apart from
/// it is still to be had.
#[track_caller]
fn refused(path: &[u8], named: &str) {
    let world = World::new();
    let before = outside(&world);
    world.write("src/apart/file", "restored");
    world.write("src/row", "hostile");
    world.push(&[]).code(0);
    alter(&world, "UPDATE files SET filepath = ? WHERE filepath = ?", &[path, b"row"]);
    let siblings = fs::read_dir(world.path(".")).unwrap().count();
    world.pull("out", &[]).code(1).says(&["the catalog is damaged", named]);
    assert_eq!(fs::read_dir(world.path(".")).unwrap().count(), siblings + 1, "more than the target was made");
    assert_eq!(listed(&world.path("outside")), before);
    world.pull("rest", &["apart/file"]).code(0);
    assert_eq!(fs::read(world.path("rest/apart/file")).unwrap(), b"restored");
    assert_eq!(listed(&world.path("outside")), before);
}

#[test]
fn a_catalog_path_that_climbs_out_is_refused() {
    refused(b"../outside/victim", "'../outside/victim'");
}

#[test]
fn a_catalog_path_that_climbs_from_within_is_refused() {
    refused(b"apart/../../outside/victim", "'apart/../../outside/victim'");
}

#[test]
fn an_absolute_catalog_path_is_refused() {
    refused(b"/tmp/n2s-hostile", "'/tmp/n2s-hostile'");
    assert!(!Path::new("/tmp/n2s-hostile").exists());
}

#[test]
fn a_catalog_path_with_a_nul_is_refused() {
    refused(b"row\0tail", "'row\\x00tail'");
}

/// Rows below a row that is a symbolic link to outside: each is refused by name, the link and the rest are restored.
#[test]
fn a_catalog_path_below_a_symbolic_link_is_not_followed() {
    let world = World::new();
    let before = outside(&world);
    world.write("src/file", "hostile");
    world.write("src/empty", "");
    fs::create_dir(world.path("src/sub")).unwrap();
    symlink("nowhere", world.path("src/soft")).unwrap();
    world.write("src/one", "linked");
    fs::hard_link(world.path("src/one"), world.path("src/two")).unwrap();
    symlink(world.path("outside"), world.path("src/link")).unwrap();
    world.write("src/rest", "restored");
    world.push(&[]).code(0);
    let hostile = [
        ("file", "link/victim"),
        ("empty", "link/new"),
        ("sub", "link/dir"),
        ("soft", "link/soft"),
        ("two", "link/two"),
    ];
    for (from, to) in hostile {
        let sql = "UPDATE files SET filepath = ? WHERE filepath = ?";
        alter(&world, sql, &[to.as_bytes(), from.as_bytes()]);
    }
    for more in [&[][..], &["--force"]] {
        let said = world.pull("out", more).code(1);
        for (_, to) in hostile {
            assert!(said.err.contains(&format!("{to}: ")), "{to} is not named in {said:?}");
        }
        assert_eq!(fs::read_link(world.path("out/link")).ok(), Some(world.path("outside")), "{said:?}");
        assert_eq!(fs::read(world.path("out/rest")).unwrap(), b"restored");
        assert_eq!(fs::read(world.path("out/one")).unwrap(), b"linked");
        assert_eq!(listed(&world.path("outside")), before, "a link was followed");
    }
}

/// A target prepared by somebody else: links to outside wherever something shall be written, the pull's own marker included.
#[test]
fn a_target_full_of_links_to_outside_is_written_without_following_any() {
    let world = World::new();
    outside(&world);
    for (path, content) in [("dir/victim", "a"), ("file", "b"), ("deep/in/file", "c"), ("hard", "d")] {
        world.write(&format!("src/{path}"), content);
    }
    fs::hard_link(world.path("src/file"), world.path("src/same")).unwrap();
    symlink("nowhere", world.path("src/soft")).unwrap();
    world.push(&[]).code(0);
    let to = |name: &str| world.path("outside").join(name);
    for name in ["hard", "marker"] {
        fs::write(to(name), "untouched").unwrap();
    }
    let before = listed(&world.path("outside"));
    fs::create_dir_all(world.path("out/deep")).unwrap();
    let links = [
        ("dir", "dir"),
        ("file", "victim"),
        ("deep/in", "dir"),
        ("same", "victim"),
        ("soft", "victim"),
        (".n2s-pull", "marker"),
    ];
    for (name, target) in links {
        symlink(to(target), world.path("out").join(name)).unwrap();
    }
    fs::hard_link(to("hard"), world.path("out/hard")).unwrap();
    world.pull("out", &[]).code(2).says(&["--force"]);
    assert_eq!(listed(&world.path("outside")), before);
    world.pull("out", &["--force"]).code(0);
    assert_eq!(listed(&world.path("outside")), before, "a link was followed");
    assert_listed_same(&world.path("src"), &world.path("out"));
}

/// The name of the pull's own marker is a name like any other.
#[test]
fn an_archived_file_with_the_name_of_the_marker_comes_back() {
    let world = World::new();
    world.write("src/.n2s-pull", "mine");
    world.push(&[]).code(0);
    world.pull("out", &[]).code(0);
    assert_eq!(fs::read(world.path("out/.n2s-pull")).unwrap(), b"mine");
    world.pull("out", &["--force"]).code(0);
    assert_listed_same(&world.path("src"), &world.path("out"));
}

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

#[test]
fn the_script_writes_nothing_outside_of_its_target_whatever_a_sealed_manifest_says() {
    let forged = Forged::new();
    let world = &forged.world;
    let before = outside(world);
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

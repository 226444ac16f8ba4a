//! The manifest that FORMAT.md shows: each object and line is what the code writes, and each reference is the hash of what it names.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;

use n2s_domain::Version;
use n2s_envelope::manifest::{Body, Group, GroupKind, ListLine, ManifestHeader, MapLine, SegmentRef};
use n2s_envelope::{Kind, Metadata, Sealed, Vault};
use serde_json::{Value, json};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/FORMAT.md");
const BEGIN: &str = "<!-- manifest: written by `N2S_WRITE_PAGES=1 cargo test -p n2s-envelope --test manifest_examples` -->\n```text\n";
const END: &str = "```\n<!-- end of manifest -->\n";

/// The bytes that a worked example of the page gives.
fn example(page: &str, name: &str) -> Vec<u8> {
    let lines = page.lines().skip_while(|line| *line != name).skip(1);
    let hex: String = lines.map_while(|line| line.strip_prefix("    ")).collect();
    assert!(!hex.is_empty(), "FORMAT.md has no example '{name}'");
    data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap()
}

/// The page's vault.
fn vault(page: &str) -> Vault {
    let root = String::from_utf8(example(page, "root as printed (ASCII)")).unwrap();
    let mut vault = Vault::from_root_text(&root).unwrap();
    vault.add_wrapped_epoch(&example(page, "keys/1")).unwrap();
    vault
}

fn seal(vault: &Vault, kind: Kind, payload: &str) -> Sealed {
    let version = (kind != Kind::Blob).then_some(Version(1));
    let metadata = Metadata { kind, version, ..Metadata::blob("p".parse().unwrap(), "d".parse().unwrap()) };
    vault.sealer().unwrap().seal(&metadata, payload.as_bytes()).unwrap()
}

fn group(vault: &Vault, kind: GroupKind, lines: &str) -> Group {
    let Sealed { content_hash, sealed_hash, size, bytes, .. } = seal(vault, Kind::Blob, lines);
    let segment = SegmentRef { content_hash, sealed_hash, size, encrypted_size: bytes.len() as u64 };
    let entries = lines.lines().count() as u64;
    Group { kind, since: Version(0), through: Version(1), entries, segments: vec![segment] }
}

/// One JSON line each, through the types that the code writes.
fn lines<T: serde::Serialize + serde::de::DeserializeOwned>(values: Vec<Value>) -> String {
    let line = |value| serde_json::to_string(&serde_json::from_value::<T>(value).unwrap()).unwrap() + "\n";
    values.into_iter().map(line).collect()
}

/// A directory, a link and the file whose sealing the worked examples show.
fn manifest(page: &str) -> [(&'static str, String); 4] {
    let vault = vault(page);
    let hex = |name| data_encoding::HEXLOWER.encode(&example(page, name));
    let entry = |more: Value| {
        let mut entry = json!({ "mode": 0o644, "uid": 1000, "gid": 1000, "mtime": [1, 5] });
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        entry
    };
    let list = lines::<ListLine>(vec![
        json!({ "path": "", "entry": entry(json!({ "kind": "d", "mode": 0o755 })) }),
        json!({ "path": "a", "entry": entry(json!({ "kind": "l", "mode": 0o777, "target": "caf\\xe9" })) }),
        json!({ "path": "caf\\xe9", "entry": entry(json!({ "kind": "f", "size": 5, "hash": hex("content hash") })) }),
    ]);
    let size = example(page, "sealed object").len();
    let map = lines::<MapLine>(vec![json!({
        "content_hash": hex("content hash"), "sealed_hash": hex("sealed hash"), "epoch": 1, "encrypted_size": size
    })]);
    let groups = vec![group(&vault, GroupKind::List, &list), group(&vault, GroupKind::Map, &map)];
    let body = serde_json::to_string(&Body { groups, replaced: vec![] }).unwrap() + "\n";
    let sealed = seal(&vault, Kind::ManifestBody, &body);
    let id = "00000000-0000-7000-8000-000000000001";
    let header = lines::<ManifestHeader>(vec![json!({
        "format": 1, "vault": vault.id(), "catalog": id, "project": "p", "dataset": "d", "version": 1, "changeset": id,
        "created_at": "2026-01-02T03:04:05.000000Z", "counts": { "files": 1, "bytes": 5, "changed": 3 },
        "body": { "sealed_hash": sealed.sealed_hash, "size": sealed.bytes.len() }
    })]);
    [
        ("manifest-header.json", header),
        ("manifest-body.json", body),
        ("segment of the list", list),
        ("segment of the map", map),
    ]
}

#[test]
fn the_page_shows_a_manifest_as_the_code_writes_it() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("FORMAT.md has a block for the manifest");
    let (block, after) = rest.split_once(END).expect("the block ends");
    let mut expected = String::new();
    for (name, text) in manifest(&page) {
        expected.push_str(name);
        expected.push('\n');
        for line in text.lines() {
            writeln!(expected, "    {line}").unwrap();
        }
    }
    if std::env::var_os("N2S_WRITE_PAGES").is_some() {
        std::fs::write(PAGE, format!("{before}{BEGIN}{expected}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(block, expected);
}

//! A version comes back from one store and one vault: no catalog, no n2s but the reader of its format.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use n2s_domain::{Content, EntryChange, FileEntry, SealedHash, Version};
use n2s_envelope::manifest::{
    Body, GroupKind, ListLine, ManifestHeader, MapLine, SegmentRef, merge_list, read_lines,
};
use n2s_envelope::{Expect, Kind, Opener, Vault};
use n2s_tests::World;

fn blob(store: &Path, sealed: SealedHash) -> Vec<u8> {
    let hex = sealed.to_hex();
    std::fs::read(store.join("blobs").join(&hex[..2]).join(&hex[2..])).unwrap()
}

fn segment(opener: &Opener, store: &Path, segment: &SegmentRef) -> Vec<u8> {
    let sealed = blob(store, segment.sealed_hash);
    opener.open(&sealed, &Expect::Blob(segment.content_hash)).unwrap().payload.to_vec()
}

/// A version as a store alone tells it: its entries, and where each content lies.
fn read(
    store: &Path,
    vault: &Vault,
    version: u64,
) -> (Vec<FileEntry>, BTreeMap<n2s_domain::ContentHash, SealedHash>) {
    let (project, dataset) = ("p".parse().unwrap(), "d".parse().unwrap());
    let dir = store.join(format!("archives/{}/{version}", vault.store_key(&project, &dataset)));
    let opener = vault.opener();
    let manifest = |kind, name: &str| {
        let expect = Expect::Manifest {
            kind,
            project: project.clone(),
            dataset: dataset.clone(),
            version: Version(version),
            changeset: None,
        };
        let bytes = std::fs::read(dir.join(name)).unwrap();
        (n2s_envelope::sealed_hash(&bytes), opener.open(&bytes, &expect).unwrap().payload)
    };
    let (_, header) = manifest(Kind::ManifestHeader, "manifest-header.json");
    let header: ManifestHeader = serde_json::from_slice(&header).unwrap();
    let (body_hash, body) = manifest(Kind::ManifestBody, "manifest-body.json");
    assert_eq!(header.body.sealed_hash, body_hash);
    let body: Body = serde_json::from_slice(&body).unwrap();
    let mut lists = Vec::new();
    let mut map = BTreeMap::new();
    for group in &body.groups {
        let bytes: Vec<u8> = group.segments.iter().flat_map(|found| segment(&opener, store, found)).collect();
        match group.kind {
            GroupKind::List => {
                let lines: Vec<_> = read_lines::<ListLine>(&bytes)
                    .map(|line| Ok(line.unwrap().into_change().unwrap()))
                    .collect();
                lists.push(Box::new(lines.into_iter()) as Box<dyn Iterator<Item = Result<EntryChange, _>>>);
            }
            GroupKind::Map => map.extend(
                read_lines::<MapLine>(&bytes)
                    .map(|line| line.unwrap())
                    .map(|line| (line.content_hash, line.sealed_hash)),
            ),
        }
    }
    let entries: Vec<_> = merge_list(lists).map(Result::unwrap).collect();
    assert_eq!(entries.len() as u64, header.counts.files);
    (entries, map)
}

#[test]
fn every_version_is_whole_on_the_store_alone() {
    let world = World::new();
    (0..60).for_each(|n| world.write(&format!("src/{n}"), format!("first {n}")));
    world.push(&[]).code(0);
    world.write("src/5", "second");
    world.push(&[]).code(0);
    std::fs::remove_file(world.path("src/6")).unwrap();
    world.write("src/new", vec![7; 20 * 1024 * 1024]);
    world.push(&[]).code(0);
    world.push(&[]).code(0);

    let root = std::fs::read_to_string(world.path("home/vault")).unwrap();
    let root = root.lines().find_map(|line| line.strip_prefix("root ")).unwrap().to_owned();
    let store = world.path("home/store");
    let mut vault = Vault::from_root_text(&root).unwrap();
    vault.verify_marker(&std::fs::read(store.join("n2s.json")).unwrap()).unwrap();
    vault.add_wrapped_epoch(&std::fs::read(store.join("keys/1")).unwrap()).unwrap();
    std::fs::remove_dir_all(world.path("home/cache")).unwrap();
    world.lose_catalog();

    let expected = |version, path: &str| match (version, path) {
        (2.., "5") => Some(b"second".to_vec()),
        (3.., "new") => Some(vec![7; 20 * 1024 * 1024]),
        (3.., "6") | (_, "new") => None,
        (_, path) => Some(format!("first {path}").into_bytes()),
    };
    for version in 1..=4 {
        let (entries, map) = read(&store, &vault, version);
        let mut found = BTreeMap::new();
        for entry in entries.iter().filter(|entry| matches!(entry.content, Content::File { .. })) {
            let pieces = entry.chunks().iter().map(|chunk| {
                let opened =
                    vault.opener().open(&blob(&store, map[&chunk.hash]), &Expect::Blob(chunk.hash)).unwrap();
                opened.payload.to_vec()
            });
            found.insert(entry.path.to_string(), pieces.flatten().collect::<Vec<u8>>());
        }
        for path in (0..60).map(|n| n.to_string()).chain(["new".to_owned()]) {
            assert_eq!(found.get(&path), expected(version, &path).as_ref(), "version {version}, {path}");
        }
    }
}

#[test]
fn a_store_shows_no_name_and_no_content() {
    let world = World::new();
    world.write("src/very-secret-name", "very secret content, long enough to be found");
    world.push(&["--snapshot", "secret-label"]).code(0);
    let hash = n2s_envelope::content_hash(b"very secret content, long enough to be found");
    for path in n2s_tests::files(&world.path("home/store")) {
        let name = path.display().to_string();
        let bytes = std::fs::read(&path).unwrap();
        for secret in
            [&b"very-secret"[..], b"very secret", b"secret-label", &hash.0, hash.to_hex().as_bytes()]
        {
            assert!(
                !bytes.windows(secret.len()).any(|window| window == secret),
                "{name} shows {}",
                secret.escape_ascii()
            );
        }
        assert!(!name.contains(&hash.to_hex()[..12]));
        if let Some(digest) = name.split_once("/blobs/").map(|(_, digest)| digest.replace('/', "")) {
            assert_eq!(
                n2s_envelope::sealed_hash(&bytes).to_hex(),
                digest,
                "an object is not named by its bytes"
            );
        }
    }
}

//! Whatever a dataset goes through, the segments that a version's chain names read back as its tree.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use n2s_domain::{
    ChunkRef, Content, EntryChange, FileEntry, FileMeta, FileTime, RelPath, SeededEntropy, Version,
};
use n2s_envelope::manifest::{
    GroupInfo, ListLine, MergeError, SegmentWriter, merge_list, plan_since, read_lines,
};
use n2s_envelope::{Expect, Metadata, Vault, content_hash};
use proptest::prelude::*;

type Tree = BTreeMap<RelPath, FileEntry>;

/// A group of a chain, its segments sealed.
struct Group {
    since: u64,
    through: u64,
    entries: u64,
    segments: Vec<Vec<u8>>,
}

/// Up to two components of any bytes; few enough that pushes meet each other's.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let component = |bytes: Vec<u8>| -> Vec<u8> {
        let tame = |byte: &u8| if b"/\0.".contains(byte) { b'a' } else { *byte };
        bytes.iter().map(tame).collect()
    };
    let component = prop_oneof![
        proptest::collection::vec(any::<u8>(), 1..4).prop_map(component),
        prop::sample::select(vec![&b"a"[..], b"b", b"n7", b"n8"]).prop_map(<[u8]>::to_vec),
    ];
    proptest::collection::vec(component, 0..3).prop_map(|components| components.join(&b'/'))
}

fn meta() -> impl Strategy<Value = FileMeta> {
    (0u32..0o10000, any::<u32>(), any::<u32>(), any::<i64>(), 0u32..1_000_000_000).prop_map(
        |(mode, uid, gid, secs, nanos)| FileMeta { mode, uid, gid, mtime: FileTime { secs, nanos } },
    )
}

fn content() -> impl Strategy<Value = Content> {
    let file = |sizes: Vec<u32>| {
        let mut offset = 0;
        let chunks: Vec<ChunkRef> = sizes
            .iter()
            .map(|&size| {
                let chunk = ChunkRef { hash: content_hash(&size.to_le_bytes()), offset, size };
                offset += u64::from(size);
                chunk
            })
            .collect();
        let hash = match &chunks[..] {
            [] => content_hash(b""),
            [one] => one.hash,
            _ => content_hash(&offset.to_le_bytes()),
        };
        Content::File { size: offset, hash, chunks }
    };
    prop_oneof![
        Just(Content::Directory),
        proptest::collection::vec(any::<u8>(), 0..9).prop_map(|target| Content::Symlink { target }),
        proptest::collection::vec(1u32..=16 << 20, 0..4).prop_map(file),
    ]
}

type What = (FileMeta, Content, Option<u64>);

/// By path: what it is from now on, or nothing.
fn push() -> impl Strategy<Value = BTreeMap<Vec<u8>, Option<What>>> {
    let what = (meta(), content(), proptest::option::of(any::<u64>()));
    proptest::collection::btree_map(name(), proptest::option::weighted(0.7, what), 0..9)
}

fn seal(vault: &Vault, lines: &[u8]) -> Vec<u8> {
    let metadata = Metadata::blob("p".parse().unwrap(), "d".parse().unwrap());
    vault.sealer().unwrap().seal(&metadata, lines).unwrap().bytes.to_vec()
}

/// The lines of a group: what differs from version `since` on, or, from 0 on, everything.
fn group(vault: &Vault, since: u64, versions: &[Tree]) -> Group {
    let (now, then) =
        (versions.last().unwrap(), since.checked_sub(1).map(|v| &versions[usize::try_from(v).unwrap()]));
    let empty = Tree::new();
    let then = then.unwrap_or(&empty);
    let gone =
        then.keys().filter(|path| !now.contains_key(*path)).map(|path| EntryChange::Remove(path.clone()));
    let put =
        now.values().filter(|entry| then.get(&entry.path) != Some(entry)).cloned().map(EntryChange::Put);
    let mut changes: Vec<EntryChange> = gone.chain(put).collect();
    changes.sort_by(|a, b| a.path().cmp(b.path()));
    let (mut writer, mut segments) = (SegmentWriter::default(), Vec::new());
    for change in &changes {
        segments.extend(writer.push(&ListLine::from(change)).unwrap());
    }
    let entries = writer.lines();
    segments.extend(writer.finish());
    let segments = segments.iter().map(|lines| seal(vault, lines)).collect();
    Group { since, through: versions.len() as u64, entries, segments }
}

fn read(vault: &Vault, chain: &[Group]) -> Vec<FileEntry> {
    let lines = |group: &Group| -> Box<dyn Iterator<Item = Result<EntryChange, MergeError>>> {
        let open = |object: &Vec<u8>| vault.opener().open(object, &Expect::Anything).unwrap().payload;
        let segments: Vec<_> = group.segments.iter().map(open).collect();
        let changes = segments.into_iter().flat_map(|segment| {
            read_lines::<ListLine>(&segment)
                .map(|line| Ok(line.unwrap().into_change().unwrap()))
                .collect::<Vec<_>>()
        });
        Box::new(changes)
    };
    merge_list(chain.iter().map(lines).collect()).map(Result::unwrap).collect()
}

fn apply(tree: &Tree, push: BTreeMap<Vec<u8>, Option<What>>) -> Tree {
    let mut tree = tree.clone();
    for (path, what) in push {
        let path = RelPath::new(path).unwrap();
        match what {
            Some((meta, content, link_group)) => {
                tree.insert(path.clone(), FileEntry { path, meta, content, link_group })
            }
            None => tree.remove(&path),
        };
    }
    tree
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_version_of_a_history_reads_back_from_its_chain(
        what in (meta(), content()), pushes in proptest::collection::vec(push(), 1..12),
    ) {
        let vault = Vault::create(&SeededEntropy::new(1));
        // A large base first, so that deltas stay deltas for a while.
        let first = (0..250).map(|n| (format!("n{n}").into_bytes(), Some((what.0, what.1.clone(), None)))).collect();
        let mut versions = vec![apply(&Tree::new(), first)];
        let mut chain = vec![group(&vault, 0, &versions)];
        for push in pushes {
            let parent = versions.len() as u64;
            let tree = apply(versions.last().unwrap(), push);
            versions.push(tree);
            let changed = group(&vault, parent, &versions).entries;
            let infos: Vec<_> = chain.iter().map(|g| GroupInfo { since: Version(g.since), entries: g.entries }).collect();
            if let Some(since) = plan_since(&infos, Version(parent), changed) {
                // As the pushing client does: what the new group covers goes.
                chain.retain(|old| old.through <= since.0);
                chain.push(group(&vault, since.0, &versions));
            }
            prop_assert!(chain.windows(2).all(|pair| pair[0].through <= pair[1].since));
            let expected: Vec<_> = versions.last().unwrap().values().cloned().collect();
            prop_assert_eq!(read(&vault, &chain), expected);
        }
    }
}

#[test]
fn a_list_of_several_segments_reads_back_as_one() {
    let vault = Vault::create(&SeededEntropy::new(1));
    let meta = FileMeta { mode: 0o644, uid: 1, gid: 2, mtime: FileTime { secs: 3, nanos: 4 } };
    let entry = |n: u32| {
        let path = [&vec![b'x'; 60_000][..], format!("/{n:04}").as_bytes()].concat();
        let path = RelPath::new(path).unwrap();
        (path.clone(), FileEntry { path, meta, content: Content::Directory, link_group: None })
    };
    let tree: Tree = (0..300).map(entry).collect();
    let base = group(&vault, 0, std::slice::from_ref(&tree));
    assert_eq!((base.segments.len(), base.entries), (3, 300));
    assert_eq!(read(&vault, &[base]), tree.values().cloned().collect::<Vec<_>>());
}

//! Sealed objects: the same in, the same out, and nothing changed goes unnoticed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use n2s_domain::{ChangesetId, FileTime, RelPath, SeededEntropy, Version};
use n2s_envelope::manifest::{ListLine, read_lines};
use n2s_envelope::{EnvelopeError, Expect, Kind, Metadata, Sealed, Vault};
use proptest::prelude::*;
use uuid::Uuid;

fn vault() -> Vault {
    Vault::create(&SeededEntropy::new(7))
}

fn metadata() -> Metadata {
    Metadata::blob("p".parse().unwrap(), "d".parse().unwrap())
}

fn seal(payload: &[u8]) -> Sealed {
    vault().sealer().unwrap().seal(&metadata(), payload).unwrap()
}

#[test]
fn any_byte_flipped_cut_or_added_is_found() {
    let object = seal(b"a small payload, small enough to try every byte of it").bytes;
    let open = |bytes: &[u8]| vault().opener().open(bytes, &Expect::Anything);
    assert!(open(&object).is_ok());
    for at in 0..object.len() {
        for bit in [1u8, 0x80] {
            let mut changed = object.to_vec();
            changed[at] ^= bit;
            assert!(open(&changed).is_err(), "byte {at}");
        }
        assert!(open(&object[..at]).is_err(), "cut to {at}");
    }
    let longer = [&object[..], &[0]].concat();
    assert!(open(&longer).is_err());
}

#[test]
fn another_object_in_its_place_is_found() {
    let (asked, other) = (seal(b"asked for"), seal(b"another"));
    let found = vault().opener().open(&other.bytes, &Expect::Blob(asked.content_hash));
    assert!(matches!(found, Err(EnvelopeError::NotAsked { what: "content_hash", .. })));
    let stranger = Vault::create(&SeededEntropy::new(8));
    let found = stranger.opener().open(&asked.bytes, &Expect::Anything);
    assert!(matches!(found, Err(EnvelopeError::WrongVault { .. })));
}

#[test]
fn the_same_plaintext_gives_the_same_bytes_and_another_a_new_nonce() {
    let nonce = |sealed: &Sealed| sealed.bytes[18..42].to_vec();
    let (one, again, other) = (seal(b"one"), seal(b"one"), seal(b"two"));
    assert_eq!(one.bytes, again.bytes);
    assert_ne!(nonce(&one), nonce(&other));
    let elsewhere = Metadata { offset: Some(1), ..metadata() };
    let moved = vault().sealer().unwrap().seal(&elsewhere, b"one").unwrap();
    assert_ne!(nonce(&one), nonce(&moved), "other metadata is another plaintext");
}

#[test]
fn hostile_lines_are_refused() {
    for path in ["..", "../x", "/etc/passwd", "a/../../x", "a//b", "a/", "./a", "a\\x00b", "a\\x2f\\x2e\\x2e"]
    {
        let line = format!("{}\n", serde_json::json!({ "path": path, "removed": true }));
        let read: Vec<_> = read_lines::<ListLine>(line.as_bytes()).collect();
        assert!(read.len() == 1 && read[0].is_err(), "{path} was accepted");
    }
    let empty = |hash: &str| {
        let entry = serde_json::json!({ "mode": 0, "uid": 0, "gid": 0, "mtime": [0, 0], "kind": "f", "size": 0, "hash": hash });
        serde_json::from_value::<ListLine>(serde_json::json!({ "path": "a", "entry": entry }))
            .unwrap()
            .into_change()
    };
    assert!(empty(&n2s_envelope::content_hash(b"").to_hex()).is_some());
    assert!(empty(&n2s_envelope::content_hash(b"x").to_hex()).is_none(), "nothing hashes to something else");
    let cut = serde_json::json!({ "path": "a", "removed": true }).to_string();
    assert!(
        read_lines::<ListLine>(cut.as_bytes()).any(|line| line.is_err()),
        "a segment without its last newline"
    );
}

/// Metadata as producers and manifests have it; hash, size and compression are the sealer's to set.
fn any_metadata() -> impl Strategy<Value = Metadata> {
    let path = proptest::collection::vec(any::<u8>().prop_filter("a name", |b| !b"/.\0".contains(b)), 0..20);
    let place = (path, any::<i64>(), 0u32..1_000_000_000, any::<u32>(), any::<u64>(), any::<u64>());
    let manifest = (any::<u64>(), any::<u128>());
    let names = ("[^\\pC\\s]{1,20}", "[^\\pC\\s]{1,20}/x");
    (names, proptest::option::of(place), proptest::option::of(manifest)).prop_map(
        |(names, place, manifest)| {
            let blob = Metadata::blob(names.0.parse().unwrap(), names.1.parse().unwrap());
            let (place, manifest) = (place.as_ref(), manifest.as_ref());
            Metadata {
                kind: if manifest.is_some() { Kind::ManifestHeader } else { Kind::Blob },
                filepath: place.map(|place| RelPath::new(place.0.clone()).unwrap()),
                mtime: place.map(|place| FileTime { secs: place.1, nanos: place.2 }),
                mode: place.map(|place| place.3),
                offset: place.map(|place| place.4),
                file_size: place.map(|place| place.5),
                version: manifest.map(|manifest| Version(manifest.0)),
                changeset: manifest.map(|manifest| ChangesetId(Uuid::from_u128(manifest.1))),
                catalog: manifest.map(|manifest| Uuid::from_u128(!manifest.1)),
                ..blob
            }
        },
    )
}

/// Random bytes, which stay raw, or a few repeated, which compress.
fn any_payload() -> impl Strategy<Value = Vec<u8>> {
    (proptest::collection::vec(any::<u8>(), 0..2_000), 1usize..150, any::<bool>()).prop_map(
        |(bytes, times, again)| {
            if again { bytes.repeat(times) } else { bytes }
        },
    )
}

proptest! {
    #[test]
    fn whatever_is_sealed_opens_with_all_that_was_said_of_it(metadata in any_metadata(), payload in any_payload()) {
        let sealed = vault().sealer().unwrap().seal(&metadata, &payload).unwrap();
        prop_assert_eq!(sealed.sealed_hash, n2s_envelope::sealed_hash(&sealed.bytes));
        let opened = vault().opener().open(&sealed.bytes, &Expect::Blob(sealed.content_hash)).unwrap();
        prop_assert_eq!(&opened.payload[..], &payload[..]);
        let said = Metadata {
            content_hash: n2s_envelope::content_hash(&payload),
            size: payload.len() as u64,
            compression: opened.metadata.compression.clone(),
            ..metadata.clone()
        };
        prop_assert_eq!(opened.metadata, said);
        prop_assert!(sealed.bytes.len() <= payload.len() + 2_000);
        prop_assert_eq!(vault().sealer().unwrap().seal(&metadata, &payload).unwrap().bytes, sealed.bytes);
    }

    #[test]
    fn another_key_or_any_flipped_bit_opens_nothing(
        metadata in any_metadata(), payload in any_payload(), stranger: u64, place: prop::sample::Index, bit in 0u32..8
    ) {
        let object = vault().sealer().unwrap().seal(&metadata, &payload).unwrap().bytes;
        // Without the vault id in its way, too: what counts is the key.
        let other = Vault::create(&SeededEntropy::new(stranger));
        prop_assume!(other.id() != vault().id());
        prop_assert!(other.opener().open(&object, &Expect::Anything).is_err());
        let mut passed_off = object.to_vec();
        passed_off[6..14].copy_from_slice(&other.id().0);
        let found = other.opener().open(&passed_off, &Expect::Anything);
        prop_assert!(matches!(found, Err(EnvelopeError::Forged(_))), "{:?}", found);
        let mut rotated = vault();
        let epoch = rotated.rotate(&SeededEntropy::new(stranger));
        let mut elsewhere = object.to_vec();
        elsewhere[14..18].copy_from_slice(&epoch.0.to_le_bytes());
        prop_assert!(rotated.opener().open(&elsewhere, &Expect::Anything).is_err());
        let mut flipped = object.to_vec();
        flipped[place.index(object.len())] ^= 1 << bit;
        prop_assert!(vault().opener().open(&flipped, &Expect::Anything).is_err());
    }
}

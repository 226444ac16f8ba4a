//! Sealed objects: the same in, the same out, and nothing changed goes unnoticed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use n2s_domain::SeededEntropy;
use n2s_envelope::manifest::{ListLine, read_lines};
use n2s_envelope::{EnvelopeError, Expect, Metadata, Sealed, Vault};
use proptest::prelude::*;

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

proptest! {
    #[test]
    fn whatever_is_sealed_opens(payload in proptest::collection::vec(any::<u8>(), 0..200_000), repeat: bool) {
        let payload = if repeat { payload.iter().copied().cycle().take(300_000.min(payload.len() * 3)).collect() } else { payload };
        let sealed = seal(&payload);
        let opened = vault().opener().open(&sealed.bytes, &Expect::Blob(sealed.content_hash)).unwrap();
        prop_assert_eq!(&opened.payload[..], &payload[..]);
        prop_assert!(sealed.bytes.len() <= payload.len() + 1_000);
    }
}

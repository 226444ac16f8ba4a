//! Sealed objects: bytes of a store that lies, and insides from a producer that holds the key and does not mean well.

use std::sync::LazyLock;

use n2s_domain::ContentHash;
use n2s_domain::limits::BLOB_BYTES_MAX;
use n2s_envelope::{Expect, Kind, Metadata, Opener, content_hash, peek, sealed_hash};

use crate::sealing::{VAULT, seal};
use crate::split;

static OPENER: LazyLock<Opener> = LazyLock::new(|| VAULT.opener());

/// `0` bytes as a store gives them; `1` places and masks that change a right object; `2` a plaintext that is sealed;
/// `3` metadata, a line feed and a body, with length, hash and size put right before they are sealed.
pub fn sealed(bytes: &[u8]) {
    match split(bytes, 4) {
        (0, object) => {
            let opened = OPENER.open(object, &Expect::Anything);
            assert!(opened.is_err() || peek(object).is_ok());
        }
        (1, changes) => changed(changes),
        (2, plaintext) => inside(plaintext),
        (_, parts) => inside(&mended(parts)),
    }
}

fn changed(changes: &[u8]) {
    static OBJECT: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let metadata = blob();
        VAULT
            .sealer()
            .expect("it has an epoch")
            .seal(&metadata, b"what is sealed")
            .expect("it is short")
            .bytes
            .to_vec()
    });
    let mut object = OBJECT.clone();
    for change in changes.chunks_exact(3) {
        let place = usize::from(change[0]) * 256 + usize::from(change[1]);
        match change[2] {
            0 => object.truncate(place),
            mask => {
                let length = object.len().max(1);
                if let Some(byte) = object.get_mut(place % length) {
                    *byte ^= mask;
                }
            }
        }
    }
    let opened = OPENER.open(&object, &Expect::Anything);
    assert_eq!(opened.is_ok(), object == *OBJECT, "a changed object was opened, or an intact one was not");
}

fn blob() -> Metadata {
    Metadata::blob("p".parse().expect("it is a name"), "d".parse().expect("it is a name"))
}

/// Opens what the key's holder sealed: refused or consistent, and never another blob than was asked for.
fn inside(plaintext: &[u8]) {
    let object = seal(plaintext);
    if plaintext.len() < 4 {
        assert!(OPENER.open(&object, &Expect::Anything).is_err());
        return;
    }
    let Ok(opened) = OPENER.open(&object, &Expect::Anything) else { return };
    let (metadata, payload) = (opened.metadata, opened.payload);
    assert!(payload.len() <= BLOB_BYTES_MAX && payload.len() as u64 == metadata.size);
    assert_eq!(content_hash(&payload), metadata.content_hash);
    assert!(OPENER.open(&object, &Expect::Blob(metadata.content_hash)).is_ok());
    assert!(OPENER.open(&object, &Expect::Blob(ContentHash([7; 32]))).is_err());
    if metadata.kind != Kind::ManifestHeader {
        let (project, dataset) = (metadata.project.clone(), metadata.dataset.clone());
        let version = metadata.version.unwrap_or(n2s_domain::Version(0));
        let expect =
            Expect::Manifest { kind: Kind::ManifestHeader, project, dataset, version, changeset: None };
        assert!(OPENER.open(&object, &expect).is_err(), "something else passed for a manifest's header");
    }
    let sealer = VAULT.sealer().expect("it has an epoch");
    if let Ok(again) = sealer.seal(&metadata, &payload) {
        assert_eq!(again.sealed_hash, sealed_hash(&again.bytes));
        let opened =
            OPENER.open(&again.bytes, &Expect::Blob(again.content_hash)).expect("it was just sealed");
        assert_eq!(opened.payload, payload);
        let place =
            |metadata: &Metadata| Metadata { compression: String::new(), padding: 0, ..metadata.clone() };
        assert_eq!(place(&opened.metadata), place(&metadata));
    }
}

/// Blind changes hardly ever get lengths and hashes right; past them is where readers differ.
fn mended(parts: &[u8]) -> Vec<u8> {
    let at = parts.iter().position(|byte| *byte == b'\n').unwrap_or(parts.len());
    let (json, body) = (&parts[..at], parts.get(at + 1..).unwrap_or_default());
    let json = match serde_json::from_slice(json) {
        Ok(serde_json::Value::Object(mut fields)) => {
            fields.entry("content_hash").or_insert_with(|| content_hash(body).to_hex().into());
            fields.entry("size").or_insert_with(|| body.len().into());
            serde_json::to_vec(&fields).expect("it was JSON")
        }
        _ => json.to_vec(),
    };
    let mut plaintext = u32::try_from(json.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    plaintext.extend_from_slice(&json);
    plaintext.extend_from_slice(body);
    plaintext
}

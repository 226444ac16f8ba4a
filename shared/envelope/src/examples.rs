//! The worked examples of FORMAT.md: written by the code they explain, decoded from the page.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use data_encoding::HEXLOWER;
use n2s_domain::{Epoch, FileTime, RelPath};

use crate::keys::{self, Secret};
use crate::{Chunker, Expect, Metadata, Vault, content_hash, sealed_hash};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/FORMAT.md");
const BEGIN: &str = "<!-- examples: written by `N2S_WRITE_PAGES=1 cargo test -p n2s-envelope examples::the_examples` -->\n```text\n";
const END: &str = "```\n<!-- end of examples -->\n";

/// Bytes that can be told apart.
fn count(from: u8) -> [u8; 32] {
    std::array::from_fn(|at| from + u8::try_from(at).unwrap())
}

/// Bytes that anybody can make again.
fn stream(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(b"n2s example").finalize_xof().fill(&mut bytes);
    bytes
}

fn examples() -> Vec<(&'static str, Vec<u8>)> {
    let root = Secret(count(0));
    let mut vault = Vault::from_root_text(&text_of(&root)).unwrap();
    let (secret, wrap_nonce) =
        (Secret(count(0x40)), std::array::from_fn(|at| 0x80 + u8::try_from(at).unwrap()));
    let key = vault.wrap(Epoch(1), &secret, wrap_nonce);
    vault.add_wrapped_epoch(&key).unwrap();
    let metadata = Metadata {
        filepath: Some(RelPath::new(&b"caf\xe9"[..]).unwrap()),
        mtime: Some(FileTime { secs: 1, nanos: 5 }),
        mode: Some(0o644),
        offset: Some(0),
        file_size: Some(5),
        ..Metadata::blob("p".parse().unwrap(), "d".parse().unwrap())
    };
    let sealed = vault.sealer().unwrap().seal(&metadata, b"hello").unwrap();
    let plaintext = plaintext(&secret, &sealed.bytes);
    let bytes = stream(40 << 20);
    let cuts = Chunker::new(&bytes[..], vault.chunk_seed()).take(3);
    let cuts: Vec<u8> = cuts.flat_map(|chunk| (chunk.unwrap().bytes.len() as u64).to_le_bytes()).collect();
    let store_key = vault.store_key(&"p".parse().unwrap(), &"d".parse().unwrap());
    vec![
        ("root", root.0.to_vec()),
        ("root as printed (ASCII)", text_of(&root).into_bytes()),
        ("vault id", vault.id().0.to_vec()),
        ("n2s.json MAC key", keys::marker(&root).0.to_vec()),
        ("n2s.json (ASCII)", vault.marker()),
        ("wrapping key", keys::wrapping(&root).0.to_vec()),
        ("dataset naming key", keys::naming(&root).0.to_vec()),
        ("store key of project p, dataset d", store_key.0.to_vec()),
        ("chunker seed", vault.chunk_seed().to_le_bytes().to_vec()),
        ("epoch 1 secret", secret.0.to_vec()),
        ("keys/1", key),
        ("sealing key", keys::sealing(&secret).0.to_vec()),
        ("nonce key", keys::nonces(&secret).0.to_vec()),
        ("payload", b"hello".to_vec()),
        ("content hash", content_hash(b"hello").0.to_vec()),
        ("plaintext: metadata length, metadata, payload", plaintext),
        ("sealed object", sealed.bytes.to_vec()),
        ("sealed hash", sealed.sealed_hash.0.to_vec()),
        ("first three chunk lengths of the 40 MiB that BLAKE3 puts out for 'n2s example' (u64 each)", cuts),
    ]
}

fn text_of(root: &Secret) -> String {
    let mut bytes = root.0.to_vec();
    bytes.extend_from_slice(&blake3::derive_key("n2s v1 root checksum", &root.0)[..4]);
    let code = data_encoding::BASE32_NOPAD.encode(&bytes);
    let groups: Vec<_> = code.as_bytes().chunks(4).map(|group| std::str::from_utf8(group).unwrap()).collect();
    format!("N2S1-{}", groups.join("-"))
}

fn plaintext(secret: &Secret, object: &[u8]) -> Vec<u8> {
    use chacha20poly1305::aead::AeadInOut as _;
    use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305};
    let (header, rest) = object.split_at(42);
    let (body, tag) = rest.split_at(rest.len() - 16);
    let (nonce, tag): (&[u8; 24], &[u8; 16]) = (header[18..].try_into().unwrap(), tag.try_into().unwrap());
    let mut plain = body.to_vec();
    XChaCha20Poly1305::new((&keys::sealing(secret).0).into())
        .decrypt_inout_detached(nonce.into(), header, plain.as_mut_slice().into(), tag.into())
        .unwrap();
    plain
}

fn page() -> (String, String, String) {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("FORMAT.md has a block of examples");
    let (block, after) = rest.split_once(END).expect("the block ends");
    (before.to_owned(), block.to_owned(), after.to_owned())
}

/// Name, then indented hex, 48 bytes a line.
fn written(examples: &[(&str, Vec<u8>)]) -> String {
    let mut text = String::new();
    for (name, bytes) in examples {
        writeln!(text, "{name}").unwrap();
        for line in bytes.chunks(48) {
            writeln!(text, "    {}", HEXLOWER.encode(line)).unwrap();
        }
    }
    text
}

fn read(block: &str) -> BTreeMap<String, Vec<u8>> {
    let mut examples = BTreeMap::new();
    let mut name = String::new();
    for line in block.lines() {
        match line.strip_prefix("    ") {
            None => line.clone_into(&mut name),
            Some(hex) => {
                let bytes: &mut Vec<u8> = examples.entry(name.clone()).or_default();
                bytes.extend(HEXLOWER.decode(hex.as_bytes()).unwrap());
            }
        }
    }
    examples
}

#[test]
fn the_examples_are_what_the_code_does() {
    let expected = written(&examples());
    if std::env::var_os("N2S_WRITE_PAGES").is_some() {
        let (before, _, after) = page();
        std::fs::write(PAGE, format!("{before}{BEGIN}{expected}{END}{after}")).unwrap();
    }
    assert_eq!(page().1, expected);
}

#[test]
fn the_page_alone_opens_its_sealed_object() {
    let page = read(&page().1);
    let mut vault =
        Vault::from_root_text(std::str::from_utf8(&page["root as printed (ASCII)"]).unwrap()).unwrap();
    assert_eq!(vault.id().0.to_vec(), page["vault id"]);
    vault.verify_marker(&page["n2s.json (ASCII)"]).unwrap();
    vault.add_wrapped_epoch(&page["keys/1"]).unwrap();
    let object = &page["sealed object"];
    assert_eq!(sealed_hash(object).0.to_vec(), page["sealed hash"]);
    let opened = vault.opener().open(object, &Expect::Anything).unwrap();
    assert_eq!(opened.payload, page["payload"]);
    assert_eq!(content_hash(&opened.payload).0.to_vec(), page["content hash"]);
}

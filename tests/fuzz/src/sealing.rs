//! Sealing as `FORMAT.md` says, of whatever plaintext: n2s itself seals only what is right.
//!
//! Rejected: a way into the sealer for tests, which would be a way in for everybody.

use std::sync::LazyLock;

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305};
use n2s_domain::SeededEntropy;
use n2s_envelope::Vault;

/// The vault of all targets.
pub(crate) static VAULT: LazyLock<Vault> = LazyLock::new(|| Vault::create(&SeededEntropy::new(1)));

/// The secret of its first epoch.
static SECRET: LazyLock<[u8; 32]> = LazyLock::new(|| {
    let text: String = VAULT.root_text()[4..].replace('-', "");
    let root = data_encoding::BASE32_NOPAD.decode(text.as_bytes()).expect("the root's text is base32");
    let wrapping = blake3::derive_key("n2s v1 epoch wrapping", &root[..32]);
    let (_, object) = &VAULT.wrapped_epochs()[0];
    let cipher = XChaCha20Poly1305::new((&wrapping).into());
    let nonce: &[u8; 24] = object[18..42].try_into().expect("42 - 18 is 24");
    let payload = Payload { msg: &object[42..], aad: &object[..42] };
    let secret = cipher.decrypt(nonce.into(), payload).expect("the vault wrapped it");
    secret.try_into().expect("a secret has 32 bytes")
});

/// An object that authenticates, whatever is inside.
pub(crate) fn seal(plaintext: &[u8]) -> Vec<u8> {
    let nonce_key = blake3::derive_key("n2s v1 nonces", &*SECRET);
    let nonce = blake3::keyed_hash(&nonce_key, plaintext);
    let nonce: &[u8; 24] = nonce.as_bytes()[..24].try_into().expect("32 bytes have 24");
    let mut object = b"N2SB\x01\x01".to_vec();
    object.extend_from_slice(&VAULT.id().0);
    object.extend_from_slice(&1u32.to_le_bytes());
    object.extend_from_slice(nonce);
    let cipher = XChaCha20Poly1305::new((&blake3::derive_key("n2s v1 sealing", &*SECRET)).into());
    let payload = Payload { msg: plaintext, aad: &object };
    let ciphertext = cipher.encrypt(nonce.into(), payload).expect("it is short enough to encrypt");
    object.extend_from_slice(&ciphertext);
    object
}

//! What people keep and type: the vault's file, the printed root; and what stores give back: key objects, `n2s.json`.

use std::path::PathBuf;
use std::sync::LazyLock;

use n2s_domain::SeededEntropy;
use n2s_envelope::Vault;

use crate::sealing::VAULT;
use crate::{scratch, split};

static FILES: LazyLock<[PathBuf; 2]> = LazyLock::new(|| {
    let dir = scratch::dir();
    ["vault", "again"].map(|name| dir.join(name))
});
static STRANGER: LazyLock<Vault> = LazyLock::new(|| Vault::create(&SeededEntropy::new(2)));

/// `0` a vault's file; `1` one without its last line, which is put right; `2` a root as typed; `3` a key object;
/// `4` an `n2s.json`.
pub fn vault(bytes: &[u8]) {
    match split(bytes, 5) {
        (0, file) => load(file),
        (1, lines) => {
            let end = format!("end {}\n", &blake3::hash(lines).to_hex()[..16]);
            load(&[lines, end.as_bytes()].concat());
        }
        (2, typed) => {
            let Some(vault) =
                std::str::from_utf8(typed).ok().and_then(|text| Vault::from_root_text(text).ok())
            else {
                return;
            };
            let again = Vault::from_root_text(&vault.root_text()).expect("it was printed by n2s");
            assert_eq!((again.id(), again.root_text()), (vault.id(), vault.root_text()));
        }
        (3, object) => key_object(object),
        (_, marker) => {
            let accepted = VAULT.verify_marker(marker).is_ok();
            assert!(!accepted || STRANGER.verify_marker(marker).is_err(), "two vaults claim one store");
        }
    }
}

/// What loads is saved and loads again as the same; what does not names its file.
fn load(file: &[u8]) {
    let [path, again] = &*FILES;
    scratch::write(path, file);
    match Vault::load(path) {
        Ok(vault) => {
            let _ = std::fs::remove_file(again);
            vault.save_new(again).expect("nothing is in its place");
            let second = Vault::load(again).expect("it was just saved");
            assert_eq!((second.id(), second.root_text()), (vault.id(), vault.root_text()));
            assert_eq!(second.wrapped_epochs(), vault.wrapped_epochs());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Whoever does not know the root cannot make one; what is accepted is what the root's holder wrapped.
fn key_object(object: &[u8]) {
    let mut vault = Vault::from_root_text(&VAULT.root_text()).expect("it was printed by n2s");
    let accepted = vault.add_wrapped_epoch(object).is_ok();
    let known = VAULT.wrapped_epochs();
    assert_eq!(accepted, known.iter().any(|(_, wrapped)| wrapped == object), "a forged key object");
    assert_eq!(vault.wrapped_epochs().len(), usize::from(accepted));
}

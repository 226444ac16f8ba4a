//! `n2s.json`: which format and vault a store belongs to, authenticated under the root, so that a store cannot be
//! passed off as another vault's.

use n2s_domain::VaultId;
use serde::{Deserialize, Serialize};

use super::{Vault, VaultError};
use crate::keys;

#[derive(Serialize, Deserialize)]
struct Marker {
    format: u8,
    vault: VaultId,
    mac: String,
}

impl Vault {
    /// The bytes of `n2s.json`.
    pub fn marker(&self) -> Vec<u8> {
        let marker = Marker { format: 1, vault: self.id, mac: self.marker_mac().to_hex().to_string() };
        let mut json = serde_json::to_vec(&marker).expect("three plain fields serialise");
        json.push(b'\n');
        json
    }

    /// Accepts `n2s.json` of this vault only.
    pub fn verify_marker(&self, bytes: &[u8]) -> Result<(), VaultError> {
        let refuse = |what: String| Err(VaultError::Marker(what));
        let Ok(marker) = serde_json::from_slice::<Marker>(bytes) else {
            return refuse("it is not one that n2s wrote".to_owned());
        };
        if marker.format != 1 {
            return refuse(format!("its format {} is not known to this n2s", marker.format));
        }
        if marker.vault != self.id {
            return refuse(format!("the store belongs to vault {}, this is vault {}", marker.vault, self.id));
        }
        // `blake3::Hash` compares in constant time.
        match blake3::Hash::from_hex(&marker.mac) {
            Ok(mac) if mac == self.marker_mac() => Ok(()),
            _ => refuse("it does not authenticate under this root".to_owned()),
        }
    }

    fn marker_mac(&self) -> blake3::Hash {
        let mut message = b"n2s.json\0\x01".to_vec();
        message.extend_from_slice(&self.id.0);
        blake3::keyed_hash(&keys::marker(&self.root).0, &message)
    }
}

#[cfg(test)]
mod tests {
    use n2s_domain::SeededEntropy;

    use super::*;

    #[test]
    fn accepts_its_own_and_nothing_else() {
        let (vault, other) = (Vault::create(&SeededEntropy::new(1)), Vault::create(&SeededEntropy::new(2)));
        vault.verify_marker(&vault.marker()).unwrap();
        assert!(vault.verify_marker(&other.marker()).unwrap_err().to_string().contains("belongs to vault"));
        let forged =
            String::from_utf8(other.marker()).unwrap().replace(&other.id().to_hex(), &vault.id().to_hex());
        assert!(vault.verify_marker(forged.as_bytes()).is_err());
        assert!(vault.verify_marker(b"{}").is_err());
    }
}

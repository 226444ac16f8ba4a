//! Epochs: random secrets, wrapped under the root as `keys/<epoch>`.

use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305};
use n2s_domain::{Entropy, Epoch};

use super::{Keyed, Vault, VaultError};
use crate::keys::{self, Secret};

const MAGIC: &[u8; 4] = b"N2SK";
const HEADER_BYTES: usize = 4 + 1 + 1 + 8 + 4 + 24;
const OBJECT_BYTES: usize = HEADER_BYTES + 32 + 16;

impl Vault {
    /// Starts the next epoch. Nothing sealed before is touched.
    pub fn rotate(&mut self, entropy: &dyn Entropy) -> Epoch {
        let epoch = Epoch(self.current_epoch().map_or(1, |epoch| epoch.0 + 1));
        let (mut secret, mut nonce) = ([0; 32], [0; 24]);
        entropy.fill(&mut secret);
        entropy.fill(&mut nonce);
        let secret = Secret(secret);
        let wrapped = self.wrap(epoch, &secret, nonce);
        self.epochs.insert(epoch, Keyed { secret, wrapped });
        epoch
    }

    /// Adds an epoch from its key object, as found in the catalog or on a store. One already held stays as it is.
    pub fn add_wrapped_epoch(&mut self, object: &[u8]) -> Result<Epoch, VaultError> {
        let (epoch, secret) = self.unwrap(object)?;
        if self.epochs.get(&epoch).is_some_and(|known| known.secret != secret) {
            return Err(VaultError::KeyObject(
                "another secret is held for the same epoch: two machines rotated at once",
            ));
        }
        self.epochs.entry(epoch).or_insert_with(|| Keyed { secret, wrapped: object.to_vec() });
        Ok(epoch)
    }

    pub(crate) fn wrap(&self, epoch: Epoch, secret: &Secret, nonce: [u8; 24]) -> Vec<u8> {
        let mut object = Vec::with_capacity(OBJECT_BYTES);
        object.extend_from_slice(MAGIC);
        object.extend_from_slice(&[1, 1]);
        object.extend_from_slice(&self.id.0);
        object.extend_from_slice(&epoch.0.to_le_bytes());
        object.extend_from_slice(&nonce);
        object.extend_from_slice(&secret.0);
        let (header, body) = object.split_at_mut(HEADER_BYTES);
        let tag = self
            .wrapping_cipher()
            .encrypt_inout_detached((&nonce).into(), header, body.into())
            .expect("32 bytes are not too long to encrypt");
        object.extend_from_slice(&tag);
        object
    }

    fn unwrap(&self, object: &[u8]) -> Result<(Epoch, Secret), VaultError> {
        let refuse = |what| Err(VaultError::KeyObject(what));
        if object.len() != OBJECT_BYTES || &object[..4] != MAGIC {
            return refuse("it is not a key object of n2s, or it is cut short");
        }
        if object[4..6] != [1, 1] {
            return refuse("a newer n2s wrote it");
        }
        if object[6..14] != self.id.0 {
            return refuse("it belongs to another vault");
        }
        let epoch = Epoch(u32::from_le_bytes(object[14..18].try_into().expect("18 - 14 is 4")));
        let (header, rest) = object.split_at(HEADER_BYTES);
        let nonce: &[u8; 24] = header[18..].try_into().expect("42 - 18 is 24");
        let mut secret: [u8; 32] = rest[..32].try_into().expect("it has 32");
        let tag: &[u8; 16] = rest[32..].try_into().expect("it has 16");
        let opened = self.wrapping_cipher().decrypt_inout_detached(
            nonce.into(),
            header,
            secret.as_mut_slice().into(),
            tag.into(),
        );
        if opened.is_err() {
            return refuse("it is damaged: it does not authenticate under this root");
        }
        Ok((epoch, Secret(secret)))
    }

    fn wrapping_cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&keys::wrapping(&self.root).0).into())
    }
}

#[cfg(test)]
mod tests {
    use n2s_domain::SeededEntropy;

    use super::*;

    #[test]
    fn the_root_alone_opens_every_epoch_from_its_key_objects() {
        let mut vault = Vault::create(&SeededEntropy::new(1));
        vault.rotate(&SeededEntropy::new(2));
        let mut again = Vault::from_root_text(&vault.root_text()).unwrap();
        assert_eq!(again.current_epoch(), None);
        for (_, object) in vault.wrapped_epochs() {
            again.add_wrapped_epoch(&object).unwrap();
        }
        assert_eq!(again.current_epoch(), Some(Epoch(2)));
        let sealer = vault.sealer().unwrap();
        let metadata = crate::Metadata::blob("p".parse().unwrap(), "d".parse().unwrap());
        let sealed = sealer.seal(&metadata, b"x").unwrap();
        assert_eq!(&again.opener().open(&sealed.bytes, &crate::Expect::Anything).unwrap().payload[..], b"x");
    }

    #[test]
    fn a_key_object_of_another_vault_or_with_any_byte_changed_is_refused() {
        let mut vault = Vault::create(&SeededEntropy::new(1));
        let other = Vault::create(&SeededEntropy::new(2)).wrapped_epochs();
        assert!(vault.add_wrapped_epoch(&other[0].1).is_err());
        let object = vault.wrapped_epochs()[0].1.clone();
        for at in 0..object.len() {
            let mut changed = object.clone();
            changed[at] ^= 1;
            assert!(vault.add_wrapped_epoch(&changed).is_err(), "byte {at}");
        }
        assert!(vault.add_wrapped_epoch(&object[..object.len() - 1]).is_err());
    }
}

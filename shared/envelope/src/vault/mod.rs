//! The vault: a root secret that never rotates, and the sealing epochs under it.
//!
//! The root is all that must be kept: epoch secrets are wrapped under it and lie on every store as `keys/<epoch>`. The file
//! holds both, so that one machine can seal without asking anybody.

mod epochs;
mod file;
mod marker;
mod root_text;

use std::collections::BTreeMap;
use std::path::PathBuf;

use n2s_domain::{DatasetName, Entropy, Epoch, ProjectName, StoreKey, VaultId};

use crate::keys::{self, Secret};
use crate::open::Opener;
use crate::seal::Sealer;

/// Why a vault cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// The file system said no.
    #[error("the vault {path} cannot be {doing}")]
    Io {
        /// Where.
        path: PathBuf,
        /// `read` or `written`.
        doing: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others could read it.
    #[error("the vault {path} can be read by others (mode {mode:04o}); run: chmod 600 {path}")]
    Exposed {
        /// Where.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is cut short or changed.
    #[error(
        "the vault {path} is damaged ({what}); restore it from your backup of it, or from the printed root"
    )]
    Damaged {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// Nothing is overwritten: losing a root loses an archive.
    #[error("there is a vault at {0} already; it is never overwritten")]
    Exists(PathBuf),
    /// The printed root was not typed as printed.
    #[error("this is not a root as n2s prints it: {0}")]
    RootText(&'static str),
    /// A key object that this root did not wrap.
    #[error("the key object cannot be used: {0}")]
    KeyObject(&'static str),
    /// `n2s.json` of another vault, or changed.
    #[error("the store's n2s.json cannot be accepted: {0}")]
    Marker(String),
}

/// A root and its epochs. Secrets are wiped when dropped and never printed.
pub struct Vault {
    root: Secret,
    id: VaultId,
    epochs: BTreeMap<Epoch, Keyed>,
}

struct Keyed {
    secret: Secret,
    wrapped: Vec<u8>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({}, {} epochs)", self.id, self.epochs.len())
    }
}

impl Vault {
    /// A new vault with its first epoch. `entropy` must be the operating system's outside tests.
    pub fn create(entropy: &dyn Entropy) -> Self {
        let mut root = [0; 32];
        entropy.fill(&mut root);
        let mut vault = Self::from_root(Secret(root));
        vault.rotate(entropy);
        vault
    }

    fn from_root(root: Secret) -> Self {
        Self { id: VaultId(keys::vault_id(&root)), root, epochs: BTreeMap::new() }
    }

    /// The vault's public name.
    pub fn id(&self) -> VaultId {
        self.id
    }

    /// The epoch that new objects are sealed under; `None` for a vault made from a root alone, until key objects are added.
    pub fn current_epoch(&self) -> Option<Epoch> {
        self.epochs.keys().next_back().copied()
    }

    /// Every epoch and its key object, ascending: what goes on stores as `keys/<epoch>`.
    pub fn wrapped_epochs(&self) -> Vec<(Epoch, Vec<u8>)> {
        self.epochs.iter().map(|(epoch, keyed)| (*epoch, keyed.wrapped.clone())).collect()
    }

    /// Seals under the current epoch.
    pub fn sealer(&self) -> Option<Sealer> {
        let (epoch, keyed) = self.epochs.last_key_value()?;
        Some(Sealer::new(self.id, *epoch, &keyed.secret))
    }

    /// Opens objects of every epoch known so far.
    pub fn opener(&self) -> Opener {
        let sealer = |(epoch, keyed): (&Epoch, &Keyed)| (*epoch, Sealer::new(self.id, *epoch, &keyed.secret));
        Opener { vault: self.id, epochs: self.epochs.iter().map(sealer).collect() }
    }

    /// Seeds the chunker.
    pub fn chunk_seed(&self) -> u64 {
        keys::chunking(&self.root)
    }

    /// The dataset's name on stores: a keyed hash over both names, each with its length in front, so that no two pairs share one.
    pub fn store_key(&self, project: &ProjectName, dataset: &DatasetName) -> StoreKey {
        let mut hasher = blake3::Hasher::new_keyed(&keys::naming(&self.root).0);
        for name in [project.as_str(), dataset.as_str()] {
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(name.as_bytes());
        }
        StoreKey(*hasher.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use n2s_domain::SeededEntropy;

    use super::*;

    #[test]
    fn names_of_datasets_do_not_run_into_each_other() {
        let vault = Vault::create(&SeededEntropy::new(1));
        let key = |project: &str, dataset: &str| {
            vault.store_key(&project.parse().unwrap(), &dataset.parse().unwrap())
        };
        assert_ne!(key("ab", "c"), key("a", "bc"));
        assert_eq!(key("a", "b"), key("a", "b"));
        assert_ne!(
            key("a", "b"),
            Vault::create(&SeededEntropy::new(2)).store_key(&"a".parse().unwrap(), &"b".parse().unwrap())
        );
    }

    #[test]
    fn prints_no_secret() {
        let vault = Vault::create(&SeededEntropy::new(1));
        let shown = format!("{vault:?} {:?} {:?}", vault.sealer(), vault.root);
        assert!(!shown.contains(&vault.root_text()[8..16]) && !shown.contains("root"));
        assert!(shown.starts_with("Vault("));
    }
}

//! The tree every store holds below its prefix. These names are a contract with whoever recovers without n2s.

use n2s_domain::{Epoch, SealedHash, StoreKey, Version};

use crate::key::ObjectKey;

/// Format and vault of the store.
pub fn marker() -> ObjectKey {
    ObjectKey::known("n2s.json".to_owned())
}

/// The object health checks overwrite.
pub fn probe() -> ObjectKey {
    ObjectKey::known("probe".to_owned())
}

/// A wrapped epoch secret.
pub fn epoch(epoch: Epoch) -> ObjectKey {
    ObjectKey::known(format!("keys/{epoch}"))
}

/// A sealed blob.
pub fn blob(sealed: SealedHash) -> ObjectKey {
    let hex = sealed.to_hex();
    ObjectKey::known(format!("blobs/{}/{}", &hex[..2], &hex[2..]))
}

/// The sealed hash a blob's name stands for; `None` for other names.
pub fn parse_blob(key: &ObjectKey) -> Option<SealedHash> {
    let (head, tail) = key.as_str().strip_prefix("blobs/")?.split_once('/')?;
    (head.len() == 2).then(|| format!("{head}{tail}").parse().ok()).flatten()
}

/// The advisory number of a dataset's latest version.
pub fn archive_head(dataset: StoreKey) -> ObjectKey {
    ObjectKey::known(format!("archives/{dataset}/head"))
}

/// A version's header.
pub fn manifest_header(dataset: StoreKey, version: Version) -> ObjectKey {
    ObjectKey::known(format!("archives/{dataset}/{version}/manifest-header.json"))
}

/// A version's body.
pub fn manifest_body(dataset: StoreKey, version: Version) -> ObjectKey {
    ObjectKey::known(format!("archives/{dataset}/{version}/manifest-body.json"))
}

/// The dataset and version whose header or body this is; `None` for other names.
pub fn parse_manifest(key: &ObjectKey) -> Option<(StoreKey, Version)> {
    let mut parts = key.as_str().strip_prefix("archives/")?.split('/');
    let dataset = parts.next()?.parse().ok()?;
    let version = parts.next()?.parse().ok().map(Version)?;
    let manifest = matches!(parts.next()?, "manifest-header.json" | "manifest-body.json");
    (manifest && parts.next().is_none()).then_some((dataset, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_are_found_by_their_digest_and_back() {
        let sealed = SealedHash([0xab; 32]);
        assert_eq!(blob(sealed).as_str(), format!("blobs/ab/{}", "ab".repeat(31)));
        assert_eq!(parse_blob(&blob(sealed)), Some(sealed));
        assert_eq!(parse_blob(&marker()), None);
    }

    #[test]
    fn manifests_are_known_by_their_place() {
        let dataset = StoreKey([7; 32]);
        for key in [manifest_header(dataset, Version(12)), manifest_body(dataset, Version(12))] {
            assert_eq!(parse_manifest(&key), Some((dataset, Version(12))));
        }
        let odd = ObjectKey::known(format!("archives/{dataset}/x/manifest-body.json"));
        for key in [archive_head(dataset), marker(), odd] {
            assert_eq!(parse_manifest(&key), None, "{key}");
        }
    }

    #[test]
    fn no_name_leaves_the_prefix() {
        for bad in ["", "/a", "a/", "a//b", "../a", "a/./b", "a b", "é", "a\0"] {
            assert!(ObjectKey::new(bad).is_err(), "{bad:?}");
        }
    }
}

//! Catching up with the stores after the catalog was restored from an older copy of itself.
//!
//! Versions that were pushed since the copy lie on the stores, and the catalog would give their numbers out again. Nothing would be overwritten
//! (manifests are written once), but every push would fail until its number had passed them. So the stores' archives are listed, and each
//! dataset's next number put above the highest that is genuine: a manifest says, sealed, whose version it is, and so names datasets that the
//! catalog has never heard of.
//!
//! Rejected: looking at the stores at each push, which would make every push wait for every store for the sake of a day that most archives never
//! see; and taking the versions themselves in, which is what recovery is for.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt as _;
use n2s_catalog::{CatalogError, StepOver, SteppedOver};
use n2s_domain::{DatasetName, FailureKind, ProjectName, StoreKey, Version};
use n2s_envelope::{Expect, Kind, Vault};
use n2s_storage::{Storage, StorageExt as _, layout};

use crate::Intake;

/// A dataset whose numbers were looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaughtUp {
    /// Its project.
    pub project: ProjectName,
    /// Its name.
    pub dataset: DatasetName,
    /// The number its next push would have had.
    pub from: Version,
    /// The number it has now.
    pub to: Version,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct CatchUp {
    /// Every dataset that has an archive on some store.
    pub datasets: Vec<CaughtUp>,
    /// Stores, and archives, of which it is not known what they hold, and why: once they can be read, look again.
    pub unread: Vec<String>,
}

/// The latest versions of an archive that a store lists, the highest last: a few, in case some are not what their names say.
type Listed = BTreeMap<StoreKey, BTreeSet<Version>>;
const LATEST_MAX: usize = 8;

/// What is known of an archive: whose it is, and its highest version.
type Known = BTreeMap<StoreKey, (ProjectName, DatasetName, Version)>;

impl Intake {
    /// Lists the archives of every store and steps over their versions. May be done at any time and repeated: numbers only rise.
    pub async fn catch_up(&self, vault: &Vault) -> Result<CatchUp, CatalogError> {
        let mut done = CatchUp::default();
        let mut known = Known::new();
        let rows = self.catalog.backends().await?;
        for (name, storage) in self.stores.values() {
            let used = rows.iter().any(|(row, _)| row.name == *name && row.initialised_at.is_some());
            match listed(&**storage, vault, used).await {
                Ok(listed) => {
                    let odd = look(&**storage, vault, listed, &mut known).await;
                    done.unread.extend(odd.into_iter().map(|why| format!("{name}: {why}")));
                }
                Err(why) => done.unread.push(format!("{name}: {why}")),
            }
        }
        for (store_key, (project, dataset, latest)) in known {
            let names = (project.clone(), dataset.clone());
            let past = StepOver { project, dataset, vault: vault.id(), store_key, latest };
            let SteppedOver { from, to } = self.catalog.step_over(&past).await?;
            done.datasets.push(CaughtUp { project: names.0, dataset: names.1, from, to });
        }
        Ok(done)
    }
}

/// The archives of a store of this vault.
async fn listed(storage: &dyn Storage, vault: &Vault, used: bool) -> Result<Listed, String> {
    match storage.get(layout::marker()).await {
        Ok(marker) => vault.verify_marker(&marker).map_err(|error| error.to_string())?,
        // Nothing was ever stored there.
        Err(error) if error.kind == FailureKind::NotFound && !used => return Ok(Listed::new()),
        Err(error) if error.kind == FailureKind::NotFound => {
            return Err("n2s.json is gone: the disk is not mounted or was emptied".to_owned());
        }
        Err(error) => return Err(error.report()),
    }
    let mut found = Listed::new();
    let mut names = storage.list("archives");
    while let Some(listed) = names.try_next().await.map_err(|error| error.report())? {
        let Some((key, version)) = layout::parse_manifest(&listed.key) else { continue };
        let latest = found.entry(key).or_default();
        latest.insert(version);
        if latest.len() > LATEST_MAX {
            latest.pop_first();
        }
    }
    Ok(found)
}

/// Takes note of each archive's highest version that is genuine: a store cannot make numbers up. Answers what could not be told.
async fn look(storage: &dyn Storage, vault: &Vault, listed: Listed, known: &mut Known) -> Vec<String> {
    let mut odd = Vec::new();
    for (key, versions) in listed {
        for version in versions.into_iter().rev() {
            if known.get(&key).is_some_and(|(.., latest)| *latest >= version) {
                break;
            }
            match whose(storage, vault, (key, version)).await {
                Ok((project, dataset)) => {
                    known.insert(key, (project, dataset, version));
                    break;
                }
                Err(why) => odd.push(format!("version {version} in archives/{key}: {why}")),
            }
        }
    }
    odd
}

/// Project and dataset of a version, from its header; from its body, where it was interrupted between the two.
async fn whose(
    storage: &dyn Storage,
    vault: &Vault,
    (key, version): (StoreKey, Version),
) -> Result<(ProjectName, DatasetName), String> {
    let mut sealed = storage.get(layout::manifest_header(key, version)).await;
    if matches!(&sealed, Err(error) if error.kind == FailureKind::NotFound) {
        sealed = storage.get(layout::manifest_body(key, version)).await;
    }
    let sealed = sealed.map_err(|error| error.report())?;
    let opened = vault.opener().open(&sealed, &Expect::Anything).map_err(|error| error.to_string())?;
    let metadata = opened.metadata;
    let own = matches!(metadata.kind, Kind::ManifestHeader | Kind::ManifestBody)
        && metadata.version == Some(version)
        && vault.store_key(&metadata.project, &metadata.dataset) == key;
    if !own {
        return Err("it is another object of this vault".to_owned());
    }
    Ok((metadata.project, metadata.dataset))
}

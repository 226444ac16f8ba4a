//! Catching up with the stores after the catalog was restored from an older copy of itself.
//!
//! Versions that were pushed since the copy lie on the stores, and the catalog would give their numbers out again. Nothing would be overwritten
//! (manifests are written once), but every push would fail until its number had passed them. So the stores' archives are listed, and each
//! dataset's next number put above the highest that is genuine: a manifest says, sealed, whose version it is, and so names datasets that the
//! catalog has never heard of.
//!
//! A push that was open when the copy was made has its number already. Where the stores hold that number, it was committed after the copy, and could be
//! resumed, but never end: it is abandoned, so that the next push begins anew, with a number of its own. In a catalog that is not behind, no store has
//! the number of an open push, since manifests go there after the commit.
//!
//! Rejected: looking at the stores at each push, which would make every push wait for every store for the sake of a day that most archives never
//! see; and taking the versions themselves in, which is what recovery is for.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt as _;
use n2s_catalog::{CatalogError, ChangesetFilter, ChangesetRecord, Page, StepOver, SteppedOver};
use n2s_domain::limits::PAGE_ROWS_MAX;
use n2s_domain::{ChangesetId, ChangesetStatus, DatasetName, FailureKind, ProjectName, StoreKey, Version};
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

/// A push that was open, and is abandoned: a store holds its version, which was committed after the copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outrun {
    /// Its project.
    pub project: ProjectName,
    /// Its dataset.
    pub dataset: DatasetName,
    /// Its number.
    pub version: Version,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct CatchUp {
    /// Every dataset that has an archive on some store.
    pub datasets: Vec<CaughtUp>,
    /// To be pushed again.
    pub abandoned: Vec<Outrun>,
    /// Stores, and archives, of which it is not known what they hold, and why: once they can be read, look again.
    pub unread: Vec<String>,
}

/// The versions of archives that a store lists and that matter.
#[derive(Debug, Default)]
struct Listed {
    /// Of each the latest, the highest last: a few, in case some are not what their names say.
    latest: BTreeMap<StoreKey, BTreeSet<Version>>,
    /// Those that are the numbers of open pushes.
    open: BTreeSet<(StoreKey, Version)>,
}
const LATEST_MAX: usize = 8;

/// The pushes that are open.
type Open = BTreeMap<(StoreKey, Version), (ChangesetId, Outrun)>;

/// What is known of an archive: whose it is, and its highest version.
type Known = BTreeMap<StoreKey, (ProjectName, DatasetName, Version)>;

impl Intake {
    /// Lists the archives of every store, steps over their versions, and abandons open pushes of numbers that are among them. May be done at any time
    /// and repeated: numbers only rise, and a catalog that is not behind has no such push.
    pub async fn catch_up(&self, vault: &Vault) -> Result<CatchUp, CatalogError> {
        let mut done = CatchUp::default();
        let mut known = Known::new();
        let mut open = self.open_pushes(vault).await?;
        let rows = self.catalog.backends().await?;
        for (name, storage) in self.stores.values() {
            let used = rows.iter().any(|(row, _)| row.name == *name && row.initialised_at.is_some());
            let odd = match listed(&**storage, vault, used, &open).await {
                Ok(Listed { latest, open: numbers }) => {
                    let mut odd = look(&**storage, vault, latest, &mut known).await;
                    for number in numbers {
                        match whose(&**storage, vault, number).await {
                            Ok(_) => done.abandoned.extend(self.outrun(open.remove(&number)).await?),
                            Err(why) if odd.contains(&why) => {}
                            Err(why) => odd.push(why),
                        }
                    }
                    odd
                }
                Err(why) => vec![why],
            };
            done.unread.extend(odd.into_iter().map(|why| format!("{name}: {why}")));
        }
        for (store_key, (project, dataset, latest)) in known {
            let names = (project.clone(), dataset.clone());
            let past = StepOver { project, dataset, vault: vault.id(), store_key, latest };
            let SteppedOver { from, to } = self.catalog.step_over(&past).await?;
            done.datasets.push(CaughtUp { project: names.0, dataset: names.1, from, to });
        }
        Ok(done)
    }

    async fn open_pushes(&self, vault: &Vault) -> Result<Open, CatalogError> {
        let filter = ChangesetFilter { status: Some(ChangesetStatus::Pending), ..ChangesetFilter::default() };
        let (mut open, mut after) = (Open::new(), None);
        loop {
            let page = self.catalog.changesets(&filter, &Page { after, limit: PAGE_ROWS_MAX }).await?;
            let Some(last) = page.last() else { return Ok(open) };
            after = Some(last.id);
            for ChangesetRecord { id, project, dataset, version, .. } in page {
                let number = (vault.store_key(&project, &dataset), version);
                open.insert(number, (id, Outrun { project, dataset, version }));
            }
        }
    }

    /// Abandons an open push, unless it has ended meanwhile.
    async fn outrun(&self, push: Option<(ChangesetId, Outrun)>) -> Result<Option<Outrun>, CatalogError> {
        let Some((changeset, outrun)) = push else { return Ok(None) };
        match self.catalog.abandon_push(changeset, None).await {
            Ok(()) => Ok(Some(outrun)),
            Err(CatalogError::Unknown { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The archives of a store of this vault.
async fn listed(storage: &dyn Storage, vault: &Vault, used: bool, open: &Open) -> Result<Listed, String> {
    match storage.get(layout::marker()).await {
        Ok(marker) => vault.verify_marker(&marker).map_err(|error| error.to_string())?,
        // Nothing was ever stored there.
        Err(error) if error.kind == FailureKind::NotFound && !used => return Ok(Listed::default()),
        Err(error) if error.kind == FailureKind::NotFound => {
            return Err("n2s.json is gone: the disk is not mounted or was emptied".to_owned());
        }
        Err(error) => return Err(error.report()),
    }
    let mut found = Listed::default();
    let mut names = storage.list("archives");
    while let Some(listed) = names.try_next().await.map_err(|error| error.report())? {
        let Some((key, version)) = layout::parse_manifest(&listed.key) else { continue };
        if open.contains_key(&(key, version)) {
            found.open.insert((key, version));
        }
        let latest = found.latest.entry(key).or_default();
        latest.insert(version);
        if latest.len() > LATEST_MAX {
            latest.pop_first();
        }
    }
    Ok(found)
}

/// Takes note of each archive's highest version that is genuine: a store cannot make numbers up. Answers what could not be told.
async fn look(
    storage: &dyn Storage,
    vault: &Vault,
    listed: BTreeMap<StoreKey, BTreeSet<Version>>,
    known: &mut Known,
) -> Vec<String> {
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
                Err(why) => odd.push(why),
            }
        }
    }
    odd
}

/// Project and dataset of a version, or why they cannot be told.
async fn whose(
    storage: &dyn Storage,
    vault: &Vault,
    (key, version): (StoreKey, Version),
) -> Result<(ProjectName, DatasetName), String> {
    let told = told(storage, vault, (key, version)).await;
    told.map_err(|why| format!("version {version} in archives/{key}: {why}"))
}

/// From its header; from its body, where it was interrupted between the two.
async fn told(
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

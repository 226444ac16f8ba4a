//! Every point, in the order in which a push meets them.

macro_rules! points {
    ($($(#[$doc:meta])+ $point:ident = $name:literal,)+) => {
        /// A place between two steps.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Point {
            $($(#[$doc])+ $point,)+
        }

        impl Point {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$point,)+];

            /// What `N2S_FAILPOINT` and the log call it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)+
                }
            }
        }
    };
}

impl Point {
    /// The point of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|point| point.name() == name)
    }
}

points! {
    /// A new or replaced vault is on the disk under a temporary name.
    VaultWritten = "vault.written",
    /// The vault has its name; the directory is not synced.
    VaultNamed = "vault.named",
    /// A home has its vault; the first store is not configured yet.
    HomeVault = "home.vault",
    /// The new configuration is on the disk under a temporary name.
    ConfigWritten = "config.written",
    /// A home has its stores; there is no catalog yet.
    HomeStores = "home.stores",
    /// Between making tables and making them last.
    CatalogMigrating = "catalog.migrating",
    /// Any transaction below, before its commit.
    CatalogCommitting = "catalog.committing",
    /// The vault's marker and epochs are in the catalog.
    VaultRegistered = "catalog.vault",
    /// The jobs of a dead engine are pending again.
    TookOver = "sweeper.took-over",
    /// A push has its version and lease, in the catalog.
    PushOpened = "catalog.opened",
    /// The client has its lease.
    ClientOpened = "push.opened",
    /// Contents are offered, what is there is pinned.
    Offered = "catalog.offered",
    /// A batch is read and sealed; nothing of it is sent.
    BatchSealed = "push.sealed",
    /// Objects were sent; none is in staging.
    Staging = "intake.staging",
    /// Objects are under their names in staging; nothing is synced.
    StagingWritten = "local.staged",
    /// Objects are in staging; no row says so.
    Staged = "intake.staged",
    /// Rows say that objects are in staging.
    StagedRecorded = "catalog.staged",
    /// Everything of a batch is staged; its entries are not recorded.
    BatchSent = "push.sent",
    /// Entries, placements and jobs of a batch are recorded.
    EntriesRecorded = "catalog.entries",
    /// A batch is done, as far as the client is concerned.
    BatchEntered = "push.entered",
    /// Every batch is recorded; nothing of the manifest is made.
    TreeEntered = "push.tree",
    /// The manifest's groups are recorded.
    GroupsRecorded = "catalog.groups",
    /// Header and body are sealed; they are not staged.
    ManifestSealed = "push.manifest",
    /// Header and body are staged; the version is not committed.
    ManifestStaged = "intake.manifest",
    /// The version is committed.
    PushCommitted = "catalog.push",
    /// The client knows that its version is committed; it has not kept its stat cache.
    ClientCommitted = "push.committed",
    /// The new stat cache is on the disk under a temporary name.
    CacheWritten = "push.cache",
    /// Jobs are queued in the catalog; no message is published.
    Marked = "catalog.marked",
    /// A message is handed to a broker; nobody has heard whether it was taken. Of a fleet only.
    Sent = "queue.sent",
    /// Messages are published; nobody has looked whether they were refused.
    Published = "dispatcher.published",
    /// Jobs are leased, in the catalog.
    Claimed = "catalog.claimed",
    /// Jobs are leased; their messages are not acked.
    Leased = "worker.leased",
    /// The messages are acked; nothing is done yet.
    Acked = "worker.acked",
    /// The store has its marker; the catalog does not say so.
    MarkerPut = "worker.marker",
    /// The store has an epoch's key; the catalog does not say so.
    EpochPut = "worker.epoch",
    /// The sealed bytes are in hand; the store has not been asked.
    Uploading = "worker.uploading",
    /// Temporaries are written, not synced.
    LocalWritten = "local.written",
    /// Temporaries are synced; none has its name.
    LocalSynced = "local.synced",
    /// A staged object is linked under its own name.
    LocalLinked = "local.linked",
    /// An object has its name; its directory is not synced.
    LocalNamed = "local.named",
    /// Everything is on the disk; the store has not answered.
    LocalDurable = "local.durable",
    /// The store has answered for blobs; nobody has judged it.
    Answered = "worker.answered",
    /// The manifest's body is on the store; its header is not.
    BodyPut = "worker.body",
    /// The manifest's header is on the store; the head is as it was.
    HeaderPut = "worker.header",
    /// Outcomes are gathered; none is recorded.
    Finishing = "worker.finishing",
    /// Outcomes are recorded, and rows have left staging.
    Finished = "catalog.finished",
    /// Rows have left staging; their objects are there.
    Freeing = "worker.freeing",
    /// What a finish freed is deleted.
    Freed = "worker.freed",
    /// Deltas are folded; what settled is not announced.
    Folded = "catalog.folded",
    /// The sweeper's rows have left staging; their objects are there.
    SweeperFreeing = "sweeper.freeing",
    /// The sweeper deleted objects.
    SweeperFreed = "sweeper.freed",
    /// A step of an undo is done; more may follow.
    UndoStep = "catalog.undo",
    /// A store that joins a dataset has its row for the latest version.
    SyncBegun = "catalog.sync-begun",
    /// Placements of some of the version's blobs are recorded for it.
    SyncStep = "catalog.sync-step",
    /// All of them are.
    SyncEnded = "catalog.sync-ended",
    /// The target has a marker that says nothing yet.
    PullMarking = "pull.marking",
    /// The target has its marker; nothing is restored.
    PullBegun = "pull.begun",
    /// A draft is written, under a temporary name.
    PullDrafted = "pull.drafted",
    /// A file has its name.
    PullPublished = "pull.published",
    /// Files are restored; directories do not have their times.
    PullFiles = "pull.files",
    /// The marker is gone; the root does not have its times.
    PullEnded = "pull.ended",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_one_point_each() {
        for point in Point::ALL {
            assert_eq!(Point::named(point.name()), Some(*point));
        }
    }
}

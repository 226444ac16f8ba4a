//! What must hold after every fault.

use std::path::PathBuf;

use n2s_tests::{Member, assert_same, files, secrets};

use crate::site::{LIVE, Site, until};

/// Store, key and digest of every object that is recorded as completed: blobs, and both parts of manifests.
const RECORDED: &str = "SELECT k.name || ' blobs/' || left(hash, 2) || '/' || substr(hash, 3) || ' ' || hash FROM \
     (SELECT s.backend_id, encode(b.sealed_hash, 'hex') AS hash FROM blob_backends s JOIN blobs b ON b.id = s.blob_id \
      WHERE s.status = 'completed') c JOIN backends k ON k.id = c.backend_id \
     UNION ALL SELECT k.name || ' archives/' || encode(d.store_key, 'hex') || '/' || c.version || '/manifest-' || o.part || '.json ' \
      || encode(o.sealed_hash, 'hex') FROM changeset_backends s JOIN backends k ON k.id = s.backend_id \
     JOIN changesets c ON c.id = s.changeset_id JOIN datasets d ON d.id = c.dataset_id \
     JOIN manifest_objects o ON o.changeset_id = c.id WHERE s.manifest = 'completed'";

/// What operators and dashboards are shown of what went wrong.
const ERRORS: &str = "SELECT s::text FROM blob_backends s UNION ALL SELECT s::text FROM changeset_backends s UNION ALL SELECT b::text FROM backends b";

impl Site {
    /// Waits until nothing is left to do, and holds the fleet to its promises: what was committed is completed, what is completed can be
    /// read, no client was told that the intake failed, counters equal a recount, no retry was spent, staging is empty, everything comes back, every member is well enough to end when it
    /// is asked to, and no credential can be read anywhere.
    pub fn settled(&self, members: Vec<Member>) {
        self.settled_after(0, members);
    }

    /// The same where objects have failed, so often all together.
    pub fn settled_after(&self, failures: u64, members: Vec<Member>) {
        let (fleet, world) = (&self.fleet, self.world());
        until("the end of all jobs", || fleet.count(LIVE) == 0);
        let open = "SELECT count(*) FROM changesets WHERE committed_at IS NOT NULL AND status <> 'completed'";
        until("the completion of every version", || fleet.count(open) == 0);
        let failed = "SELECT count(*) FROM blob_backends WHERE status <> 'completed'";
        assert_eq!(fleet.count(failed), 0, "placements that are not completed");
        assert_eq!(self.spent(), failures, "retries of objects are not their failures");
        assert!(
            !self.logged(&["a request failed", "status=500"]),
            "a client was told that it is no use to come again"
        );
        self.completed_means_readable();
        world.settled_after_a_kill();
        secrets::not_in_processes(&self.secrets);
        for mut member in members {
            let ended = member.terminate();
            assert!(ended.success(), "{ended:?}: {}", member.log());
        }
        self.staging_empties();
        world.pull("out", &["--verify"]).code(0);
        assert_same(&world.path("src"), &world.path("out"));
        secrets::not_in_logs(&world.path("."), &self.secrets);
        secrets::not_in(&self.database.get().log(), &self.secrets, "the database's log");
        secrets::not_in(fleet.ask(ERRORS).as_bytes(), &self.secrets, "errors in the catalog");
    }

    /// What was charged to objects.
    pub fn spent(&self) -> u64 {
        let spent =
            |table: &str| self.fleet.count(&format!("SELECT coalesce(sum(retry_count), 0) FROM {table}"));
        spent("blob_backends") + spent("changeset_backends")
    }

    /// Every object that is recorded as being on a store is there, and its bytes are those its name stands for, or its row.
    fn completed_means_readable(&self) {
        let recorded = self.fleet.ask(RECORDED);
        let mut manifests = 0;
        for line in recorded.lines() {
            let [store, key, hash] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let bytes = std::fs::read(self.object(store, key));
            let bytes = bytes.unwrap_or_else(|error| panic!("{store} lacks {key}: {error}"));
            assert_eq!(n2s_envelope::sealed_hash(&bytes).to_hex(), hash, "{key} on {store} is damaged");
            manifests += u32::from(key.starts_with("archives/"));
        }
        assert!(manifests > 0, "no manifest is recorded as completed");
    }

    fn object(&self, store: &str, key: &str) -> PathBuf {
        match store {
            "disk" => self.world().path("store").join(key),
            bucket => self.bucket.as_ref().expect("it has a bucket").object(bucket, key),
        }
    }

    /// No row waits, and what a killed process left without a row goes when its grace is over: a day later by the sweeper's clock.
    fn staging_empties(&self) {
        let rows = "SELECT (SELECT count(*) FROM blobs WHERE staging_id IS NOT NULL) \
                    + (SELECT count(*) FROM manifest_objects WHERE staging_id IS NOT NULL)";
        assert_eq!(self.fleet.count(rows), 0, "rows in staging");
        let left = || files(&self.world().path("staging/staging")).len();
        if left() > 0 {
            let ahead = [("N2S_CLOCK_OFFSET_SECS", "90000")];
            let _sweeper = self.dispatcher("sweeper", &ahead);
            until("an empty staging", || left() == 0);
        }
    }
}

//! What must hold after every fault.

use std::path::PathBuf;

use n2s_tests::{Member, assert_same, files};

use crate::secrets;
use crate::site::{LIVE, Site, until};

impl Site {
    /// Waits until nothing is left to do, and holds the fleet to its promises: what was committed is completed, what is completed can be
    /// read, no client was told that the intake failed, counters equal a recount, no retry was spent, staging is empty, everything comes back, every member is well enough to end when it
    /// is asked to, and no credential can be read anywhere.
    pub fn settled(&self, members: Vec<Member>) {
        let (fleet, world) = (&self.fleet, self.world());
        until("the end of all jobs", || fleet.count(LIVE) == 0);
        let open = "SELECT count(*) FROM changesets WHERE committed_at IS NOT NULL AND status <> 'completed'";
        until("the completion of every version", || fleet.count(open) == 0);
        let failed = "SELECT count(*) FROM blob_backends WHERE status <> 'completed'";
        assert_eq!(fleet.count(failed), 0, "placements that are not completed");
        assert_eq!(self.spent(), 0, "retries of objects, none of which failed");
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
    }

    /// What was charged to objects.
    pub fn spent(&self) -> u64 {
        let spent =
            |table: &str| self.fleet.count(&format!("SELECT coalesce(sum(retry_count), 0) FROM {table}"));
        spent("blob_backends") + spent("changeset_backends")
    }

    /// Every object that is recorded as being on a store is there, and its bytes are those its name stands for.
    fn completed_means_readable(&self) {
        let recorded = self.fleet.ask(
            "SELECT k.name || ' ' || encode(b.sealed_hash, 'hex') FROM blob_backends s JOIN blobs b ON b.id = s.blob_id \
             JOIN backends k ON k.id = s.backend_id WHERE s.status = 'completed'",
        );
        let mut read = 0;
        for (store, name) in recorded.lines().map(|line| line.split_once(' ').unwrap()) {
            let path = self.object(store, &format!("blobs/{}/{}", &name[..2], &name[2..]));
            let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{store} lacks {name}: {error}"));
            assert_eq!(n2s_envelope::sealed_hash(&bytes).to_hex(), name, "{name} on {store} is damaged");
            read += 1;
        }
        assert!(read > 0, "nothing is recorded as completed");
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

//! A bucket that misbehaves behind a fleet, beside a disk that does not. `store_faults/` has each kind of fault, at a home; here the catalog
//! is on a server, and keeps what a worker judged.

use n2s_servers::s3_faulty::{Fault, Faulty, Rule};
use n2s_tests::Member;
use serde_json::Value;

use crate::site::{LIVE, Plan, Site, until};

/// A site, the proxy in front of its bucket, and who commits and dispatches.
fn with_a_bucket() -> (Site, Faulty, Vec<Member>) {
    let mut site = Site::of(Plan { bucket: true, ..Plan::default() });
    let faulty = Faulty::before(&site.bucket.as_ref().unwrap().endpoint());
    let members = site.offices();
    (site, faulty, members)
}

/// A worker that reaches the bucket through the proxy, and loses patience with it soon.
fn worker(site: &Site, faulty: &Faulty, name: &str) -> Member {
    let variables = [
        ("N2S_BACKENDS__FAR__ENDPOINT", faulty.endpoint()),
        ("N2S_BACKENDS__FAR__TIMEOUT_SECS", "2".to_owned()),
        ("N2S_BACKENDS__FAR__RETRY__CAP_SECS", "1".to_owned()),
    ];
    site.worker(name, &variables.each_ref().map(|(name, value)| (*name, value.as_str())))
}

/// What is said of a store.
fn told(site: &Site, store: &str) -> Value {
    let rows = site.world().json(&["backends", "list"]);
    rows["backends"].as_array().unwrap().iter().find(|row| row["backend"] == store).unwrap().clone()
}

/// The whole bucket has this until it is sent nothing any more, while the disk gets everything.
fn a_while_of(fault: Fault, state: &str) {
    let (site, faulty, mut members) = with_a_bucket();
    // One version first, so that the store has its marker; and one worker, whose successes excuse nobody else's failures.
    site.write(5);
    site.push();
    members.push(worker(&site, &faulty, "worker"));
    until("the end of all jobs", || site.fleet.count(LIVE) == 0);
    faulty.rule(Rule::new(fault));
    site.write(60);
    site.push();
    until("the disk's copies", || told(&site, "disk")["pending"] == 0);
    until("the end of attempts", || told(&site, "far")["state"] == state && faulty.in_flight("/blobs/") == 0);
    let far = told(&site, "far");
    assert!(faulty.count(fault) > 0 && far["pending"].as_u64().unwrap() >= 60, "{far}");
    assert_eq!((&far["failed"], site.spent()), (&Value::from(0), 0), "{far}");
    faulty.heal();
    site.settled(members);
}

#[test]
fn one_that_answers_503_with_retry_after() {
    a_while_of(Fault::Answer(503, "ServiceUnavailable", Some(1)), "unreachable");
}

#[test]
fn one_that_stalls() {
    a_while_of(Fault::Stall, "unreachable");
}

#[test]
fn one_that_denies() {
    a_while_of(Fault::Answer(403, "AccessDenied", None), "paused");
}

/// Each object's own failures, and nobody else's, whoever of two workers met them: two requests are one attempt.
#[test]
fn one_that_refuses_each_object_twice() {
    let (site, faulty, mut members) = with_a_bucket();
    let damaged = Fault::Answer(400, "BadDigest", None);
    faulty.rule(Rule::new(damaged).method("PUT").path("/blobs/").each(4));
    site.write(40);
    site.push();
    members.extend(["worker-1", "worker-2"].map(|name| worker(&site, &faulty, name)));
    until("the end of all jobs", || site.fleet.count(LIVE) == 0);
    assert!(faulty.count(damaged) >= 40 * 4, "{:?}", faulty.injected());
    let harmed = faulty.harmed();
    let mut all = 0;
    for (name, charged) in charged(&site) {
        let met = harmed.get(&format!("/far/blobs/{}/{}", &name[..2], &name[2..])).copied().unwrap_or(0);
        assert_eq!(charged * 2, met, "{name}");
        all += charged;
    }
    site.settled_after(all, members);
}

/// What each object's copy in the bucket was charged with.
fn charged(site: &Site) -> Vec<(String, u64)> {
    let rows = site.fleet.ask(
        "SELECT encode(b.sealed_hash, 'hex') || ' ' || s.retry_count FROM blob_backends s JOIN blobs b ON b.id = s.blob_id \
         JOIN backends k ON k.id = s.backend_id WHERE k.name = 'far'",
    );
    let row = |line: &str| {
        let (name, count) = line.split_once(' ').unwrap();
        (name.to_owned(), count.parse().unwrap())
    };
    rows.lines().map(row).collect()
}

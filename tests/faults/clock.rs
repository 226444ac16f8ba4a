//! Processes whose clocks are days apart: what the catalog compares is by the database's clock alone.

use crate::site::{LEASED, LIVE, Site, until};

const DAY_AHEAD: (&str, &str) = ("N2S_CLOCK_OFFSET_SECS", "86400");
const DAY_BEHIND: (&str, &str) = ("N2S_CLOCK_OFFSET_SECS", "-86400");

#[test]
fn clocks_are_days_apart_and_one_goes_back_in_the_middle() {
    let mut site = Site::new();
    let dispatcher = site.dispatcher("dispatcher", &[DAY_AHEAD]);
    let intake = site.intake(&[DAY_BEHIND]);
    site.write(200);
    let push = site.pushing(&site.api());
    let ahead = site.worker("worker-ahead", &[DAY_AHEAD]);
    let back = site.worker("worker-back", &[("N2S_FAILPOINT", "worker.leased:2:back")]);
    until("the clock to go back", || site.fired("worker.leased"));
    // One dies with its clock wrong: its lease is the database's matter.
    let doomed = [("N2S_FAILPOINT", "worker.answered:2"), DAY_AHEAD];
    push.join().unwrap().code(0);
    site.write(100);
    let mut doomed = site.worker_starting("worker-doomed", &doomed);
    for mut other in [ahead, back] {
        assert!(other.terminate().success(), "{}", other.log());
    }
    site.push();
    doomed.wait();
    assert!(site.fleet.count(LEASED) > 0);
    let other = site.worker("worker-behind", &[DAY_BEHIND]);
    until("the end of all jobs", || site.fleet.count(LIVE) == 0);
    // What the intake made has its clock's day: ids of changesets begin with their milliseconds.
    let skewed = "SELECT count(*) FROM (SELECT ('x' || substr(replace(uuid::text, '-', ''), 1, 12))::bit(48)::bigint AS made FROM changesets) u \
        WHERE abs(made - extract(epoch FROM now()) * 1000) > 80000000";
    assert_eq!(site.fleet.count(skewed), 2, "no clock was skewed");
    site.settled(vec![intake, dispatcher, other]);
}

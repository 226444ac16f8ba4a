//! Links that are cut in the middle of what they carry, or stall, and heal.

use n2s_servers::Proxy;
use n2s_tests::Member;

use crate::site::{LIVE, Plan, Site, UNHURRIED, until};

/// Cuts the link after some more bytes, so often; each time it must be used again after it healed.
fn cut_and_heal(proxy: &Proxy, every: u64, times: u64) {
    for _ in 0..times {
        let before = proxy.reset_connections();
        proxy.cut_after(every);
        until("the cut", || proxy.reset_connections() > before);
        // Somebody tries while it is cut.
        let (refused, connected) = (proxy.reset_connections(), proxy.connections());
        until("an attempt in vain", || {
            proxy.reset_connections() > refused && proxy.connections() > connected
        });
        proxy.heal();
        let healed = proxy.bytes();
        until("the link to be used again", || proxy.bytes() > healed);
    }
}

/// A dispatcher, and a worker that is cut off; a push of 300 files.
fn with_a_worker_behind(site: &mut Site, variables: &[(&str, &str)]) -> Vec<Member> {
    let mut members = site.offices();
    members.push(site.worker("worker-1", variables));
    site.write(300);
    site.push();
    members
}

#[test]
fn between_worker_and_broker() {
    let mut site = Site::new();
    let (proxy, url) = Proxy::before(&site.queue_url);
    let members = with_a_worker_behind(&mut site, &[("N2S_QUEUE__URL", &url)]);
    cut_and_heal(&proxy, 2_000, 3);
    site.settled(members);
}

#[test]
fn between_worker_and_database() {
    let mut site = Site::new();
    let (proxy, url) = Proxy::before(&site.worker_url);
    let members = with_a_worker_behind(&mut site, &[("N2S_DATABASE__URL", &url)]);
    cut_and_heal(&proxy, 20_000, 3);
    site.settled(members);
}

/// For longer than its leases: another worker does what it had in hand, and what it says when the link heals is not counted again.
#[test]
fn between_worker_and_database_stalled() {
    // What it had prefetched is told of again.
    let mut site = Site::of(Plan { unclaimed_secs: Some(3), ..Plan::default() });
    let (proxy, url) = Proxy::before(&site.worker_url);
    let mut members = with_a_worker_behind(&mut site, &[("N2S_DATABASE__URL", &url), UNHURRIED]);
    until("work under way", || site.fleet.count(LIVE) < 290);
    proxy.stall();
    until("a held answer", || proxy.held_back() > 0);
    assert!(site.fleet.count(LIVE) > 0, "all was done before the link stalled");
    members.push(site.worker("worker-2", &[]));
    until("the end of all jobs", || site.fleet.count(LIVE) == 0);
    proxy.heal();
    site.settled(members);
}

#[test]
fn between_client_and_intake() {
    let mut site = Site::new();
    let members = vec![site.intake(&[]), site.worker("worker", &[])];
    let (proxy, url) = Proxy::before(&site.api());
    site.write(300);
    let push = site.pushing(&url);
    cut_and_heal(&proxy, 5_000, 4);
    push.join().unwrap().code(0);
    assert_eq!(site.fleet.count("SELECT count(*) FROM changesets"), 1, "the push began anew");
    site.settled(members);
}

#[test]
fn between_worker_and_store() {
    let mut site = Site::of(Plan { bucket: true, ..Plan::default() });
    let (proxy, url) = Proxy::before(&site.bucket.as_ref().unwrap().endpoint());
    let members = with_a_worker_behind(&mut site, &[("N2S_BACKENDS__FAR__ENDPOINT", &url)]);
    cut_and_heal(&proxy, 30_000, 3);
    site.settled(members);
}

//! Links that drop what is sent and tell neither end: a cable, a firewall that forgot its connections. Nobody is reset, so only the roles' own
//! clocks can end the wait.

use n2s_servers::Proxy;
use n2s_tests::{Member, raw};

use crate::site::{LIVE, Plan, Site, UNHURRIED, until};

/// A call to the catalog is given up after these and five more.
const PATIENCE: (&str, &str) = ("N2S_DATABASE__ANSWER_SECS", "1");
const GIVEN_UP: &str = "did not answer within 6 s";

/// What the broker had told of is told again soon.
fn site() -> Site {
    Site::of(Plan { unclaimed_secs: Some(3), ..Plan::default() })
}

/// Lets the link drop everything until somebody has given up, and then heals it for new connections only.
fn silence(proxy: &Proxy, given_up: impl Fn() -> bool) {
    proxy.stall();
    until("something to be lost", || proxy.held_back() > 0);
    until("a call to be given up", given_up);
    proxy.strand();
    proxy.heal();
    let before = proxy.connections();
    until("new connections", || proxy.connections() > before);
}

/// While there is work left: that of an [`UNHURRIED`] worker.
fn silence_at_work(site: &Site, proxy: &Proxy, given_up: impl Fn() -> bool) {
    n2s_tests::until("work under way", || site.fleet.count(LIVE) < 290);
    silence(proxy, given_up);
    assert!(site.fleet.count(LIVE) > 0, "all was done before anything could happen");
}

#[test]
fn between_worker_and_database() {
    let mut site = site();
    let (proxy, url) = Proxy::before(&site.worker_url);
    let mut members = site.offices();
    let worker = site.worker("worker", &[("N2S_DATABASE__URL", &url), PATIENCE, UNHURRIED]);
    site.write(300);
    site.push();
    silence_at_work(&site, &proxy, || worker.log().contains(GIVEN_UP));
    members.push(worker);
    site.settled(members);
}

/// A dispatcher alone: nobody takes its offices over.
#[test]
fn between_dispatcher_and_database() {
    let mut site = site();
    let (proxy, url) = Proxy::before(&site.member_url);
    let dispatcher = site.dispatcher("dispatcher", &[("N2S_DATABASE__URL", &url), PATIENCE]);
    let intake = site.intake(&[]);
    until("a dispatcher in office", || dispatcher.log().matches(": taken office=").count() >= 3);
    proxy.stall();
    until("something to be lost", || proxy.held_back() > 0);
    site.write(300);
    site.push();
    let worker = site.worker("worker", &[]);
    until("offices to be given up", || {
        dispatcher.log().contains("others may have this process's offices now")
    });
    proxy.strand();
    proxy.heal();
    site.settled(vec![dispatcher, intake, worker]);
}

/// A client is asked to come again, and ends with one version.
#[test]
fn between_intake_and_database() {
    let mut site = site();
    let dispatcher = site.dispatcher("dispatcher", &[]);
    drop(site.intake(&[]));
    let (proxy, url) = Proxy::before(&site.member_url);
    let intake = site.intake(&[("N2S_DATABASE__URL", &url), PATIENCE]);
    let worker = site.worker("worker", &[]);
    site.write(300);
    let begun = proxy.bytes();
    let push = site.pushing(&site.api());
    until("a push under way", || proxy.bytes() > begun + 20_000);
    silence(&proxy, || asked_to_wait(&site));
    push.join().unwrap().code(0);
    assert_eq!(site.fleet.count("SELECT count(*) FROM changesets"), 1, "the push began anew");
    site.settled(vec![dispatcher, intake, worker]);
}

/// Whether the intake answers 503, and not before its patience is at an end.
fn asked_to_wait(site: &Site) -> bool {
    let answer = raw::request(&site.api(), "GET /readyz", "", &[], b"");
    answer.status == 503 && site.logged(&["did not answer within 6 s"])
}

/// Heartbeats find it out; what was prefetched goes to whoever comes.
#[test]
fn between_worker_and_broker() {
    let mut site = site();
    let (proxy, url) = Proxy::before(&site.queue_url);
    let mut members = site.offices();
    let worker = site.worker("worker", &[("N2S_QUEUE__URL", &url), UNHURRIED]);
    site.write(300);
    site.push();
    silence_at_work(&site, &proxy, || worker.log().contains("the queue failed"));
    members.push(worker);
    site.settled(members);
}

/// A dispatcher whose confirms never come.
#[test]
fn between_dispatcher_and_broker() {
    let mut site = site();
    let (proxy, url) = Proxy::before(&site.queue_url);
    let dispatcher = site.dispatcher("dispatcher", &[("N2S_QUEUE__URL", &url)]);
    let intake = site.intake(&[]);
    proxy.stall();
    site.write(300);
    site.push();
    until("something to be lost", || proxy.held_back() > 0);
    until("the loss to be noticed", || noticed(&dispatcher));
    proxy.strand();
    proxy.heal();
    let worker = site.worker("worker", &[]);
    site.settled(vec![dispatcher, intake, worker]);
}

fn noticed(dispatcher: &Member) -> bool {
    dispatcher.log().contains("the queue's broker is out of reach")
}

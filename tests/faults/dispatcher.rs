//! A dispatcher that dies between a row and its message, and two that dispatch at once.

use n2s_tests::Member;
use rustix::process::Signal;

use crate::site::{Plan, Site, until};

/// Kills the dispatcher at `point` of a push; the intake takes over.
fn killed_at(point: &str) -> (Site, Member) {
    let mut site = Site::of(Plan { unclaimed_secs: Some(2), ..Plan::default() });
    let mut doomed = site.dispatcher("dispatcher", &[("N2S_FAILPOINT", point)]);
    let intake = site.intake(&[]);
    site.write(300);
    site.push();
    doomed.wait();
    assert!(site.fired(point.split(':').next().unwrap()));
    (site, intake)
}

#[test]
fn killed_between_the_mark_and_the_publish() {
    let (site, intake) = killed_at("catalog.marked");
    let worker = site.worker("worker", &[]);
    // No message tells of them, so their deadline has to.
    until("the deadline", || site.swept("requeued"));
    site.settled(vec![worker, intake]);
}

#[test]
fn killed_between_the_publish_and_its_confirm() {
    let (site, intake) = killed_at("queue.sent:100");
    let worker = site.worker("worker", &[]);
    site.settled(vec![worker, intake]);
}

#[test]
fn killed_after_the_confirms() {
    let (site, intake) = killed_at("dispatcher.published");
    let worker = site.worker("worker", &[]);
    site.settled(vec![worker, intake]);
}

/// The one in office is stopped, and the server forgets it; when it goes on, it does not know yet.
#[test]
fn two_at_once() {
    let mut site = Site::new();
    let first = site.dispatcher("dispatcher-1", &[]);
    let taken = |member: &Member| member.log().matches(": taken office=").count();
    until("the first in office", || taken(&first) == 3);
    let second = site.dispatcher("dispatcher-2", &[]);
    first.signal(Signal::STOP);
    let ended = site.fleet.count(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND granted \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    );
    assert!(ended > 0, "nobody was in office");
    until("the second in office", || taken(&second) == 3);
    let intake = site.intake(&[]);
    site.write(600);
    site.push();
    first.signal(Signal::CONT);
    let workers = ["worker-1", "worker-2"].map(|name| site.worker(name, &[]));
    until("the first to notice", || first.log().contains("others may have this process's offices now"));
    site.settled(workers.into_iter().chain([first, second, intake]).collect());
}

//! A broker that goes away, forgets, or takes nothing: the rows are the truth, and what it had is told again.

use n2s_tests::Member;

use crate::site::{Brokers, LIVE, Plan, Site, UNHURRIED, go_on, until};

/// A push whose messages are all in the broker, and nobody there to take them.
fn queued(plan: Plan) -> (Site, Vec<Member>) {
    let mut site = Site::of(plan);
    let members = site.offices();
    site.write(200);
    site.push();
    site.until_queued();
    (site, members)
}

const OWN: Plan = Plan { broker: Brokers::Own, own_database: false, bucket: false, unclaimed_secs: None };
const PATIENT: Plan = Plan { broker: Brokers::Shared, ..OWN };
const HASTY: Plan = Plan { unclaimed_secs: Some(3), ..PATIENT };

#[test]
fn restarted() {
    let (mut site, mut members) = queued(OWN);
    let workers = ["worker-1", "worker-2"].map(|name| site.worker(name, &[UNHURRIED]));
    site.halt(&workers);
    site.broker.get().note_queues();
    site.broker.own().kill();
    go_on(&workers);
    site.broker.own().restart();
    site.write(50);
    site.push();
    until("the end of all jobs", || site.fleet.count(LIVE) == 0);
    assert!(members[0].log().contains("the queue's broker is out of reach"), "{}", members[0].log());
    members.extend(workers);
    site.settled(members);
}

#[test]
fn wiped() {
    let (mut site, mut members) = queued(OWN);
    let marked = || site.broker.get().http("GET", "/api/queues?columns=name", "").contains("n2s.sentinel.");
    until("the broker to be marked", marked);
    site.broker.own().wipe();
    site.broker.get().recreate(&site.vhost);
    site.admit();
    let worker = site.worker("worker", &[]);
    until("the wipe to be noticed", || site.logged(&["the broker lost what was queued"]));
    members.push(worker);
    site.settled(members);
}

/// One queue loses what it held, and everything else stands: nobody is told.
#[test]
fn one_queue_purged() {
    let (site, mut members) = queued(HASTY);
    site.at_the_queue("DELETE", "/contents", "");
    let worker = site.worker("worker", &[]);
    until("the deadline", || site.swept("requeued"));
    members.push(worker);
    site.settled(members);
}

/// Under its consumers' hands.
#[test]
fn one_queue_deleted() {
    let (site, mut members) = queued(HASTY);
    let worker = site.worker("worker", &[UNHURRIED]);
    let workers = [worker];
    site.halt(&workers);
    site.at_the_queue("DELETE", "", "");
    go_on(&workers);
    let [worker] = workers;
    until("the loss to be noticed", || worker.log().contains("the queue failed"));
    site.write(50);
    site.push();
    members.push(worker);
    site.settled(members);
}

/// The exchange goes away: publishing closes the channel.
#[test]
fn its_channel_closed() {
    let (site, mut members) = queued(PATIENT);
    site.broker.get().http("DELETE", &format!("/api/exchanges/{}/n2s.work", site.vhost.name), "");
    site.write(50);
    site.push();
    until("the end of the channel", || members[0].log().contains("NOT_FOUND"));
    let worker = site.worker("worker", &[]);
    members.push(worker);
    site.settled(members);
}

#[test]
fn short_of_memory() {
    let (site, mut members) = queued(OWN);
    let worker = site.worker("worker", &[]);
    until("work under way", || site.fleet.count(LIVE) < 190);
    site.broker.get().ctl(&["set_vm_memory_high_watermark", "0"]);
    let nodes = || site.broker.get().http("GET", "/api/nodes?columns=mem_alarm", "");
    until("the alarm", || nodes().contains("true"));
    site.write(100);
    site.push();
    // It says so once it has tried, and consuming goes on.
    until("the alarm to be told of", || {
        members[0].health("/readyz").1.to_string().contains("short of memory")
    });
    let pending = "SELECT count(*) FROM jobs WHERE state = 0";
    until("the end of what was queued", || site.fleet.count(LIVE) == site.fleet.count(pending));
    // The broker stops reading a connection after the first message that it finds there.
    let left = site.fleet.count(pending);
    assert!(left >= 90, "messages were taken in spite of the alarm: {left} of 100 wait");
    site.broker.get().ctl(&["set_vm_memory_high_watermark", "absolute", "2GB"]);
    members.push(worker);
    site.settled(members);
}

//! A broker of three nodes, of which one after the other is killed: `make test-cluster` runs this case alone.

use crate::site::{Brokers, LIVE, Plan, Site, UNHURRIED, go_on, port, until};

const QUEUE: &str = "n2s.work.disk";

/// First the one from which the store's queue is led, then a second, which leaves no majority: what is committed meanwhile waits in its
/// rows.
#[test]
fn one_node_of_three_killed_then_another() {
    let mut site = Site::of(Plan { broker: Brokers::Three, ..Plan::default() });
    // A queue is led from the node it was declared through, and the fleet is at the first.
    let second = site.broker.cluster().nodes[1].at(site.vhost.name.clone());
    let (here, there) = (site.vhost.url.clone(), second.url);
    let through_second = site.queue_url.replacen(&port(&here), &port(&there), 1);
    let debug = [("N2S_LOG", "info,n2s_dispatcher=debug")];
    let mut members = vec![site.dispatcher("dispatcher", &debug), site.intake(&[])];
    let declares = site.worker("worker-0", &[("N2S_QUEUE__URL", &through_second)]);
    let vhost = site.vhost.name.clone();
    until("a queue led from the second", || site.broker.cluster().leader(0, &vhost, QUEUE) == Some(1));
    drop(declares);
    site.write(200);
    site.push();
    site.until_queued();
    let workers = ["worker-1", "worker-2"].map(|name| site.worker(name, &[UNHURRIED]));
    site.halt(&workers);

    site.broker.cluster().nodes[1].kill();
    go_on(&workers);
    until(
        "another leader",
        || matches!(site.broker.cluster().leader(0, &vhost, QUEUE), Some(leader) if leader != 1),
    );
    site.write(50);
    site.push();
    until("the end of all jobs", || site.fleet.count(LIVE) == 0);

    site.broker.cluster().nodes[2].kill();
    site.write(50);
    site.push();
    // None is confirmed, so each row is marked and put back for as long as this lasts.
    until("an attempt in vain", || members[0].log().contains("the queue refused messages"));
    assert!(site.fleet.count(LIVE) >= 50, "messages were confirmed without a majority");
    site.broker.cluster().nodes[2].restart();
    members.extend(workers);
    site.settled(members);
}

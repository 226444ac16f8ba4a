//! Messages that come twice, in another order, or are none: put into the queue by hand.

use n2s_tests::Member;

use crate::site::{LIVE, Site, until};

/// Takes everything out of the queue, and returns it as it lay there.
fn take_all(site: &Site) -> Vec<String> {
    let body = r#"{"count":100000,"ackmode":"ack_requeue_false","encoding":"base64"}"#;
    let answer = site.at_the_queue("POST", "/get", body);
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let payload = |message: &serde_json::Value| message["payload"].as_str().unwrap().to_owned();
    answer.as_array().unwrap().iter().map(payload).collect()
}

fn put(site: &Site, exchange: &str, payload: &str) {
    let body = format!(
        r#"{{"properties":{{"delivery_mode":2}},"routing_key":"disk","payload":"{payload}","payload_encoding":"base64"}}"#
    );
    let path = format!("/api/exchanges/{}/{exchange}/publish", site.vhost.name);
    let answer = site.broker.get().http("POST", &path, &body);
    assert!(answer.contains("true"), "not routed: {answer}");
}

/// A push whose messages are all in the broker, and nobody there to take them.
fn queued() -> (Site, Vec<Member>) {
    let mut site = Site::new();
    let members = site.offices();
    site.write(60);
    site.push();
    site.until_queued();
    (site, members)
}

#[test]
fn duplicated_and_reordered() {
    let (site, mut members) = queued();
    let payloads = take_all(&site);
    assert!(payloads.len() >= 60, "{}", payloads.len());
    // The last comes first, and each three times: at once, and after all others.
    for payload in payloads.iter().rev() {
        put(&site, "n2s.work", payload);
        put(&site, "n2s.work", payload);
    }
    for payload in &payloads {
        put(&site, "n2s.work", payload);
    }
    let debug = [("N2S_LOG", "info,n2s_worker=debug")];
    let workers = ["worker-1", "worker-2"].map(|name| site.worker(name, &debug));
    until("the end of all jobs", || site.fleet.count(LIVE) == 0);
    until("what came twice", || workers.iter().any(|worker| worker.log().contains("stale messages")));
    assert!(!site.logged(&["swept jobs"]), "a deadline did it");
    members.extend(workers);
    site.settled(members);
}

#[test]
fn poisoned() {
    let (site, mut members) = queued();
    // Nothing, noise, another format, jobs nobody knows, a dispatch that never was: "", 00 ff, "2 1 1", "1 999999999 1", "1 1 77".
    for payload in ["", "AP8=", "MiAxIDE=", "MSA5OTk5OTk5OTkgMQ==", "MSAxIDc3"] {
        put(&site, "n2s.work", payload);
        put(&site, "n2s.poison", payload);
    }
    // A true message that was given up: its row is put right, and it is sent again.
    let payloads = take_all(&site);
    let (given_up, rest) = payloads.split_first().unwrap();
    put(&site, "n2s.poison", given_up);
    for payload in rest {
        put(&site, "n2s.work", payload);
    }
    let worker = site.worker("worker", &[]);
    until("the end of all jobs", || site.fleet.count(LIVE) == 0);
    until("the noise to be thrown away", || worker.log().matches("thrown away").count() >= 3);
    assert!(!site.logged(&["swept jobs"]), "a deadline did it");
    members.push(worker);
    site.settled(members);
}

//! What an intake tells its clients while what it needs is away: to come again, with `Retry-After`, and never that it failed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use n2s_domain::{Entropy as _, SeededEntropy};
use n2s_servers::Proxy;
use n2s_tests::raw::{self, Raw};

use crate::site::{Plan, Site, until};

/// What is asked again and again, whatever the links do. `{c}` is a changeset, `{b}` a blob of it.
const CALLS: &[&str] = &[
    "GET /v1/status",
    "GET /v1/backends",
    "GET /v1/catalog",
    "GET /v1/changesets",
    "GET /v1/changesets/{c}",
    "GET /v1/changesets/{c}/tree",
    "GET /v1/changesets/{c}/entries",
    "GET /v1/changesets/{c}/directories",
    "GET /v1/changesets/{c}/files",
    "GET /v1/changesets/{c}/archive",
    "GET /v1/version?project=p&dataset=d",
    "GET /v1/search?text=1",
    "GET /v1/blobs/{b}",
    "GET /v1/failed",
    "GET /v1/damages",
    "GET /v1/tokens",
    "GET /v1/audit",
    "POST /v1/retry",
];

/// What one asker was told.
#[derive(Debug, Default)]
struct Told {
    good: u32,
    later: u32,
    /// Anything else.
    wrong: Vec<String>,
}

impl Told {
    fn note(&mut self, call: &str, answer: &Raw) {
        match answer.status {
            200 | 204 => self.good += 1,
            // No intact copy can be had while the catalog does not say where: that is one of those, too.
            503 if answer.header("retry-after").is_some() => self.later += 1,
            _ => self.wrong.push(format!("{call}: {answer:?}")),
        }
    }
}

/// Asks until it is told to end.
fn ask(url: &str, token: &str, calls: &[String], end: &AtomicBool) -> Told {
    let mut told = Told::default();
    while !end.load(Ordering::SeqCst) {
        for call in calls {
            let body: &[u8] = if call.starts_with("POST") { b"{}" } else { b"" };
            let json = [("Content-Type", "application/json".to_owned())];
            told.note(call, &raw::request(url, call, token, &json, body));
        }
    }
    told
}

/// Seeded: what happens to the link is drawn the same each time, though what is asked at that moment is not.
#[test]
fn whatever_happens_to_the_database_clients_are_asked_to_come_again() {
    let mut site = Site::of(Plan { unclaimed_secs: Some(3), ..Plan::default() });
    let (proxy, url) = Proxy::before(&site.member_url);
    let intake = site.intake(&[("N2S_DATABASE__URL", &url), ("N2S_DATABASE__ANSWER_SECS", "1")]);
    let worker = site.worker("worker", &[]);
    site.write(50);
    site.push();
    let changeset = site.fleet.ask("SELECT uuid FROM changesets");
    let blob = site.fleet.ask("SELECT min(id) FROM blobs");
    until("completion", || {
        site.fleet.count("SELECT count(*) FROM changesets WHERE status = 'completed'") == 1
    });
    let end = Arc::new(AtomicBool::new(false));
    let fill = |call: &&str| call.replace("{c}", &changeset).replace("{b}", &blob);
    let calls: Vec<String> = CALLS.iter().map(fill).collect();
    let askers: Vec<_> = (0..3)
        .map(|n| {
            let (url, token, end) = (site.api(), site.token().to_owned(), Arc::clone(&end));
            let mut calls = calls.clone();
            calls.rotate_left(n * CALLS.len() / 3);
            std::thread::spawn(move || ask(&url, &token, &calls, &end))
        })
        .collect();
    site.write(200);
    let push = site.pushing(&site.api());
    let random = SeededEntropy::new(11);
    for round in 0..24 {
        let before = proxy.bytes();
        // While something is asked or answered.
        let at = random.next_u64() % 30_000;
        until("traffic", || proxy.bytes() > before + at);
        match round % 4 {
            0 => proxy.reset(),
            1 => {
                proxy.cut_after(random.next_u64() % 5_000);
                let refused = proxy.reset_connections();
                until("refusals", || proxy.reset_connections() > refused + 3);
            }
            2 => proxy.strand(),
            _ => {
                proxy.stall();
                let held = proxy.held_back();
                until("something held", || proxy.held_back() > held + 3);
            }
        }
        proxy.heal();
    }
    push.join().unwrap().code(0);
    end.store(true, Ordering::SeqCst);
    let told: Vec<Told> = askers.into_iter().map(|asker| asker.join().unwrap()).collect();
    let wrong: Vec<_> = told.iter().flat_map(|told| &told.wrong).collect();
    assert!(wrong.is_empty(), "{} wrong answers: {:#?}", wrong.len(), &wrong[..wrong.len().min(5)]);
    assert!(told.iter().map(|told| told.later).sum::<u32>() > 5, "nobody noticed anything: {told:?}");
    assert!(told.iter().all(|told| told.good > 0), "nothing was answered: {told:?}");
    site.settled(vec![intake, worker]);
}

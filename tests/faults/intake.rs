//! An intake that dies while a client pushes: the client asks again until somebody answers, and makes one version.

use std::net::TcpStream;

use n2s_tests::raw::request;

use crate::site::{Plan, Site, until};

const VERSIONS: &str =
    "SELECT count(*) || ' ' || max(version) FROM changesets WHERE committed_at IS NOT NULL";

/// Kills the intake at each point in turn, and lets the client come to its end.
fn killed_at(points: &[&str]) {
    let mut site = Site::new();
    drop(site.intake(&[]));
    let worker = site.worker_starting("worker", &[]);
    site.write(300);
    let mut intakes = points.iter().map(|point| (*point, site.intake_starting(&[("N2S_FAILPOINT", point)])));
    let (first, mut doomed) = intakes.next().unwrap();
    doomed.said("API on ");
    let push = site.pushing(&site.api());
    doomed.wait();
    assert!(site.fired(first), "{first}");
    for (point, mut doomed) in intakes {
        doomed.wait();
        assert!(site.fired(point), "{point}: {}", doomed.log());
    }
    let intake = site.intake(&[]);
    let ended = push.join().unwrap().code(0);
    assert!(ended.out.contains("completed on every store"), "{ended:?}");
    assert_eq!(site.fleet.ask(VERSIONS), "1 1", "not one version");
    assert_eq!(site.fleet.count("SELECT count(*) FROM changesets"), 1, "the push began anew");
    site.settled(vec![worker, intake]);
}

#[test]
fn killed_after_the_commit_before_its_answer() {
    killed_at(&["catalog.push"]);
}

#[test]
fn killed_while_a_client_sends_and_records() {
    killed_at(&["intake.staging", "intake.staged", "catalog.staged", "catalog.entries", "intake.manifest"]);
}

/// Everything of a fleet is started at once, and the database may be last.
#[test]
fn started_before_its_database() {
    let mut site = Site::of(Plan { own_database: true, ..Plan::default() });
    drop(site.intake(&[]));
    site.database.own().kill();
    let mut intake = site.intake_starting(&[]);
    let api = site.api();
    let ready = || {
        let reached = TcpStream::connect(api.strip_prefix("http://").unwrap()).is_ok();
        reached.then(|| request(&api, "GET /readyz", "", &[], b""))
    };
    until("an intake that waits", || ready().is_some_and(|answer| answer.status == 503));
    let said = ready().unwrap().json().to_string();
    assert!(said.contains("the catalog's server is away; it was to open the catalog"), "{said}");
    let live = request(&api, "GET /healthz", "", &[], b"");
    assert_eq!(live.status, 200);
    site.write(30);
    // A client that comes early waits, too.
    let push = site.pushing(&site.api());
    site.database.own().restart();
    intake.said("API on ");
    assert_eq!(ready().unwrap().status, 200);
    let worker = site.worker("worker", &[]);
    push.join().unwrap().code(0);
    site.settled(vec![worker, intake]);
}

/// A service manager that changes its mind meanwhile is obeyed.
#[test]
fn asked_to_end_while_it_waits_for_its_database() {
    let site = Site::of(Plan { own_database: true, ..Plan::default() });
    site.database.get().kill();
    let mut intake = site.intake_starting(&[]);
    until("an intake that waits", || intake.log().contains("waiting for the catalog"));
    assert!(intake.terminate().success(), "{}", intake.log());
}

//! One trace from the client's push to the store's answer, through every process that has a part in it.

use n2s_servers::{Collected, Collector, Postgres, RabbitMq};
use n2s_tests::{Fleet, World, until};

const PUSH: [&str; 7] =
    ["push", "--project", "hidden project", "--dataset", "hidden dataset", "--no-wait", "src"];
/// Of whoever started the push.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// The one span that another is a part of.
fn parent<'a>(spans: &'a [Collected], of: &Collected) -> &'a Collected {
    let found: Vec<_> = spans.iter().filter(|span| span.id == of.parent).collect();
    let [one] = found[..] else { panic!("the parents of {of:?} are {found:?}") };
    // A message is worked on after its span has ended, and a clock has microseconds.
    assert!(one.times[0] <= of.times[0], "{of:?} began before {one:?}");
    assert!(of.times[0] <= of.times[1], "{of:?} ended before it began");
    one
}

#[test]
fn one_trace_goes_from_the_push_to_the_stores_answer() {
    let (broker, collector) = (RabbitMq::start(), Collector::start());
    let world = World::new();
    let telemetry = format!("[telemetry]\notlp_endpoint = \"{}\"\n", collector.endpoint);
    let settings = Fleet::shared_disk(&world, &telemetry);
    let fleet = Fleet::new(world, Postgres::shared().database(), &broker.vhost().url, &settings);
    let dispatcher = fleet.start("dispatcher", &["dispatcher"], &[]).at_work("dispatcher");
    until("an office", || dispatcher.log().contains(": taken office=Sweeper"));
    let (_intake, url, token) = fleet.intake();
    let worker = fleet.start("worker", &["worker"], &[]).at_work("worker");
    (0..5).for_each(|n| fleet.world.write(&format!("src/hidden {n}"), format!("hidden content {n}")));
    let mut push = fleet.world.command(&PUSH);
    // A client has no settings of its own.
    push.env("N2S_HOME", fleet.world.path("client")).envs([("N2S_SERVER", &url), ("N2S_TOKEN", &token)]);
    push.env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint);
    push.env("TRACEPARENT", format!("00-{TRACE}-b7ad6b7169203331-01"));
    let pushed = push.output().unwrap();
    assert!(pushed.status.success(), "{pushed:?}");
    until("the end of all jobs", || fleet.count("SELECT count(*) FROM jobs") == 0);

    let ours = || collector.spans().into_iter().filter(|span| span.trace == TRACE).collect::<Vec<_>>();
    let stores =
        |spans: &[Collected]| spans.iter().filter(|span| span.name == "store").cloned().collect::<Vec<_>>();
    // Those of the files, at least; how many of the lists there are is not the matter here.
    until("the spans", || stores(&ours()).len() >= 5 && ours().iter().any(|span| span.name == "push"));
    let spans = ours();
    let sealed = "SELECT string_agg(encode(sealed_hash, 'hex'), ' ') FROM blobs";
    let sealed = fleet.ask(sealed);
    for store in stores(&spans) {
        let key = store.attributes["object.key"].replace('/', "").replacen("blobs", "", 1);
        assert!(sealed.contains(&key), "{key} is no blob of {sealed}");
        assert_eq!((store.role.as_str(), store.attributes["op.result"].as_str()), ("worker", "ok"));
        let job = parent(&spans, &store);
        assert_eq!((job.name.as_str(), job.role.as_str()), ("job", "worker"));
        assert_eq!(job.attributes["op.result"], "stored");
        assert_eq!(job.attributes["backend.name"], "disk");
        let dispatch = parent(&spans, job);
        assert_eq!((dispatch.name.as_str(), dispatch.role.as_str()), ("dispatch", "dispatcher"));
        assert_eq!(dispatch.attributes["job.id"], job.attributes["job.id"]);
        let request = parent(&spans, dispatch);
        assert_eq!((request.name.as_str(), request.role.as_str()), ("POST /v1/pushes", "intake"));
        assert_eq!(request.attributes["http.response.status_code"], "200");
        let push = parent(&spans, request);
        assert_eq!((push.name.as_str(), push.role.as_str()), ("push", "push"));
        assert_eq!(push.parent, "b7ad6b7169203331");
    }
    let sent = collector.bytes();
    let says = |words: &str| sent.windows(words.len()).any(|window| window == words.as_bytes());
    assert!(!says("hidden") && !says(&token) && says("POST /v1/pushes"));
    drop((dispatcher, worker));
}

#[test]
fn an_address_that_is_none_is_refused_before_anything_is_done() {
    let world = World::at_home();
    world.write("src/a", "a");
    let mut push = world.command(&["push", "--project", "p", "--dataset", "d", "src"]);
    let refused = push.env("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318").output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(String::from_utf8(refused.stderr).unwrap().contains("http://collector:4318"));
    assert!(!world.path("home").exists(), "something was made");
}

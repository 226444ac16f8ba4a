//! A home whose queue is a broker: through the binary, against a node of our own.

use std::process::Stdio;

use n2s_servers::{RabbitMq, Vhost};
use n2s_tests::{World, assert_same, files, until};

/// More than a store's window at the start (512), so that some always wait for the others.
const FILES: usize = 600;

fn many_files(world: &World, below: &str) {
    (0..FILES)
        .for_each(|n| world.write(&format!("src/{below}/{}/{n}", n % 7), format!("{below} {n} ").repeat(99)));
}

const PUSH: [&str; 6] = ["push", "--project", "p", "--dataset", "d", "src"];

/// Puts a home's queue at a broker, over TLS, with the password in a file of its own.
fn with_queue(world: &World, broker: &RabbitMq, vhost: &Vhost) {
    let url = vhost.tls_url.replace("guest:guest@", "guest@");
    let (password, ca) = (world.path("password"), broker.ca());
    world.write("password", "guest\n");
    let queue = format!(
        "[queue]\nurl = \"{url}\"\npassword_file = \"{}\"\ntls_ca = \"{}\"\n",
        password.display(),
        ca.display()
    );
    world.write("home/config.toml", queue);
}

#[test]
fn a_home_works_with_a_broker_and_engines_take_over_from_each_other() {
    let broker = RabbitMq::start();
    let (world, vhost) = (World::new(), broker.vhost());
    with_queue(&world, &broker, &vhost);
    world.write("src/first", "1");
    let said = world.push(&[]).code(0);
    assert!(!said.err.contains("WARN") && !said.err.contains("ERROR"), "{said:?}");
    // It went through the broker, and nothing is left there.
    let queues = broker.http("GET", &format!("/api/queues/{}?columns=name,type", vhost.name), "");
    assert!(queues.contains("n2s.work.local") && queues.contains("n2s.sentinel."), "{queues}");
    many_files(&world, "many");
    let engine = world.start(&["up"]);
    let push = world.start(&PUSH);
    until("an upload", || files(&world.path("home/store/blobs")).len() > 10);
    engine.kill();
    assert!(
        files(&world.path("home/store/blobs")).len() < FILES,
        "everything was done before the engine died"
    );
    assert_eq!(push.wait().code, 0, "the push did not take the engine over");
    world.settled_after_a_kill();
    world.pull("out", &[]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
}

#[test]
fn a_push_outlives_a_broker_that_is_killed_and_comes_back_with_nothing() {
    let mut broker = RabbitMq::start();
    let (world, vhost) = (World::new(), broker.vhost());
    with_queue(&world, &broker, &vhost);
    // One object at a time, so that nearly all that was queued still is when the broker dies.
    let (config, disk) = (world.path("home/config.toml"), world.path("disk"));
    std::fs::create_dir(&disk).unwrap();
    let slow = format!(
        "[backends.disk]\nkind = \"local\"\npath = {disk:?}\nconcurrency_min = 1\nconcurrency_max = 1\n"
    );
    std::fs::write(&config, std::fs::read_to_string(&config).unwrap() + &slow).unwrap();
    many_files(&world, "many");
    let mut push = world.command(&PUSH);
    let mut push = push.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    until("some uploads", || files(&disk.join("blobs")).len() >= 20);
    broker.kill();
    let done = files(&disk.join("blobs")).len();
    assert!(done < FILES && push.try_wait().unwrap().is_none(), "everything was done before the broker died");
    broker.start_empty();
    // The vhost is gone, too: until it is back, the broker refuses whoever asks for it.
    broker.recreate(&vhost);
    let said = push.wait_with_output().unwrap();
    assert!(said.status.success(), "{said:?}");
    let said = String::from_utf8(said.stderr).unwrap();
    for word in ["the queue's broker is out of reach", "the broker lost what was queued"] {
        assert!(said.contains(word), "'{word}' is missing in {said}");
    }
    assert!(!said.contains("guest"), "{said}");
    world.settled_after_a_kill();
    world.pull("out", &[]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
}

#[test]
fn a_broker_that_cannot_be_is_told_before_anything_is_made() {
    let world = World::new();
    world.write("src/a", "a");
    let ca = world.path("absent.pem");
    for (queue, words) in [
        ("url = \"amqp://u:ses@me@host\"".to_owned(), ["config.toml:2: queue.url", "%40"]),
        ("url = \"redis://u:sesame@host\"".to_owned(), ["config.toml:2: queue.url", "amqps://"]),
        (format!("url = \"amqps://u:sesame@host\"\ntls_ca = {ca:?}"), ["[queue] cannot work", "absent.pem"]),
        (format!("url = \"amqp://u@host\"\npassword_file = {ca:?}"), ["password_file", "cannot be read"]),
    ] {
        world.write("home/config.toml", format!("[queue]\n{queue}\n"));
        for said in [world.n2s(&["config", "check"]), world.push(&[])] {
            let said = said.code(2).says(&words);
            assert!(!said.err.contains("ses"), "{said:?}");
        }
    }
    assert!(!world.path("home/vault").exists() && !world.path("home/catalog.db").exists());
}

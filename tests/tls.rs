//! The API over TLS, and where it may be spoken without.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use n2s_tests::{Ended, World, assert_same};

fn openssl(world: &World, args: &str) {
    let output = Command::new("openssl").args(args.split(' ')).current_dir(world.path("")).output();
    let output = output.unwrap_or_else(|error| panic!("{error}: openssl is not installed; run `make deps`"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// An authority and a certificate for 127.0.0.1 that it signed.
fn certificates(world: &World) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(world, &format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"));
    openssl(world, &format!("req {key} -keyout key.pem -out request.pem -subj /CN=n2s"));
    world.write("names", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n");
    openssl(
        world,
        "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 2 -extfile names",
    );
}

fn path(world: &World, name: &str) -> String {
    world.path(name).to_str().unwrap().to_owned()
}

#[test]
fn a_push_and_a_pull_go_over_tls_to_a_trusted_server_only() {
    let world = World::served();
    certificates(&world);
    let (cert, key) = (path(&world, "cert.pem"), path(&world, "key.pem"));
    world.serve_with(&[("N2S_API__TLS_CERT", &cert), ("N2S_API__TLS_KEY", &key)]);
    let url = world.server().as_ref().unwrap().url.clone();
    assert!(url.starts_with("https://"), "{url}");
    (0..50).for_each(|n| world.write(&format!("src/{n}"), format!("content {n}").repeat(1_000)));
    world.push(&["--ca", "ca.pem"]).code(0);
    world.pull("out", &["--ca", "ca.pem"]).code(0);
    assert_same(&world.path("src"), &world.path("out"));
    world.n2s(&["status"]).code(1).says(&["invalid peer certificate"]);
    world.n2s(&["status", "--ca", "names"]).code(2).says(&["names", "no certificate"]);
    world.n2s(&["status", "--ca", "absent.pem"]).code(2).says(&["absent.pem"]);
    let plain = url.replace("https://", "http://");
    let ended: Ended = world.command(&["status"]).env("N2S_SERVER", plain).output().unwrap().into();
    ended.code(1);
}

#[test]
fn a_server_refuses_settings_that_would_show_tokens() {
    let world = World::at_home();
    certificates(&world);
    world.write("src/a", "alpha");
    world.push(&[]).code(0);
    let serve = |settings: &[(&str, &str)]| -> Ended {
        world.command(&["serve", "intake"]).envs(settings.iter().copied()).output().unwrap().into()
    };
    let everywhere = ("N2S_API__LISTEN", "0.0.0.0:0");
    serve(&[everywhere]).code(2).says(&["api.listen", "tls_cert", "plain_http"]);
    let (cert, key, ca_key) = (path(&world, "cert.pem"), path(&world, "key.pem"), path(&world, "ca.key"));
    serve(&[("N2S_API__TLS_CERT", &cert)]).code(2).says(&["tls_key"]);
    serve(&[("N2S_API__TLS_CERT", &cert), ("N2S_API__TLS_KEY", &ca_key)])
        .code(2)
        .says(&["cannot be used together"]);
    serve(&[("N2S_API__TLS_CERT", &key), ("N2S_API__TLS_KEY", &key)]).code(2).says(&["key.pem"]);
    serve(&[("N2S_API__LISTEN", "nowhere")]).code(2).says(&["address and port"]);
    serve(&[("N2S_API__IN_FLIGHT_MIB", "1")]).code(2).says(&["at least 64"]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = listener.local_addr().unwrap().to_string();
    serve(&[("N2S_API__LISTEN", &busy)]).code(1).says(&[&busy, "cannot be listened on"]);
}

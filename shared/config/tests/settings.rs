//! What is read, what is refused, and what each refusal says.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use n2s_config::{BackendKind, Config};

fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn read(text: &str, env: &[(&str, &str)]) -> Result<Config, String> {
    Config::parse(Path::new("c.toml"), text, variables(env)).map_err(|error| error.to_string())
}

fn refusal(text: &str) -> String {
    read(text, &[]).expect_err("it should have been refused")
}

const DISK: &str = "[backends.disk]\nkind = \"local\"\npath = \"/disk\"\n";

#[test]
fn an_empty_file_is_all_defaults() {
    assert_eq!(read("", &[]).unwrap(), Config::default());
}

#[test]
fn a_file_sets_what_it_names_and_leaves_the_rest() {
    let text = format!("{DISK}timeout_secs = 5\nretry.cap_secs = 7\n[push]\nmin_copies = 1\n");
    let config = read(&text, &[]).unwrap();
    let disk = &config.backends[&"disk".parse().unwrap()];
    assert_eq!(
        (disk.kind, &disk.path, disk.timeout().as_secs()),
        (BackendKind::Local, &PathBuf::from("/disk"), 5)
    );
    assert_eq!((disk.concurrency(), disk.retry.cap_secs, disk.retry.attempts_max), ((256, 2048), 7, 8));
    assert_eq!(config.push.min_copies, Some(1));
}

#[test]
fn variables_win_over_the_file_with_its_types() {
    let env = [
        ("N2S_PUSH__MIN_COPIES", "1"),
        ("N2S_BACKENDS__DISK__RETRY__ATTEMPTS_MAX", "3"),
        ("N2S_BACKENDS__DISK__PATH", "/7"),
        ("N2S_HOME", "/not/a/setting"),
        ("OTHER__KEY", "1"),
    ];
    let config = read(DISK, &env).unwrap();
    let disk = &config.backends[&"disk".parse().unwrap()];
    assert_eq!((config.push.min_copies, disk.retry.attempts_max), (Some(1), 3));
    assert_eq!(disk.path, Path::new("/7"));
    // An underscore stands for a dash, which a variable's name cannot hold.
    let dashed = DISK.replace("disk]", "usb-1]");
    let config = read(&dashed, &[("N2S_BACKENDS__USB_1__PATH", "\"/quoted\"")]).unwrap();
    assert_eq!(config.backends[&"usb-1".parse().unwrap()].path, Path::new("/quoted"));
    // A backend can come from variables alone.
    let env = [("N2S_BACKENDS__NEW__KIND", "local"), ("N2S_BACKENDS__NEW__PATH", "/new")];
    assert_eq!(read("", &env).unwrap().backends.len(), 1);
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_key_that_was_meant() {
    let said = refusal(&format!("{DISK}pth = \"/x\"\nretry.cap_sec = 1\n[psuh]\nmin_copies = 1\n"));
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines,
        [
            "c.toml:4: backends.disk.pth: there is no such key; did you mean 'path'?",
            "c.toml:5: backends.disk.retry.cap_sec: there is no such key; did you mean 'cap_secs'?",
            "c.toml:6: psuh: there is no such section; did you mean 'push'?",
        ]
    );
    let said = refusal("[push]\ncolour = 1\n");
    assert_eq!(said, "c.toml:2: push.colour: there is no such key; there are: min_copies");
    let said = read("", &[("N2S_PUSH__MIN_COPYS", "1")]).unwrap_err();
    assert_eq!(said, "N2S_PUSH__MIN_COPYS: push.min_copys: there is no such key; did you mean 'min_copies'?");
}

#[test]
fn a_wrong_type_is_refused_where_it_stands() {
    let said = refusal(&format!("{DISK}timeout_secs = \"long\"\nretry = 3\n"));
    assert!(said.contains("c.toml:4: backends.disk.timeout_secs: "), "{said}");
    assert!(said.contains("it takes a whole number"), "{said}");
    assert!(said.contains("c.toml:5: backends.disk.retry: this is a section"), "{said}");
    let said = read(DISK, &[("N2S_PUSH__MIN_COPIES", "two")]).unwrap_err();
    assert!(said.starts_with("N2S_PUSH__MIN_COPIES: push.min_copies: "), "{said}");
    let said = refusal("push = 1\n");
    assert_eq!(said, "c.toml:1: push: this is a section; write [push] and its keys below it");
    let said = refusal("backends = 1\n");
    assert!(said.starts_with("c.toml:1: backends: this is a section"), "{said}");
}

#[test]
fn what_is_not_toml_is_refused_with_its_line() {
    let said = refusal("[push]\nmin_copies 3\n");
    assert!(said.starts_with("c.toml:2: this is not TOML: "), "{said}");
}

#[test]
fn a_value_in_the_place_of_a_section_is_refused_for_a_variable_below_it() {
    let said = read("push = 1\n", &[("N2S_PUSH__MIN_COPIES", "1")]).unwrap_err();
    assert!(
        said.contains("N2S_PUSH__MIN_COPIES: push.min_copies: 'push' is a value, not a section"),
        "{said}"
    );
}

#[test]
fn a_backend_needs_a_known_kind_a_good_name_and_an_absolute_path() {
    let cases = [
        (
            "[backends.d]\npath = \"/d\"\n",
            "c.toml:1: backends.d.kind: it is missing; write kind = \"local\" or \"s3\"",
        ),
        ("[backends.d]\nkind = \"lokal\"\npath = \"/d\"\n", "c.toml:2: backends.d.kind: "),
        (
            "[backends.D]\nkind = \"local\"\npath = \"/d\"\n",
            "c.toml:1: backends.D: the backend name 'D' cannot be used",
        ),
        ("[backends.d]\nkind = \"local\"\n", "c.toml:1: backends.d.path: it is missing"),
        ("[backends.d]\nkind = \"local\"\npath = \"d\"\n", "c.toml:3: backends.d.path: it is relative"),
    ];
    for (text, expected) in cases {
        let said = refusal(text);
        assert!(said.starts_with(expected), "{text}: {said}");
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let other = "[backends.other]\nkind = \"local\"\npath = ";
    let cases = [
        ("[push]\nmin_copies = 0\n".to_owned(), "c.toml:5: push.min_copies: it must be at least 1"),
        (
            "[push]\nmin_copies = 2\n".to_owned(),
            "c.toml:5: push.min_copies: 2 copies need as many stores, and there are 1",
        ),
        ("[worker]\nlease_secs = 0\n".to_owned(), "c.toml:5: worker.lease_secs: it must be at least 1"),
        ("[queue]\nunclaimed_secs = 0\n".to_owned(), "c.toml:5: queue.unclaimed_secs: it must be at least 1"),
        ("timeout_secs = 0\n".to_owned(), "c.toml:4: backends.disk.timeout_secs: it must be at least 1"),
        (
            "timeout_secs = 21600\n".to_owned(),
            "c.toml:4: backends.disk.timeout_secs: it must be less than 21600",
        ),
        (
            "bytes_per_sec_max = 0\n".to_owned(),
            "c.toml:4: backends.disk.bytes_per_sec_max: it must be at least 1",
        ),
        ("concurrency_min = 0\n".to_owned(), "c.toml:4: backends.disk.concurrency_min: it must be"),
        (
            "concurrency_min = 3\nconcurrency_max = 2\n".to_owned(),
            "c.toml:5: backends.disk.concurrency_max: it must be at least",
        ),
        ("retry.attempts_max = 0\n".to_owned(), "c.toml:4: backends.disk.retry.attempts_max: it must be"),
        ("retry.base_ms = 0\n".to_owned(), "c.toml:4: backends.disk.retry.base_ms: it must be"),
        (
            "retry.cap_secs = 3601\n".to_owned(),
            "c.toml:4: backends.disk.retry.cap_secs: it must be at most 3600",
        ),
        (
            "retry = { base_ms = 2000, cap_secs = 1 }\n".to_owned(),
            "c.toml:4: backends.disk.retry.cap_secs: it must be",
        ),
        (
            format!("{other}\"//disk/.\"\n"),
            "c.toml:6: backends.other.path: it has the same place as backend 'disk'",
        ),
        (format!("{other}\"/disk/in\"\n"), "c.toml:6: backends.other.path: it lies inside or around"),
        (format!("{other}\"/\"\n"), "c.toml:6: backends.other.path: it lies inside or around"),
    ];
    for (more, expected) in cases {
        let said = refusal(&format!("{DISK}{more}"));
        assert!(said.starts_with(expected) && said.lines().count() == 1, "{more}: {said}");
    }
    assert!(
        read(&format!("{DISK}{other}\"/diskette\"\n"), &[]).is_ok(),
        "a common beginning is not a common place"
    );
    assert!(read("[push]\nmin_copies = 2\n", &[]).is_ok(), "the first store is yet to be made");
}

#[test]
fn a_file_that_is_absent_is_named() {
    let error = Config::load(Path::new("/nowhere/c.toml")).unwrap_err();
    assert_eq!(error.to_string(), "the configuration /nowhere/c.toml cannot be read");
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn a_database_is_a_server_and_its_password_lies_elsewhere() {
    let text = "[database]\nurl = \"postgres://n2s@db/n2s\"\npassword_file = \"/run/secret\"\n";
    let config = read(text, &[]).unwrap();
    assert_eq!(config.database.url.unwrap().expose(), "postgres://n2s@db/n2s");
    let secret = "postgres://n2s:hunter2@db/n2s";
    let config = read("", &[("N2S_DATABASE__URL", secret)]).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    let written = |url: &str| refusal(&format!("[database]\nurl = \"{url}\"\n"));
    let refused = written("mysql://me:hunter2@db/n2s");
    assert!(refused.contains("c.toml:2: database.url: it must begin with postgres://"), "{refused}");
    assert!(!refused.contains("hunter2"), "{refused}");
    assert!(refusal("[database]\npassword_file = \"/run/secret\"\n").contains("there is no url"));
    for url in [secret, "postgres://db/n2s?user=n2s&password=hunter2"] {
        let both = read("[database]\npassword_file = \"/run/secret\"\n", &[("N2S_DATABASE__URL", url)]);
        assert!(both.unwrap_err().contains("the url holds a password, too"));
    }
}

#[test]
fn a_broker_is_named_by_its_url_and_nothing_shows_its_password() {
    let text = "[queue]\nurl = \"amqps://n2s:sesame@broker/v\"\ntls_ca = \"/ca.pem\"\n";
    let config = read(text, &[]).unwrap();
    assert_eq!(config.queue.url.as_ref().unwrap().reveal(), "amqps://n2s:sesame@broker/v");
    assert!(!format!("{config:?}").contains("sesame"));
    let config = read("", &[("N2S_QUEUE__URL", "amqp://broker:5672")]).unwrap();
    assert_eq!(config.queue.url.unwrap().reveal(), "amqp://broker:5672");
}

#[test]
fn what_cannot_be_a_broker_is_refused_with_its_line_and_without_its_password() {
    let queue = |keys: &str| refusal(&format!("[queue]\n{keys}"));
    for (keys, wanted) in [
        ("url = \"http://u:sesame@host\"", "c.toml:2: queue.url: it does not begin with amqp://"),
        ("url = \"amqp://u:ses@me@host\"", "write them as %3a and %40"),
        ("url = 5672", "it is not text"),
        (
            "url = \"amqp://host\"\ntls_ca = \"/ca.pem\"",
            "c.toml:3: queue.tls_ca: queue.url does not ask for TLS",
        ),
        ("url = \"amqps://host\"\ntls_ca = \"ca.pem\"", "queue.tls_ca: it is relative"),
        (
            "url = \"amqp://u:sesame@host\"\npassword_file = \"/f\"",
            "queue.password_file: there is a password in",
        ),
        ("url = \"amqp://host\"\npassword_file = \"/f\"", "queue.url: it names no user"),
        ("password_file = \"/f\"", "queue.password_file: there is no broker"),
        ("uri = \"amqp://host\"", "did you mean 'url'?"),
    ] {
        let said = queue(keys);
        assert!(said.contains(wanted), "{keys}: {said}");
        assert!(!said.contains("ses"), "{said}");
    }
}

const BUCKET: &str = "[backends.far]\nkind = \"s3\"\nbucket = \"n2s\"\n";

#[test]
fn a_bucket_has_its_defaults_and_its_keys() {
    let far = |text: &str, env: &[(&str, &str)]| {
        read(&format!("{BUCKET}{text}"), env).unwrap().backends.pop_first().unwrap().1
    };
    let plain = far("", &[]);
    assert_eq!((plain.requests(), plain.s3.max_retries, plain.timeout().as_secs()), (128, 3, 30));
    assert_eq!((plain.s3.region.as_str(), plain.concurrency()), ("us-east-1", (1, 128)));
    let set = "region = \"eu\"\nendpoint = \"http://h\"\npath_style = false\nprefix = \"p\"\naccess_key_id = \"i\"\n\
               secret_access_key = \"hush\"\npublic_url = \"http://u\"\npool_size = 4\ntimeout_secs = 5\nmax_retries = 0\n\
               storage_class = \"C\"\nretry.cap_secs = 9\n";
    let set = far(set, &[("N2S_BACKENDS__FAR__PREFIX", "007")]);
    assert_eq!(
        (set.s3.region.as_str(), set.s3.prefix.as_str(), set.s3.path_style),
        ("eu", "007", Some(false))
    );
    assert_eq!((set.timeout().as_secs(), set.concurrency(), set.retry.cap_secs), (5, (1, 4), 9));
    let many = far("concurrency_max = 300\n", &[]);
    assert_eq!((many.concurrency(), many.requests()), ((1, 300), 300), "each has a connection");
    let few = far("concurrency_max = 300\nconcurrency_min = 20\npool_size = 7\n", &[]);
    assert_eq!((few.concurrency(), few.requests()), ((7, 7), 7), "never more than the operator wants");
    assert_eq!(far("concurrency_max = 4\n", &[]).concurrency(), (1, 4));
    assert_eq!(far("pool_size = 300\n", &[]).concurrency(), (1, 300), "as many as there are connections");
    assert_eq!(set.s3.secret_access_key.as_ref().unwrap().reveal(), "hush");
    assert!(!format!("{set:?}").contains("hush"));
    let by_variable = far("access_key_id = \"i\"\n", &[("N2S_BACKENDS__FAR__SECRET_ACCESS_KEY", "1234")]);
    assert_eq!(by_variable.s3.secret_access_key.unwrap().reveal(), "1234");
}

#[test]
fn staging_may_be_a_bucket() {
    let config = read("[staging]\nkind = \"s3\"\nbucket = \"n2s\"\ntimeout_secs = 5\n", &[]).unwrap();
    assert_eq!((config.staging.s3.bucket.as_str(), config.staging.timeout().as_secs()), ("n2s", 5));
    let said = refusal("[staging]\nkind = \"s3\"\n");
    assert!(said.starts_with("c.toml:1: staging.bucket: it is missing"), "{said}");
    let said = refusal("[staging]\nbucket = \"n2s\"\n");
    assert!(said.starts_with("c.toml:2: staging.bucket: it is for kind = \"s3\""), "{said}");
}

#[test]
fn settings_of_a_bucket_that_contradict_each_other_are_refused() {
    let cases = [
        ("path = \"/x\"\n", "c.toml:4: backends.far.path: it is for kind = \"local\""),
        ("access_key_id = \"i\"\n", "c.toml:4: backends.far.access_key_id: its secret is missing"),
        ("secret_access_key = \"hush\"\n", "c.toml:1: backends.far.access_key_id: it is missing"),
        (
            "access_key_id = \"i\"\nsecret_access_key = \"hush\"\nsecret_access_key_file = \"/s\"\n",
            "c.toml:6: backends.far.secret_access_key_file: there is a secret_access_key, too",
        ),
        (
            "access_key_id = \"i\"\nsecret_access_key_file = \"s\"\n",
            "c.toml:5: backends.far.secret_access_key_file: it is relative",
        ),
        ("secret_access_key = 271828\n", "c.toml:4: backends.far.secret_access_key: it is not text"),
        (
            "pool_sise = 3\n",
            "c.toml:4: backends.far.pool_sise: there is no such key; did you mean 'pool_size'?",
        ),
        ("timeout_secs = 0\n", "c.toml:4: backends.far.timeout_secs: it must be at least 1"),
    ];
    for (more, expected) in cases {
        let said = refusal(&format!("{BUCKET}{more}"));
        assert!(said.starts_with(expected) && said.lines().count() == 1, "{more}: {said}");
        assert!(!said.contains("hush") && !said.contains("271828"), "{said}");
    }
    let said = refusal("[backends.far]\nkind = \"s3\"\n");
    assert!(said.contains("backends.far.bucket: it is missing"), "{said}");
    let said = refusal(&format!("{DISK}bucket = \"b\"\n"));
    assert!(said.starts_with("c.toml:4: backends.disk.bucket: it is for kind = \"s3\""), "{said}");
}

#[test]
fn two_backends_in_one_place_of_a_bucket_are_one_copy() {
    let other = |more: &str| format!("{BUCKET}[backends.near]\nkind = \"s3\"\nbucket = \"n2s\"\n{more}");
    for same in ["prefix = \"a\"\n", ""] {
        let said = refusal(&other(same));
        assert!(said.starts_with("c.toml:6: backends.near.bucket: it "), "{said}");
    }
    read(&other("endpoint = \"http://h\"\n"), &[]).unwrap();
    read(
        &other("")
            .replacen("bucket = \"n2s\"\n", "bucket = \"n2s\"\nprefix = \"b\"\n", 2)
            .replacen("\"b\"", "\"ba\"", 1),
        &[],
    )
    .unwrap();
}

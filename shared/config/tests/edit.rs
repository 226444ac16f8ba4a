//! Adding a backend changes a file in that one way, or not at all.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use n2s_config::{Config, ConfigError, NewBackend, S3Config, add_backend};

fn add(file: &Path, name: &str, directory: &str) -> Result<(), ConfigError> {
    add_backend(file, &name.parse().expect("a good name"), NewBackend::Local(Path::new(directory)))
}

#[test]
fn a_file_is_made_and_grows_and_every_other_byte_stays() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("config.toml");
    add(&file, "one", "/one").unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "[backends.one]\nkind = \"local\"\npath = \"/one\"\n");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let mine = "# mine\n[push]   # strange   spacing\nmin_copies=1";
    fs::write(&file, mine).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    add(&file, "two", "/two words \" \\ é").unwrap();
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with(mine), "{text}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    let config = Config::parse(&file, &text, []).unwrap();
    assert_eq!(config.backends[&"two".parse().unwrap()].path, Path::new("/two words \" \\ é"));
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn a_refusal_leaves_the_file_as_it_was() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("config.toml");
    let text = "\n[backends.one]\nkind = \"local\"\npath = \"/one\"\n";
    fs::write(&file, text).unwrap();
    for (name, directory, expected) in [
        ("one", "/other", ":2: there is a backend 'one' already"),
        ("two", "/one/in", "backends.two.path: it lies inside or around the place of backend 'one'"),
        ("two", "relative", "backends.two.path: it is relative"),
    ] {
        let said = add(&file, name, directory).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
    fs::write(&file, "not toml").unwrap();
    assert!(matches!(add(&file, "two", "/two"), Err(ConfigError::Syntax { line: 1, .. })));
}

#[test]
fn mistakes_that_were_there_before_do_not_stand_in_the_way() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("config.toml");
    fs::write(&file, "[push]\nmin_copies = 3\n[backends.one]\nkind = \"local\"\npath = \"/one\"\n").unwrap();
    // Still too few, and said with another number than before.
    add(&file, "two", "/two").unwrap();
    add(&file, "three", "/three").unwrap();
    assert!(Config::parse(&file, &fs::read_to_string(&file).unwrap(), []).is_ok());
}

#[test]
fn a_link_keeps_being_one() {
    let home = tempfile::tempdir().unwrap();
    let (file, link) = (home.path().join("real.toml"), home.path().join("config.toml"));
    fs::write(&file, "").unwrap();
    symlink(&file, &link).unwrap();
    add(&link, "one", "/one").unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::read_to_string(&file).unwrap().contains("[backends.one]"));
}

#[test]
fn two_that_add_at_the_same_time_both_succeed() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("config.toml");
    let gate = std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        for n in 0..8 {
            let (gate, file) = (&gate, &file);
            scope.spawn(move || {
                gate.wait();
                add(file, &format!("s{n}"), &format!("/s{n}")).unwrap();
            });
        }
    });
    assert_eq!(Config::parse(&file, &fs::read_to_string(&file).unwrap(), []).unwrap().backends.len(), 8);
}

#[test]
fn a_bucket_is_written_without_what_is_as_by_default() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("config.toml");
    let s3 = S3Config {
        bucket: "n2s".to_owned(),
        prefix: "a \"b\"".to_owned(),
        path_style: Some(false),
        pool_size: Some(3),
        secret_access_key_file: Some("/secret".into()),
        access_key_id: Some("me".to_owned()),
        ..S3Config::default()
    };
    add_backend(&file, &"far".parse().unwrap(), NewBackend::S3(&s3, Some(7))).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    let expected = "[backends.far]\nkind = \"s3\"\nbucket = \"n2s\"\npath_style = false\nprefix = 'a \"b\"'\n\
                    access_key_id = \"me\"\nsecret_access_key_file = \"/secret\"\npool_size = 3\ntimeout_secs = 7\n";
    assert_eq!(text, expected);
    let far = Config::parse(&file, &text, []).unwrap().backends.pop_first().unwrap().1;
    assert_eq!((far.s3, far.timeout_secs), (s3.clone(), Some(7)));
    let no_bucket = S3Config::default();
    let error = add_backend(&file, &"other".parse().unwrap(), NewBackend::S3(&no_bucket, None)).unwrap_err();
    assert!(error.to_string().contains("backends.other.bucket: it is missing"), "{error}");
    let error = add_backend(&file, &"same".parse().unwrap(), NewBackend::S3(&s3, None)).unwrap_err();
    assert!(error.to_string().contains("backends.same.bucket: it has the same place"), "{error}");
}

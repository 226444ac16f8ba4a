//! Looking for credentials where there must be none, after whatever went wrong.

use std::fs;
use std::path::Path;

/// Panics when an argument of any process of this machine holds one of these.
pub fn not_in_processes(secrets: &[String]) {
    let mut seen = 0;
    for entry in fs::read_dir("/proc").unwrap() {
        // Some end while they are looked at.
        let Ok(arguments) = fs::read(entry.unwrap().path().join("cmdline")) else { continue };
        seen += 1;
        for secret in secrets {
            assert!(!holds(&arguments, secret), "{secret} is an argument of a process");
        }
    }
    assert!(seen > 1, "no process was seen");
}

/// Panics when one of the logs in `dir` holds one of these. What clients said is in logs, too.
pub fn not_in_logs(dir: &Path, secrets: &[String]) {
    let mut seen = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log") {
            not_in(&fs::read(&path).unwrap(), secrets, &path.display().to_string());
            seen += 1;
        }
    }
    assert!(seen > 0, "there are no logs in {}", dir.display());
}

/// Panics when these bytes hold one of them.
pub fn not_in(bytes: &[u8], secrets: &[String], place: &str) {
    for secret in secrets {
        assert!(!holds(bytes, secret), "{secret} can be read in {place}");
    }
}

/// The root secret of a vault's file.
pub fn root(vault: &Path) -> String {
    let text = fs::read_to_string(vault).unwrap();
    text.lines().find_map(|line| line.strip_prefix("root ")).expect("a vault has a root").to_owned()
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
}

#[test]
fn a_credential_in_a_log_is_found() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.log"), "nothing").unwrap();
    fs::write(dir.path().join("b.log"), "amqp://u:sesame@host").unwrap();
    let secrets = ["open".to_owned(), "sesame".to_owned()];
    let looked = std::panic::catch_unwind(|| not_in_logs(dir.path(), &secrets));
    assert!(looked.is_err());
    not_in_logs(dir.path(), &secrets[..1]);
}

//! Looks for credentials where none may be: in what processes were started with, in logs and in answers.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use n2s_tests::{World, files};

/// Looks at every process that works in this world until somebody says that it is time; what was found, and how many it looked at.
pub fn in_processes(world: &World, secrets: &[String], time: &AtomicBool) -> (Vec<String>, u64) {
    let (mut found, mut looks) = (BTreeSet::new(), 0);
    while !time.load(Ordering::SeqCst) {
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            // Many end while they are looked at, and others' are not ours to judge.
            if !fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(world.path(""))) {
                continue;
            }
            looks += 1;
            let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words).replace('\0', " ");
            if secrets.iter().any(|secret| words.contains(secret.as_str())) {
                found.insert(format!("arguments of {}", words.split(' ').next().unwrap_or_default()));
            }
        }
        std::thread::park_timeout(Duration::from_millis(200));
    }
    (found.into_iter().collect(), looks)
}

/// Looks at every log and every answer of the world.
pub fn in_files(world: &World, secrets: &[String]) -> Vec<String> {
    let said = |path: &std::path::PathBuf| {
        path.extension().is_some_and(|kind| kind == "log") || path.ends_with("answer")
    };
    let shows = |path: &std::path::PathBuf| {
        let text = String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        secrets.iter().any(|secret| text.contains(secret.as_str()))
    };
    let all: Vec<_> = files(&world.path(".")).into_iter().filter(said).collect();
    assert!(all.len() > 5, "there are no logs");
    all.into_iter().filter(shows).map(|path| path.display().to_string()).collect()
}

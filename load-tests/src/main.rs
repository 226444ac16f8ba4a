//! Pushes and pulls a generated tree with the binary named as the first argument, and prints what it took as JSON.
//!
//! The tree: 20,000 files of log-normal sizes, 60 % text-like, 10 % duplicates, about 520 MB. n2s runs at its default, which
//! syncs everything before it is acknowledged. Peers are not measured yet; the figures stand alone.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use n2s_domain::{Entropy as _, SeededEntropy};

const FILES: u64 = 20_000;

fn main() -> anyhow::Result<()> {
    let binary = std::env::args_os().nth(1).context("usage: n2s-load-tests PATH-OF-N2S")?;
    let binary = std::fs::canonicalize(binary)?;
    let work = tempfile::tempdir()?;
    let (tree, home, target) =
        (work.path().join("tree"), work.path().join("home"), work.path().join("target"));
    let bytes = generate(&tree)?;
    let run = |args: &[&str]| -> anyhow::Result<f64> {
        let started = Instant::now();
        let status = Command::new(&binary).arg("--quiet").args(args).env("N2S_HOME", &home).status()?;
        ensure!(status.success(), "n2s {args:?} failed");
        Ok(started.elapsed().as_secs_f64())
    };
    let tree_text = tree.to_string_lossy().into_owned();
    let push = ["push", "--project", "p", "--dataset", "d", &tree_text];
    let first = run(&push)?;
    run(&push)?;
    let unchanged = run(&push)?;
    (0..FILES).step_by(100).try_for_each(|n| std::fs::write(path(&tree, n), format!("changed {n}")))?;
    let changed = run(&push)?;
    let pull = run(&["pull", "--project", "p", "--dataset", "d", "--target", &target.to_string_lossy()])?;
    let figures = serde_json::json!({
        "files": FILES, "bytes": bytes, "first_push_secs": first, "unchanged_push_secs": unchanged,
        "one_percent_changed_push_secs": changed, "pull_secs": pull, "peers": "not measured",
    });
    writeln!(std::io::stdout(), "{figures:#}")?;
    Ok(())
}

fn path(tree: &Path, number: u64) -> std::path::PathBuf {
    tree.join(format!("{:02}", number % 100)).join(format!("{number}"))
}

fn generate(tree: &Path) -> anyhow::Result<u64> {
    let entropy = SeededEntropy::new(2026);
    (0..100).try_for_each(|dir| std::fs::create_dir_all(tree.join(format!("{dir:02}"))))?;
    let mut total = 0;
    for number in 0..FILES {
        if number % 10 == 9 {
            total += std::fs::copy(path(tree, number - 1), path(tree, number))?;
            continue;
        }
        let content = content(&entropy, number % 10 < 6);
        total += content.len() as u64;
        std::fs::write(path(tree, number), content)?;
    }
    Ok(total)
}

/// The sum of twelve uniform numbers is near enough to normal; its exponential is log-normal around 8 KiB.
fn content(entropy: &SeededEntropy, text: bool) -> Vec<u8> {
    #[expect(clippy::cast_precision_loss, reason = "a size needs few bits")]
    let normal = (0..12).map(|_| (entropy.next_u64() >> 11) as f64 / (1u64 << 53) as f64).sum::<f64>() - 6.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is positive and small")]
    let size = (8_192.0 * (1.52 * normal).exp()) as usize;
    let mut bytes = vec![0; size];
    entropy.fill(&mut bytes);
    if text {
        const WORDS: &[u8; 32] = b"the archive keeps what it knows ";
        bytes.iter_mut().enumerate().for_each(|(at, byte)| {
            if *byte < 230 {
                *byte = WORDS[at % WORDS.len()];
            }
        });
    }
    bytes
}

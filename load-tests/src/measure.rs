//! Runs a program and looks at what it takes.
//!
//! Peak memory comes from `/proc`: the kernel keeps the high-water mark, so looking often only matters at the end. Rejected:
//! `wait4`, which is exact but needs unsafe code, and a wrapper program, whose own start would be measured as well.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// What a run took.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// From start to end.
    pub elapsed: Duration,
    /// The most memory it had at once.
    pub peak_rss_bytes: u64,
}

/// Runs to the end; an error, with the last words of the program, when it did not exit 0.
pub fn measure(command: &mut Command) -> Result<Usage> {
    let said = tempfile::tempfile()?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said.try_clone()?);
    let started = Instant::now();
    let mut child = command.spawn().context("it does not start")?;
    let status = format!("/proc/{}/status", child.id());
    let ended = AtomicBool::new(false);
    let (exit, elapsed, peak_rss_bytes) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&status, &ended));
        let exit = Child::wait(&mut child);
        let elapsed = started.elapsed();
        ended.store(true, Ordering::Relaxed);
        (exit, elapsed, watcher.join().unwrap_or(0))
    });
    let exit = exit?;
    if !exit.success() {
        bail!("it ended with {exit}: {}", last_words(said)?);
    }
    Ok(Usage { elapsed, peak_rss_bytes })
}

fn watch(status: &str, ended: &AtomicBool) -> u64 {
    let mut peak = 0;
    while !ended.load(Ordering::Relaxed) {
        peak = peak.max(high_water(status).unwrap_or(0));
        std::thread::sleep(Duration::from_millis(2));
    }
    peak
}

fn high_water(status: &str) -> Option<u64> {
    let text = fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn last_words(mut file: fs::File) -> Result<String> {
    use std::io::{Read as _, Seek as _};
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    Ok(lines.into_iter().rev().collect::<Vec<_>>().join(" / "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_measured_and_a_failure_speaks() {
        // 32 MiB of a shell variable, held until its standard input ends, which is at once.
        let script = "x=$(head -c 33554432 /dev/zero | tr '\\0' x); for i in 1 2 3; do : \"${x#y}\"; done";
        let usage = measure(Command::new("sh").args(["-c", script])).unwrap();
        assert!(usage.peak_rss_bytes > 32 << 20, "{usage:?}");
        let error = measure(Command::new("sh").args(["-c", "echo why >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().contains("exit status: 3: why"), "{error}");
    }
}

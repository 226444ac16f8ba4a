//! How much there is to push, for those who watch: a second walk that reads nothing, beside the push.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::options::{Progress, PushOptions, Source};
use crate::tree::{Root, WalkOptions, Walked, walk, walk_named};

/// Pushes shorter than this are over before anybody could read an estimate.
const AFTER: Duration = Duration::from_secs(1);
/// Between two looks whether the push is over.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Ends the measuring when dropped.
#[derive(Debug)]
pub(super) struct Measuring(Arc<AtomicBool>);

impl Drop for Measuring {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Measures the source on a thread of its own, if somebody wants to know.
pub(super) fn start(
    options: &PushOptions,
    walk_options: &WalkOptions,
    progress: &Arc<dyn Progress>,
) -> Option<Measuring> {
    if !progress.wants_total() {
        return None;
    }
    let over = Arc::new(AtomicBool::new(false));
    let measuring = Measuring(Arc::clone(&over));
    let (path, source) = (options.root.clone(), options.source.clone());
    let (walk_options, progress) = (walk_options.clone(), Arc::clone(progress));
    std::thread::spawn(move || {
        let start = std::time::Instant::now();
        while start.elapsed() < AFTER {
            if over.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        let (mut paths, mut bytes) = (0, 0);
        let count = |walked: Walked| {
            if let Walked::Entry { stat, .. } = walked {
                paths += 1;
                bytes += stat.size;
            }
            !over.load(Ordering::Relaxed)
        };
        let walked = Root::open(&path).and_then(|root| match &source {
            Source::Tree => walk(&root, &walk_options, count),
            Source::Below(named) => walk_named(&root, named, true, &walk_options, count),
            Source::Paths(named) => walk_named(&root, named, false, &walk_options, count),
        });
        // What went wrong is the push's own to tell.
        if walked.is_ok() {
            progress.total(paths, bytes);
        }
    });
    Some(measuring)
}

//! Every step of a write in turn fails once. Whatever the answer: what was acknowledged would outlive the power, what was not
//! has left nothing that is in the way, and trying again is enough.
//!
//! What would outlive the power is read off the steps themselves: bytes that were synced after they were written, and names whose
//! directory was synced after they were made, up to the root.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use n2s_domain::FailureKind;
use n2s_storage::{Put, Storage as _, StorageError, StorageExt as _, Stored};
use rustix::io::Errno;

use super::{Failing, Fault, Step, batches, files, open};
use crate::LocalStore;

/// A step that was taken, or failed.
#[derive(Debug)]
struct Taken {
    step: Step,
    path: PathBuf,
    inode: Option<u64>,
    failed: bool,
}

type Steps = Arc<Mutex<Vec<Taken>>>;

/// Writes down every step, and makes the one numbered `at` fail.
fn watch(disk: &Failing, at: usize, errno: Errno, trusted: bool) -> Steps {
    let steps = Steps::default();
    let seen = Arc::clone(&steps);
    disk.script(move |step, path| {
        let mut seen = seen.lock().unwrap();
        let distrusted = step == Step::Trust && !trusted;
        let failed = seen.len() == at || distrusted;
        let inode = std::fs::metadata(path).ok().map(|found| found.ino());
        seen.push(Taken { step, path: path.to_owned(), inode, failed });
        let sync = matches!(step, Step::Sync | Step::SyncVolume);
        if failed { Some(Fault::Error(errno)) } else { sync.then_some(Fault::Skipped) }
    });
    steps
}

/// Whether a step that succeeded, after the one at `from`, made sure of it.
fn synced(steps: &[Taken], from: usize, of: impl Fn(&Taken) -> bool) -> bool {
    steps[from..].iter().filter(|taken| !taken.failed).any(|taken| match taken.step {
        Step::SyncVolume => true,
        Step::Sync => of(taken),
        _ => false,
    })
}

/// Nothing of the object would be lost with the power.
fn outlives_the_power(store: &LocalStore, steps: &[Taken], put: &Put) {
    let target = store.0.path(&put.key);
    let inode = Some(std::fs::metadata(&target).unwrap().ino());
    let last = |of: &dyn Fn(&Taken) -> bool| steps.iter().rposition(|taken| !taken.failed && of(taken));
    let written = last(&|taken| taken.step == Step::Write && taken.inode == inode).expect("it was written");
    assert!(
        synced(steps, written, |taken| taken.inode == inode),
        "bytes of {}\n{steps:#?}",
        target.display()
    );
    let named = |path: &Path| {
        last(&|taken| match taken.step {
            Step::Rename | Step::Link => taken.path == path,
            // One that was there already was not made.
            Step::Create | Step::MakeDir => taken.path == path && taken.inode.is_none(),
            _ => false,
        })
    };
    for path in target.ancestors().take_while(|path| *path != store.0.root) {
        let (named, dir) = (named(path).expect("it was made"), path.parent().unwrap());
        assert!(synced(steps, named, |taken| taken.path == dir), "the name {}\n{steps:#?}", path.display());
    }
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Through,
    Fresh,
}

async fn store_by(store: &LocalStore, way: Way, puts: &[Put]) -> Vec<Result<Stored, StorageError>> {
    match way {
        Way::Through => store.store(puts.to_vec()).await,
        Way::Fresh => store.store_fresh(puts.to_vec()).await,
    }
}

/// One run with one fault; says whether there was such a step.
async fn fail_at(at: usize, errno: Errno, trusted: bool, (way, puts): (Way, &[Put])) -> bool {
    let (store, disk, _dir) = open();
    let steps = watch(&disk, at, errno, trusted);
    let answers = store_by(&store, way, puts).await;
    let reached = steps.lock().unwrap().len() > at;
    let (mut acknowledged, mut left) = (BTreeSet::new(), Vec::new());
    for (put, answer) in puts.iter().zip(answers) {
        match answer {
            Ok(_) => {
                assert_eq!(&store.get(put.key.clone()).await.unwrap(), put.body.bytes());
                outlives_the_power(&store, &steps.lock().unwrap(), put);
                acknowledged.insert(store.0.path(&put.key));
            }
            Err(error) => {
                assert_eq!(error.kind, FailureKind::Unavailable, "step {at} {}", error.report());
                left.push(put.clone());
            }
        }
    }
    // A name that is not on the disk for certain may stay; temporaries may not.
    let names: BTreeSet<_> = puts.iter().map(|put| store.0.path(&put.key)).collect();
    let found: BTreeSet<_> = files(&store).into_iter().collect();
    assert!(found.is_superset(&acknowledged) && found.is_subset(&names), "step {at} left {found:?}");
    assert!(store_by(&store, way, &left).await.iter().all(Result::is_ok), "step {at}, again");
    for put in &left {
        outlives_the_power(&store, &steps.lock().unwrap(), put);
    }
    super::all_there(&store, puts).await;
    reached
}

#[tokio::test]
async fn whichever_step_fails_what_was_acknowledged_outlives_the_power() {
    for puts in batches() {
        // Of many objects, not every step of every one.
        let stride = if puts.len() > 8 { 23 } else { 1 };
        for way in [Way::Through, Way::Fresh] {
            for (trusted, errno) in [(true, Errno::IO), (false, Errno::NOSPC)] {
                let mut at = 0;
                while fail_at(at, errno, trusted, (way, &puts)).await {
                    at += stride;
                }
                assert!(at >= 2 * puts.len() / stride * stride, "{way:?} took {at} steps");
            }
        }
    }
}

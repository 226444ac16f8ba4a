//! One step after another fails.

use std::path::Path;
use std::sync::{Arc, Mutex};

use n2s_domain::FailureKind;
use n2s_storage::{Storage as _, StorageExt as _};
use rustix::io::Errno;

use super::{Fault, Step, all_there, batches, files, kinds, open, put};

#[tokio::test]
async fn short_writes_are_continued() {
    for puts in batches() {
        let (store, disk, _dir) = open();
        disk.script(|step, _| (step == Step::Write).then_some(Fault::Short(7)));
        assert!(store.store(puts.clone()).await.iter().all(Result::is_ok));
        all_there(&store, &puts).await;
    }
}

#[tokio::test]
async fn a_failed_write_fails_one_object_alone_and_leaves_nothing() {
    let faults = [
        (Step::Create, Errno::IO),
        (Step::Create, Errno::MFILE),
        (Step::Write, Errno::IO),
        (Step::Write, Errno::NOSPC),
        (Step::Rename, Errno::IO),
        (Step::Rename, Errno::NOSPC),
    ];
    for puts in batches() {
        for (failing, errno) in faults {
            let (store, disk, _dir) = open();
            let mut passed = 0;
            disk.script(move |step, _| {
                passed += u32::from(step == failing);
                (step == failing && passed == 1).then_some(Fault::Error(errno))
            });
            let answers = store.store(puts.clone()).await;
            let failed: Vec<_> = kinds(&answers).into_iter().flatten().collect();
            assert_eq!(failed, [FailureKind::Unavailable], "{failing:?} {errno:?}");
            assert_eq!(files(&store).len(), puts.len() - 1, "{failing:?} left something");
            assert!(store.store(puts.clone()).await.iter().all(Result::is_ok));
            all_there(&store, &puts).await;
        }
    }
}

#[tokio::test]
async fn a_disk_that_takes_nothing_more_is_not_waited_for() {
    let (store, disk, _dir) = open();
    disk.script(|step, _| (step == Step::Write).then_some(Fault::Short(0)));
    let error = store.put(put(b"x")).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Unavailable, "{}", error.report());
    assert!(files(&store).is_empty());
}

#[tokio::test]
async fn bytes_that_could_not_be_synced_are_neither_acknowledged_nor_kept() {
    for puts in batches() {
        let (store, disk, _dir) = open();
        // The kernel tells once.
        let mut told = false;
        disk.script(move |step, path| {
            let waited_for = step == Step::SyncVolume || (step == Step::Sync && path.is_file());
            let tell = waited_for && !std::mem::replace(&mut told, true);
            tell.then_some(Fault::Error(Errno::IO))
        });
        let answers = store.store(puts.clone()).await;
        assert_eq!(kinds(&answers), vec![Some(FailureKind::Unavailable); puts.len()]);
        assert!(files(&store).is_empty(), "bytes in doubt were kept");
        assert!(store.store(puts.clone()).await.iter().all(Result::is_ok));
        all_there(&store, &puts).await;
    }
}

#[tokio::test]
async fn names_that_could_not_be_synced_are_not_acknowledged_however_often_it_is_tried() {
    for puts in batches() {
        let (store, disk, _dir) = open();
        disk.script(|step, path| {
            // Of each batch the bytes pass and the names fail; a second attempt has only names left.
            let names = match step {
                Step::Sync => path.is_dir(),
                Step::SyncVolume => path.join("blobs").is_dir() && has_objects(path),
                _ => false,
            };
            names.then_some(Fault::Error(Errno::IO))
        });
        for _ in 0..2 {
            let answers = store.store(puts.clone()).await;
            assert_eq!(kinds(&answers), vec![Some(FailureKind::Unavailable); puts.len()]);
        }
        disk.script(|_, _| None);
        assert!(store.store(puts.clone()).await.iter().all(Result::is_ok));
        all_there(&store, &puts).await;
    }
}

fn has_objects(root: &Path) -> bool {
    let dirs = std::fs::read_dir(root.join("blobs")).unwrap();
    dirs.map(|dir| dir.unwrap().path()).any(|dir| std::fs::read_dir(dir).unwrap().next().is_some())
}

#[tokio::test]
async fn directories_are_opened_before_anything_is_named_in_them() {
    for puts in batches() {
        let (store, disk, _dir) = open();
        let steps = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&steps);
        disk.script(move |step, _| {
            seen.lock().unwrap().push(step);
            None
        });
        assert!(store.store(puts).await.iter().all(Result::is_ok));
        let steps = steps.lock().unwrap();
        let first = steps.iter().position(|step| *step == Step::Rename).unwrap();
        let opened = steps.iter().rposition(|step| *step == Step::OpenDir).unwrap();
        assert!(opened < first, "{steps:?}");
    }
}

#[tokio::test]
async fn a_directory_that_vanishes_is_made_again_and_the_new_one_synced() {
    let (store, disk, dir) = open();
    let root = dir.path().join("store");
    let blob = put(b"x");
    let own = root.join(blob.key.as_str()).parent().unwrap().to_owned();
    let synced = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&synced);
    let mut there = true;
    disk.script(move |step, path| {
        if step == Step::Rename && std::mem::take(&mut there) {
            std::fs::remove_dir(&own).unwrap();
        }
        if matches!(step, Step::Sync | Step::SyncVolume) {
            seen.lock().unwrap().push((step, path.to_owned()));
        }
        None
    });
    store.put(blob.clone()).await.unwrap();
    assert!(synced.lock().unwrap().contains(&(Step::SyncVolume, root)), "{synced:?}");
    all_there(&store, &[blob]).await;
}

#[tokio::test]
async fn a_root_that_vanishes_is_not_made_again() {
    for puts in batches() {
        for vanishes_at in [Step::Create, Step::Rename] {
            let (store, disk, dir) = open();
            let (root, away) = (dir.path().join("store"), dir.path().join("away"));
            disk.script(move |step, _| {
                if step == vanishes_at && root.exists() {
                    std::fs::rename(&root, &away).unwrap();
                }
                None
            });
            let answers = store.store(puts.clone()).await;
            assert_eq!(
                kinds(&answers),
                vec![Some(FailureKind::Misconfigured); puts.len()],
                "{vanishes_at:?}"
            );
            assert!(!dir.path().join("store").exists());
        }
    }
}

/// As by a disk that is mounted over it: what is open then is another file system.
#[tokio::test]
async fn a_root_that_is_replaced_acknowledges_nothing() {
    for puts in batches() {
        let (store, disk, dir) = open();
        let (root, away) = (dir.path().join("store"), dir.path().join("away"));
        disk.script(move |step, _| {
            if step == Step::Create && !away.exists() {
                std::fs::rename(&root, &away).unwrap();
                std::fs::create_dir(&root).unwrap();
            }
            None
        });
        let answers = store.store(puts.clone()).await;
        assert_eq!(kinds(&answers), vec![Some(FailureKind::Unavailable); puts.len()]);
        assert!(store.store(puts.clone()).await.iter().all(Result::is_ok));
        all_there(&store, &puts).await;
    }
}

#[tokio::test]
async fn where_the_whole_cannot_be_synced_everything_is_synced_by_itself() {
    for puts in batches() {
        let (store, disk, _dir) = open();
        let synced = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&synced);
        disk.script(move |step, path| {
            assert_ne!(step, Step::SyncVolume);
            if step == Step::Sync {
                seen.lock().unwrap().push(path.to_owned());
            }
            (step == Step::Trust).then_some(Fault::Error(Errno::OPNOTSUPP))
        });
        assert!(store.store(puts.clone()).await.iter().all(Result::is_ok));
        all_there(&store, &puts).await;
        let synced = synced.lock().unwrap();
        let files = synced.iter().filter(|path| path.starts_with(store.0.root.join("tmp")));
        assert_eq!(files.count(), puts.len());
        for put in &puts {
            let path = store.0.path(&put.key);
            let above = path.ancestors().skip(1).take_while(|dir| dir.starts_with(&store.0.root));
            for dir in above {
                assert!(synced.iter().any(|path| path == dir), "{} was not synced", dir.display());
            }
        }
    }
}

#[tokio::test]
async fn fresh_objects_whose_bytes_or_names_could_not_be_synced_are_neither_acknowledged_nor_kept() {
    for puts in batches() {
        for failing in 1..=3 {
            let (store, disk, _dir) = open();
            let fired = Arc::new(Mutex::new(false));
            let (told, mut syncs) = (Arc::clone(&fired), 0);
            disk.script(move |step, _| {
                let sync = matches!(step, Step::SyncVolume | Step::Sync);
                syncs += u32::from(sync);
                let tell = sync && syncs == failing;
                *told.lock().unwrap() |= tell;
                tell.then_some(Fault::Error(Errno::IO))
            });
            let answers = store.store_fresh(puts.clone()).await;
            if *fired.lock().unwrap() {
                assert_eq!(
                    kinds(&answers),
                    vec![Some(FailureKind::Unavailable); puts.len()],
                    "sync {failing}"
                );
                assert!(files(&store).is_empty(), "bytes in doubt were kept");
            } else {
                assert!(puts.len() > 1 && failing > 1, "one sync is enough only for many");
                all_there(&store, &puts).await;
            }
        }
    }
}

#[tokio::test]
async fn a_fresh_object_that_cannot_be_written_fails_alone_and_leaves_nothing() {
    for puts in batches() {
        for failing in [Step::Create, Step::Write] {
            let (store, disk, _dir) = open();
            let mut passed = 0;
            disk.script(move |step, _| {
                passed += u32::from(step == failing);
                (step == failing && passed == 1).then_some(Fault::Error(Errno::NOSPC))
            });
            let answers = store.store_fresh(puts.clone()).await;
            assert_eq!(kinds(&answers).into_iter().flatten().count(), 1, "{failing:?}");
            assert_eq!(files(&store).len(), puts.len() - 1, "{failing:?} left something");
        }
    }
}

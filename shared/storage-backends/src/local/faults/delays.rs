//! Disks that hang, answers that come late, clocks that jump.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use n2s_domain::{Clock as _, FailureKind, SystemClock, Timestamp};
use n2s_storage::{Storage as _, StorageExt as _, TimedOut};

use super::super::OPERATIONS;
use super::super::disk::Kernel;
use super::{Fault, Step, all_there, batches, kinds, open, put};

const DAY: Duration = Duration::from_hours(24);

#[tokio::test]
async fn a_clock_that_jumps_back_a_day_sweeps_nothing_and_ahead_costs_an_attempt() {
    for puts in batches() {
        let (store, disk, _dir) = open();
        let swept = Arc::new(Mutex::new(Vec::new()));
        let (seen, sweeper) = (Arc::clone(&swept), store.clone());
        let mut jumped = false;
        disk.script(move |step, path| {
            // While the temporaries are there: the sweeper's hour, by a clock a day behind and then a day ahead.
            if (step == Step::SyncVolume || (step == Step::Sync && path.is_file()))
                && !std::mem::replace(&mut jumped, true)
            {
                let hour = 3_600_000_000;
                let day = i64::try_from(DAY.as_micros()).unwrap();
                for jump in [-day, day] {
                    let before = Timestamp::from_micros(SystemClock.now().as_micros() + jump - hour);
                    seen.lock().unwrap().push(sweeper.0.temps.sweep(&Kernel, before).unwrap());
                }
            }
            None
        });
        let answers = store.store(puts.clone()).await;
        assert_eq!(*swept.lock().unwrap(), [0, puts.len()]);
        assert_eq!(kinds(&answers), vec![Some(FailureKind::Unavailable); puts.len()]);
        assert!(store.store(puts.clone()).await.iter().all(Result::is_ok));
        all_there(&store, &puts).await;
    }
}

#[tokio::test]
async fn a_put_that_succeeds_after_its_deadline_does_no_harm() {
    for puts in batches() {
        let (store, disk, _dir) = open();
        let (gate, closed) = mpsc::channel();
        let (hanging, hangs) = tokio::sync::oneshot::channel();
        let mut first = Some((closed, hanging));
        disk.script(move |step, _| {
            let (closed, hanging) =
                if matches!(step, Step::Sync | Step::SyncVolume) { first.take()? } else { return None };
            hanging.send(()).unwrap();
            Some(Fault::Wait(closed))
        });
        let timed = TimedOut::new(Arc::new(store.clone()), Duration::from_millis(10));
        let answers = timed.store(puts.clone()).await;
        assert_eq!(kinds(&answers), vec![Some(FailureKind::Unavailable); puts.len()]);
        // The deadline may pass before the disk has hung: then the next attempt would hang instead.
        hangs.await.unwrap();
        // The next attempt arrives first; then the late one finds its names taken.
        assert!(store.store(puts.clone()).await.iter().all(Result::is_ok));
        drop(gate);
        drop(store.0.turns.acquire_many(u32::try_from(OPERATIONS).unwrap()).await.unwrap());
        all_there(&store, &puts).await;
    }
}

#[test]
fn a_disk_that_hangs_leaves_threads_for_the_others() {
    let threads = 40;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.max_blocking_threads(threads).worker_threads(2).enable_all();
    runtime.build().unwrap().block_on(async {
        let (hanging, disk, _dir) = open();
        let gates = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&gates);
        disk.script(move |_, _| {
            let (gate, closed) = mpsc::channel();
            kept.lock().unwrap().push(gate);
            Some(Fault::Wait(closed))
        });
        let hung: Vec<_> = (0..100u8)
            .map(|n| {
                let timed = TimedOut::new(Arc::new(hanging.clone()), Duration::from_millis(10));
                tokio::spawn(async move { timed.put(put(&[n])).await })
            })
            .collect();
        for put in hung {
            assert_eq!(put.await.unwrap().unwrap_err().kind, FailureKind::Unavailable);
        }
        let (other, _, _dir) = open();
        let other = TimedOut::new(Arc::new(other), Duration::from_secs(30));
        let answer = other.put(put(b"x")).await;
        disk.script(|_, _| None);
        gates.lock().unwrap().clear();
        answer.unwrap();
    });
}

//! Work for processors: hashing and sealing.
//!
//! It runs on one thread per core. Rejected: the runtime's threads for blocking calls, of which there may be hundreds, each
//! keeping memory of its own; they are for what waits for disks.

use std::sync::LazyLock;

/// Does it on a core, as soon as one is free.
pub(crate) async fn on_a_core<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    rayon::spawn(move || {
        // Nobody waits for it when the push has failed.
        drop(sender.send(work()));
    });
    receiver.await.expect("hashing and sealing do not panic")
}

/// How many there are. The system is asked once: it reads files to tell.
pub(crate) fn cores() -> usize {
    static CORES: LazyLock<usize> =
        LazyLock::new(|| std::thread::available_parallelism().map_or(2, std::num::NonZero::get));
    *CORES
}

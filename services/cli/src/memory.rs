//! How the C library's allocator keeps memory.
//!
//! glibc gives threads arenas of their own, up to eight per core, and each keeps what its threads gave back: with blobs of up to
//! 16 MiB passing from thread to thread, a push of one large file held 440 MB where 160 were in use, and one of 20,000 small files
//! 160 where 70 were. One arena costs nothing measurable: blobs are few, and small allocations are cached per thread anyway.
//! Rejected: mimalloc, which held three times as much; a threshold from which memory is always given back, which costs a fault for
//! every page of every blob.

/// Makes all threads share one arena. Call it before there are any.
pub fn one_arena() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "the only call of it: it sets a number, and no other thread exists yet")]
    // Failing leaves things as they are.
    let _ = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

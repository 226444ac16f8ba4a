//! What a server does with a condition and with a checksum, found out once for each store at its first put.
//!
//! Neither is believed from an answer of 200. Some servers take `If-None-Match: *` and overwrite; some take a checksum they do not
//! know and ignore it. So the key `probe` is written as it should be, then with a wrong checksum, then on condition that it is
//! not there. It holds the same bytes each time, and the same as a health check writes: nobody can find it in a wrong state.

use super::Inner;
use super::failure::Failure;
use super::put::{PROBE, Request};

/// How the server is to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Habits {
    /// What proves to the server that it got the bytes.
    pub proof: Proof,
    /// Whether `If-None-Match: *` keeps an object from being overwritten.
    pub conditional: bool,
}

/// What proves to a server that it got the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// A CRC-32 in a signed header: next to no work, and the default where the server checks it.
    Crc32,
    /// The signature over their SHA-256, which every server has to check: 1.9 GB/s of a core.
    Sha256,
    /// A CRC-32 of other bytes, which the server has to refuse.
    WrongCrc32,
}

impl Inner {
    pub(super) async fn habits(&self) -> Result<Habits, Failure> {
        self.habits.get_or_try_init(|| self.probe_habits()).await.copied()
    }

    async fn probe_habits(&self) -> Result<Habits, Failure> {
        let write = |proof, if_absent| self.write(Request { proof, if_absent, ..Request::probe(PROBE) });
        let proof = match write(Proof::Crc32, false).await {
            Err(failure) if !is_refusal(&failure) => return Err(failure),
            Err(_) => Proof::Sha256,
            Ok(_) => match write(Proof::WrongCrc32, false).await {
                Err(failure) if is_refusal(&failure) => Proof::Crc32,
                Err(failure) => return Err(failure),
                Ok(_) => Proof::Sha256,
            },
        };
        if proof == Proof::Sha256 {
            write(proof, false).await?;
        }
        let conditional = match write(proof, true).await {
            Err(failure) if matches!(failure.status, Some(409 | 412)) => true,
            Err(failure) if !is_refusal(&failure) => return Err(failure),
            _ => false,
        };
        Ok(Habits { proof, conditional })
    }
}

/// Whether the server refused this manner of asking. A refusal for another reason meets the next request just so, and is reported then.
fn is_refusal(failure: &Failure) -> bool {
    matches!(failure.status, Some(400 | 403 | 405 | 411 | 501))
}

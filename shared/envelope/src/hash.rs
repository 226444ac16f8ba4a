//! BLAKE3, as everything here uses it.

use n2s_domain::{ContentHash, SealedHash};

/// Pieces this long are worth spreading over all cores.
const PARALLEL_BYTES_MIN: usize = 1024 * 1024;

/// The identity of a plaintext.
pub fn content_hash(plaintext: &[u8]) -> ContentHash {
    ContentHash(*blake3::hash(plaintext).as_bytes())
}

/// The name of a sealed object.
pub fn sealed_hash(bytes: &[u8]) -> SealedHash {
    SealedHash(*blake3::hash(bytes).as_bytes())
}

/// The hash of a whole file that is read in pieces: what `b3sum` prints.
#[derive(Clone, Debug, Default)]
pub struct WholeFileHasher(blake3::Hasher);

impl WholeFileHasher {
    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        if piece.len() >= PARALLEL_BYTES_MIN {
            self.0.update_rayon(piece);
        } else {
            self.0.update(piece);
        }
    }

    /// The hash of all pieces.
    pub fn finish(&self) -> ContentHash {
        ContentHash(*self.0.finalize().as_bytes())
    }
}

//! The other side over HTTP: the same three seams, so that a push or pull does not know where it talks to.
//!
//! What can be repeated is repeated with backoff when the connection is lost, when the server is restarted, and when it asks for less
//! (429, 503, Retry-After): every call of the seam is safe to repeat, and `open` carries an idempotency key. Blobs are the exception
//! worth care: after a doubtful end the server is asked which of them it has, so that no accepted blob is sent twice.
//!
//! Plain HTTP carries the token in the clear, so it is for loopback unless explicitly allowed. Redirects are not followed: a token is
//! for the server it was made on.

mod call;
mod connect;
mod operator;
mod parcel;
mod producer;
mod proving;
mod reader;

use std::fmt;

pub use connect::{HttpError, HttpOptions, Secret};

use crate::wire::calls::VaultObjects;
use call::Line;

/// A server.
pub struct Remote {
    line: Line,
    /// Registered before a push is opened.
    vault: Option<(n2s_domain::VaultId, VaultObjects)>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("server", &self.line.server()).finish_non_exhaustive()
    }
}

impl Remote {
    /// The server of these options. Nothing is sent yet.
    pub fn new(options: &HttpOptions) -> Result<Self, HttpError> {
        Ok(Self { line: connect::connect(options)?, vault: None })
    }

    /// The same with the vault that seals pushes.
    #[must_use]
    pub fn with_vault(mut self, vault: &n2s_envelope::Vault) -> Self {
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        let epochs = vault.wrapped_epochs();
        let epochs = epochs.iter().map(|(epoch, object)| (*epoch, hex(object))).collect();
        self.vault = Some((vault.id(), VaultObjects { marker: hex(&vault.marker()), epochs }));
        self
    }
}

//! Whether a broker still is the one it was. Only a broker outside the process can forget.

use std::fmt;

use async_trait::async_trait;

/// What became of a broker since a mark was left with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remembers {
    /// It is the one it was.
    All,
    /// It knows nothing of the mark: whatever was queued is lost.
    Nothing,
}

/// A queue that can be asked whether it was wiped.
#[async_trait]
pub trait Memory: fmt::Debug + Send + Sync + 'static {
    /// Whether the mark is still there. An error says nothing about it.
    async fn recall(&self, mark: &str) -> anyhow::Result<Remembers>;

    /// Leaves a mark (1 to 100 letters, digits and dashes), which lives as long as what is queued does. Leaving it again is a success.
    async fn leave(&self, mark: &str) -> anyhow::Result<()>;
}

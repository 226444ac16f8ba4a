//! A connection of the pool, for the length of one call, and the transaction on it.
//!
//! A link between machines can go silent without an end: packets are dropped, and no reset ever comes. The kernel gives such a connection up after a
//! quarter of an hour, and the driver has no other limit. So every call has a time by which it ends, and its connection goes back to
//! the pool only after the server has answered on it once more, within seconds; else it is closed without a word. Once the server was silent,
//! connections older than that are not used again, so that a link that heals is used at once, whatever became of the connections through it.
//!
//! Rejected: the driver's own transaction, which holds its connection in a way that nobody can close, and gives it back inside a transaction if `begin`
//! is cut short (sqlx 0.9.0); and its giving back, which waits for an answer without end and keeps one of the pool's places meanwhile. Rejected, too,
//! TCP's own means (`TCP_USER_TIMEOUT`, keepalives): they would be better, but the driver lets nobody at its sockets. The server's end has
//! them (see `options`), and looks for us while it works (see `connect`), so that what a lost process held falls free.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool, Postgres, SqlSafeStr};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::error::Fail;
use crate::gauges::{Gauges, Waiting};

/// What a server takes that answers at all to "are you there", and to a rollback.
const WORD_MAX: Duration = Duration::from_secs(3);

/// What a pool's links have in common.
#[derive(Debug)]
pub(crate) struct Links {
    pool: PgPool,
    gauges: Arc<Gauges>,
    silence: Arc<Silence>,
}

impl Links {
    pub(crate) fn new(pool: PgPool, gauges: Gauges, silence: Arc<Silence>) -> Self {
        Self { pool, gauges: Arc::new(gauges), silence }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// A connection for statements that need not agree with each other.
    pub(crate) async fn link(&self) -> Result<Link, Fail> {
        let waiting = Waiting::on(&self.gauges);
        // Boxed: it is some 15 KiB, which every call would carry.
        let connection = Box::pin(self.pool.acquire()).await?;
        drop(waiting);
        self.gauges.taken(self.pool.num_idle());
        let gauges = Arc::clone(&self.gauges);
        Ok(Link { connection: Some(connection), open: false, gauges, pool: self.pool.clone() })
    }

    /// A transaction, begun with these words.
    pub(crate) async fn begin(&self, words: impl SqlSafeStr + Send) -> Result<Tx, Fail> {
        let mut link = self.link().await?;
        // Before the server is asked: who is dropped in between has it rolled back all the same.
        link.open = true;
        link.execute(words).await?;
        Ok(link)
    }

    /// Lets a call take so long and no longer.
    pub(crate) async fn within<T>(
        &self,
        patience: Duration,
        call: impl Future<Output = Result<T, Fail>>,
    ) -> Result<T, Fail> {
        timeout(patience, call).await.unwrap_or_else(|_| Err(self.unheard(patience)))
    }

    /// A call is given up that has heard nothing for so long.
    pub(crate) fn unheard(&self, patience: Duration) -> Fail {
        self.silence.note(Instant::now());
        self.gauges.unanswered();
        Fail::Silent(patience)
    }
}

/// See the module. Dropped, it goes back to the pool; with a transaction that was not committed, that one is rolled back first.
pub(crate) struct Link {
    /// `None` only while it is dropped.
    connection: Option<PoolConnection<Postgres>>,
    /// Whether a transaction may be open.
    open: bool,
    gauges: Arc<Gauges>,
    pool: PgPool,
}

/// A link on which a transaction was begun.
pub(crate) type Tx = Link;

impl Link {
    pub(crate) async fn commit(mut self) -> Result<(), Fail> {
        self.execute("COMMIT").await?;
        self.open = false;
        Ok(())
    }
}

const HELD: &str = "only dropping takes it";

impl Deref for Link {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection.as_ref().expect(HELD)
    }
}

impl DerefMut for Link {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect(HELD)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let (open, gauges, pool) = (self.open, Arc::clone(&self.gauges), self.pool.clone());
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                give_back(connection, open).await;
                gauges.returned(pool.num_idle());
            })),
            // The process is at its end.
            Err(_) => drop(connection.detach()),
        }
    }
}

/// To the pool if the server still answers on it, else it is closed without a word: one of those could wait as well.
async fn give_back(mut connection: PoolConnection<Postgres>, open: bool) {
    if open && !matches!(timeout(WORD_MAX, connection.execute("ROLLBACK")).await, Ok(Ok(_))) {
        drop(connection.detach());
        return;
    }
    // The driver asks before it takes it back. Cut short, this closes the connection and frees its place.
    let _ = timeout(WORD_MAX, connection.return_to_pool()).await;
}

/// When the server was last found silent.
#[derive(Debug)]
pub(crate) struct Silence {
    base: Instant,
    /// Microseconds since `base`; zero while it never was.
    noted: AtomicU64,
}

impl Silence {
    pub(crate) fn new() -> Self {
        Self { base: Instant::now(), noted: AtomicU64::new(0) }
    }

    fn note(&self, now: Instant) {
        self.noted.fetch_max(self.micros(now), Ordering::Relaxed);
    }

    /// Whether a connection that is of this age is from before.
    fn doubts(&self, age: Duration, now: Instant) -> bool {
        now.checked_sub(age).map_or(0, |made| self.micros(made)) < self.noted.load(Ordering::Relaxed)
    }

    fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.base).as_micros()).unwrap_or(u64::MAX)
    }

    /// Whether an idle connection may be used: it is not from before a silence, and, if it was idle for long, the server answers on it.
    pub(crate) async fn passes(
        &self,
        connection: &mut PgConnection,
        (age, stale): (Duration, bool),
    ) -> Result<bool, sqlx::Error> {
        if self.doubts(age, Instant::now()) {
            return Ok(false);
        }
        if !stale {
            return Ok(true);
        }
        let Ok(answer) = timeout(WORD_MAX, connection.ping()).await else {
            self.note(Instant::now());
            return Ok(false);
        };
        answer.map(|()| true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn only_connections_from_before_a_silence_are_doubted() {
        let silence = Silence::new();
        let at = |ms| silence.base + MS * ms;
        assert!(!silence.doubts(Duration::ZERO, at(9)) && !silence.doubts(Duration::from_hours(1), at(9)));
        silence.note(at(10));
        assert!(silence.doubts(MS, at(10)) && silence.doubts(Duration::from_hours(1), at(10)));
        assert!(silence.doubts(MS * 6, at(15)) && !silence.doubts(MS * 5, at(15)));
        assert!(!silence.doubts(Duration::ZERO, at(10)), "a new one");
    }
}

//! What happens to one connection, and to each byte on it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

const CHUNK_BYTES: usize = 64 * 1024;
/// What may be on its way in one direction of a connection: 32 MiB, 12 Gbit/s at 20 ms.
const CHUNKS: usize = 512;
const NO_END: u64 = u64::MAX;

/// What all connections of a proxy have in common.
#[derive(Debug)]
pub(super) struct Link {
    target: SocketAddr,
    pub state: watch::Sender<State>,
    /// How many more bytes go through before the link cuts itself.
    left: AtomicU64,
    delay_micros: AtomicU64,
    pub connections: AtomicU64,
    pub bytes: AtomicU64,
    pub reset: AtomicU64,
    pub held: AtomicU64,
}

/// What a test has done to the link.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    pub cut: bool,
    pub stalled: bool,
    /// How often it was cut: a connection that missed the moment knows by this number.
    pub cuts: u64,
    /// How often its connections were stranded: older ones stay silent.
    pub strands: u64,
}

impl Link {
    pub(super) fn to(target: SocketAddr) -> Self {
        Self {
            target,
            state: watch::Sender::new(State::default()),
            left: AtomicU64::new(NO_END),
            delay_micros: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            reset: AtomicU64::new(0),
            held: AtomicU64::new(0),
        }
    }

    pub(super) fn cut(&self) {
        self.state.send_modify(|state| (state.cut, state.cuts) = (true, state.cuts + 1));
    }

    pub(super) fn cut_after(&self, bytes: u64) {
        self.left.store(bytes, Ordering::SeqCst);
    }

    pub(super) fn heal(&self) {
        self.cut_after(NO_END);
        self.state.send_modify(|state| (state.cut, state.stalled) = (false, false));
    }

    pub(super) fn set_delay(&self, each_way: Duration) {
        let micros = u64::try_from(each_way.as_micros()).unwrap();
        self.delay_micros.store(micros, Ordering::SeqCst);
    }

    fn delay(&self) -> Duration {
        Duration::from_micros(self.delay_micros.load(Ordering::SeqCst))
    }

    /// Waits while the link is stalled; for ever on a connection that was made before so many strandings, if there were more since.
    async fn flowing(&self, strands: u64) {
        let mut state = self.state.subscribe();
        let flows = |state: &State| !state.stalled && state.strands == strands;
        if !flows(&state.borrow()) {
            self.held.fetch_add(1, Ordering::SeqCst);
            // The sender lives as long as this link.
            let _ = state.wait_for(flows).await;
        }
    }

    /// How many of so many bytes may still pass.
    fn spend(&self, bytes: usize) -> usize {
        let wanted = u64::try_from(bytes).unwrap();
        let spent = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            (left != NO_END).then(|| left.saturating_sub(wanted))
        });
        spent.map_or(bytes, |left| usize::try_from(left.min(wanted)).unwrap())
    }
}

/// Takes connections for as long as the proxy lives.
pub(super) async fn accept(link: Arc<Link>, listener: TcpListener) {
    loop {
        // A process out of files gets them back when connections end.
        let Ok((client, _)) = listener.accept().await else { continue };
        link.connections.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(carry(Arc::clone(&link), client));
    }
}

/// One connection, from its beginning to its end.
async fn carry(link: Arc<Link>, mut client: TcpStream) {
    let mut state = link.state.subscribe();
    let now = *state.borrow();
    let cut = async {
        // The sender lives as long as this link.
        let _ = state.wait_for(|state| state.cut || state.cuts > now.cuts).await;
    };
    let mut server = None;
    let ended = tokio::select! {
        biased;
        () = cut => {
            link.reset.fetch_add(1, Ordering::SeqCst);
            Err(io::ErrorKind::ConnectionReset.into())
        }
        ended = forward(&link, now.strands, &mut client, &mut server) => ended,
    };
    // One side's reset is the other's, too: an end in order would look like the whole of an answer.
    if ended.is_err() {
        for stream in [Some(&client), server.as_ref()].into_iter().flatten() {
            let _ = stream.set_zero_linger();
        }
    }
}

async fn forward(
    link: &Link,
    strands: u64,
    client: &mut TcpStream,
    server: &mut Option<TcpStream>,
) -> io::Result<()> {
    let ready = Instant::now() + 2 * link.delay();
    link.flowing(strands).await;
    let server = server.insert(TcpStream::connect(link.target).await?);
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let there = pass(link, (ready, strands), from_client, to_server);
    let back = pass(link, (ready, strands), from_server, to_client);
    tokio::try_join!(there, back).map(drop)
}

/// One direction, to its end, which is passed on.
async fn pass(
    link: &Link,
    (ready, strands): (Instant, u64),
    from: ReadHalf<'_>,
    to: WriteHalf<'_>,
) -> io::Result<()> {
    let (sent, arriving) = mpsc::channel(CHUNKS);
    tokio::try_join!(take(link, (ready, strands), from, sent), give(link, strands, arriving, to)).map(drop)
}

type Chunk = (Instant, Vec<u8>);

async fn take(
    link: &Link,
    (ready, strands): (Instant, u64),
    mut from: ReadHalf<'_>,
    sent: mpsc::Sender<Chunk>,
) -> io::Result<()> {
    loop {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        if from.read_buf(&mut chunk).await? == 0 {
            let stranded = link.state.borrow().strands != strands;
            return if stranded { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) };
        }
        let due = Instant::now().max(ready) + link.delay();
        // The other end lives as long as this one.
        let _ = sent.send((due, chunk)).await;
    }
}

async fn give(
    link: &Link,
    strands: u64,
    mut arriving: mpsc::Receiver<Chunk>,
    mut to: WriteHalf<'_>,
) -> io::Result<()> {
    while let Some((due, chunk)) = arriving.recv().await {
        if due > Instant::now() {
            sleep_until(due).await;
        }
        link.flowing(strands).await;
        let may = link.spend(chunk.len());
        to.write_all(&chunk[..may]).await?;
        link.bytes.fetch_add(u64::try_from(may).unwrap(), Ordering::SeqCst);
        if may < chunk.len() {
            link.cut();
            std::future::pending::<()>().await;
        }
    }
    link.flowing(strands).await;
    to.shutdown().await
}

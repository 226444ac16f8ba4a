//! A link that a test can break: a TCP proxy in front of a server.
//!
//! It forwards bytes and understands none, so one is enough for every protocol. toxiproxy does the same as a program that would have to be
//! installed and spoken to over HTTP; `tc netem` needs root and is about packets, of which TCP repairs what it can.
//!
//! While the link is cut, connections are accepted and reset, not refused: the port stays this proxy's own, and no other test's server can
//! be found behind it. A stalled link loses nothing: what waits goes on when it is healed, as TCP's would.
//!
//! It counts what it did, so that a test can show that its fault happened.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

const CHUNK_BYTES: usize = 64 * 1024;
/// What may be on its way in one direction of a connection: 32 MiB, 12 Gbit/s at 20 ms.
const CHUNKS: usize = 512;
const NO_END: u64 = u64::MAX;

/// A running proxy; its connections are reset when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    link: Arc<Link>,
    port: u16,
    /// Dropped from within another runtime, it is left to end in the background.
    runtime: Option<Runtime>,
}

#[derive(Debug)]
struct Link {
    target: SocketAddr,
    state: watch::Sender<State>,
    /// How many more bytes go through before the link cuts itself.
    left: AtomicU64,
    delay_micros: AtomicU64,
    connections: AtomicU64,
    bytes: AtomicU64,
    reset: AtomicU64,
    held: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    cut: bool,
    stalled: bool,
    /// How often it was cut: a connection that missed the moment knows by this number.
    cuts: u64,
    /// How often its connections were stranded: older ones stay silent.
    strands: u64,
}

impl Proxy {
    /// Starts one on a free port, in front of a server on this port of the loopback address.
    pub fn to(port: u16) -> Self {
        Self::to_address(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    /// The same in front of a server anywhere.
    pub fn to_address(target: SocketAddr) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        // The kernel's choice, not `free_port`: the socket is there at once, and nobody can take the port in between.
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        let link = Arc::new(Link {
            target,
            state: watch::Sender::new(State::default()),
            left: AtomicU64::new(NO_END),
            delay_micros: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            reset: AtomicU64::new(0),
            held: AtomicU64::new(0),
        });
        runtime.spawn(accept(Arc::clone(&link), listener));
        Self { link, port, runtime: Some(runtime) }
    }

    /// Starts one in front of the server of a URL that names it as `127.0.0.1:PORT`, and returns it with the URL that leads through it.
    pub fn before(url: &str) -> (Self, String) {
        let (before, after) = url.split_once("127.0.0.1:").expect("the URL names 127.0.0.1 and a port");
        let digits = after.find(|byte: char| !byte.is_ascii_digit()).unwrap_or(after.len());
        let proxy = Self::to(after[..digits].parse().unwrap());
        let through = format!("{before}127.0.0.1:{}{}", proxy.port, &after[digits..]);
        (proxy, through)
    }

    /// Where it listens, on the loopback address.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Resets every connection, and from now on each new one as soon as it is made.
    pub fn cut(&self) {
        self.link.cut();
    }

    /// Resets every connection; new ones pass.
    pub fn reset(&self) {
        self.link.state.send_modify(|state| state.cuts += 1);
    }

    /// Cuts the link when so many more bytes, of both directions together, have gone through: those and not one more.
    pub fn cut_after(&self, bytes: u64) {
        self.link.left.store(bytes, Ordering::SeqCst);
    }

    /// Forwards nothing from now on, in either direction. Connections stay open, and new ones are accepted.
    pub fn stall(&self) {
        self.link.state.send_modify(|state| state.stalled = true);
    }

    /// Forwards nothing more on the connections there are, ever, and tells neither end: what a firewall does that forgot them. New ones pass. When
    /// one end gives such a connection up, the other is reset, as its keepalives would have it after a while.
    pub fn strand(&self) {
        self.link.state.send_modify(|state| state.strands += 1);
    }

    /// Ends [`Self::cut`], [`Self::cut_after`] and [`Self::stall`]. The delay stays.
    pub fn heal(&self) {
        self.link.left.store(NO_END, Ordering::SeqCst);
        self.link.state.send_modify(|state| (state.cut, state.stalled) = (false, false));
    }

    /// Lets every byte take so much longer, in each direction; a connection's first, a round trip more, as its handshake would. What is on
    /// its way keeps its time.
    pub fn delay(&self, each_way: Duration) {
        let micros = u64::try_from(each_way.as_micros()).unwrap();
        self.link.delay_micros.store(micros, Ordering::SeqCst);
    }

    /// How many connections were made, those included that were reset at once.
    pub fn connections(&self) -> u64 {
        self.link.connections.load(Ordering::SeqCst)
    }

    /// How many bytes it forwarded, both directions together.
    pub fn bytes(&self) -> u64 {
        self.link.bytes.load(Ordering::SeqCst)
    }

    /// How many connections it has reset on purpose, open ones and new ones.
    pub fn reset_connections(&self) -> u64 {
        self.link.reset.load(Ordering::SeqCst)
    }

    /// How often a stall or a stranding held something back: a new connection, or bytes that had come.
    pub fn held_back(&self) -> u64 {
        self.link.held.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Link {
    fn cut(&self) {
        self.state.send_modify(|state| (state.cut, state.cuts) = (true, state.cuts + 1));
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

async fn accept(link: Arc<Link>, listener: TcpListener) {
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

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::thread::{JoinHandle, spawn};

    use super::*;

    /// Sends back what it is sent, on every connection, until the end of it.
    fn echo() -> (Proxy, JoinHandle<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = Proxy::to(listener.local_addr().unwrap().port());
        let serve = move || {
            for mut stream in listener.incoming().map(Result::unwrap) {
                spawn(move || {
                    let mut buffer = [0; 1 << 12];
                    while let Ok(read @ 1..) = stream.read(&mut buffer) {
                        if stream.write_all(&buffer[..read]).is_err() {
                            break;
                        }
                    }
                });
            }
        };
        (proxy, spawn(serve))
    }

    fn connect(proxy: &Proxy) -> TcpStream {
        TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap()
    }

    fn said(stream: &mut TcpStream, word: &[u8; 4]) -> io::Result<[u8; 4]> {
        let mut answer = [0; 4];
        stream.write_all(word)?;
        stream.read_exact(&mut answer).map(|()| answer)
    }

    #[test]
    fn bytes_pass_and_are_counted_and_the_end_is_passed_on() {
        let (proxy, _echo) = echo();
        let mut stream = connect(&proxy);
        let sent: Vec<u8> = (0..3_000_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let mut writer = stream.try_clone().unwrap();
        let copy = sent.clone();
        let writing = spawn(move || {
            writer.write_all(&copy).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        writing.join().unwrap();
        assert!(back == sent);
        assert_eq!((proxy.connections(), proxy.bytes(), proxy.reset_connections()), (1, 6_000_000, 0));
    }

    #[test]
    fn a_cut_resets_what_is_open_and_what_comes_until_it_is_healed() {
        let (proxy, _echo) = echo();
        let mut open = connect(&proxy);
        assert_eq!(&said(&mut open, b"once").unwrap(), b"once");
        proxy.cut();
        assert_eq!(open.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        // Reset while it is made, or at its first word.
        let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port()));
        assert!(refused.and_then(|mut stream| said(&mut stream, b"more")).is_err());
        proxy.heal();
        assert_eq!(&said(&mut connect(&proxy), b"then").unwrap(), b"then");
        assert_eq!((proxy.connections(), proxy.reset_connections()), (3, 2));
        proxy.reset();
        assert_eq!(&said(&mut connect(&proxy), b"last").unwrap(), b"last");
    }

    #[test]
    fn a_stall_holds_everything_back_and_loses_nothing() {
        let (proxy, _echo) = echo();
        let mut open = connect(&proxy);
        assert_eq!(&said(&mut open, b"once").unwrap(), b"once");
        proxy.stall();
        open.write_all(b"late").unwrap();
        let mut new = connect(&proxy);
        new.write_all(b"new!").unwrap();
        while proxy.held_back() < 2 {
            std::thread::yield_now();
        }
        assert_eq!(proxy.bytes(), 8);
        proxy.heal();
        for (stream, word) in [(&mut open, b"late"), (&mut new, b"new!")] {
            let mut answer = [0; 4];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, word);
        }
    }

    #[test]
    fn what_was_stranded_stays_silent_and_new_ones_pass() {
        let (proxy, _echo) = echo();
        let mut old = connect(&proxy);
        assert_eq!(&said(&mut old, b"once").unwrap(), b"once");
        proxy.strand();
        old.write_all(b"lost").unwrap();
        assert_eq!(&said(&mut connect(&proxy), b"then").unwrap(), b"then");
        proxy.heal();
        while proxy.held_back() < 1 {
            std::thread::yield_now();
        }
        assert_eq!(proxy.bytes(), 16);
        old.set_nonblocking(true).unwrap();
        assert_eq!(old.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_link_cuts_itself_after_so_many_bytes_exactly() {
        let (proxy, _echo) = echo();
        let mut stream = connect(&proxy);
        // A word there and back, another one there, and one byte of it back.
        proxy.cut_after(13);
        assert_eq!(&said(&mut stream, b"once").unwrap(), b"once");
        assert_eq!(said(&mut stream, b"more").unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(proxy.bytes(), 13);
        proxy.heal();
        assert!(said(&mut connect(&proxy), b"more").is_ok());
    }

    #[test]
    fn a_delay_is_paid_each_way_and_once_more_for_the_handshake() {
        let (proxy, _echo) = echo();
        let each_way = Duration::from_millis(30);
        proxy.delay(each_way);
        let mut stream = connect(&proxy);
        for (word, ways) in [(b"1st.", 4), (b"2nd.", 2)] {
            let start = std::time::Instant::now();
            assert_eq!(&said(&mut stream, word).unwrap(), word);
            assert!(start.elapsed() >= ways * each_way, "{:?}", start.elapsed());
        }
    }

    #[test]
    fn a_server_that_is_away_is_a_reset() {
        let proxy = Proxy::to(crate::free_port());
        let mut stream = connect(&proxy);
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn a_url_leads_through_it() {
        let (proxy, url) = Proxy::before("amqp://guest:guest@127.0.0.1:5672/v1");
        assert_eq!(url, format!("amqp://guest:guest@127.0.0.1:{}/v1", proxy.port()));
        let (proxy, url) = Proxy::before("http://127.0.0.1:80");
        assert_eq!(url, format!("http://127.0.0.1:{}", proxy.port()));
    }
}

//! A link that a test can break: a TCP proxy in front of a server.
//!
//! It forwards bytes and understands none, so one is enough for every protocol. toxiproxy does the same as a program that would have to be
//! installed and spoken to over HTTP; `tc netem` needs root and is about packets, of which TCP repairs what it can.
//!
//! While the link is cut, connections are accepted and reset, not refused: the port stays this proxy's own, and no other test's server can
//! be found behind it. A stalled link loses nothing: what waits goes on when it is healed, as TCP's would.
//!
//! It counts what it did, so that a test can show that its fault happened.

mod link;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use link::Link;

/// A running proxy; its connections are reset when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    link: Arc<Link>,
    port: u16,
    /// Dropped from within another runtime, it is left to end in the background.
    runtime: Option<Runtime>,
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
        let link = Arc::new(Link::to(target));
        runtime.spawn(link::accept(Arc::clone(&link), listener));
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
        self.link.cut_after(bytes);
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
        self.link.heal();
    }

    /// Lets every byte take so much longer, in each direction; a connection's first, a round trip more, as its handshake would. What is on
    /// its way keeps its time.
    pub fn delay(&self, each_way: Duration) {
        self.link.set_delay(each_way);
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

#[cfg(test)]
mod tests {
    use std::io::{self, Read as _, Write as _};
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

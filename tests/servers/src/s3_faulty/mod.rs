//! A proxy in front of an S3 server that misbehaves as a test tells it to.
//!
//! `s3_scripted` invents every answer, which is right for one request of one client; here the server behind is a real one, so that a whole
//! product can work with it, and only what a rule names goes wrong. A TCP proxy cannot do this: it knows neither a request's end nor its
//! object. One request per connection, both ways: an answer then ends where its connection does, and no framing has to be understood.
//!
//! It counts each fault by its name and by the object it happened to, so that a test can show that its fault happened, and that nobody paid for
//! more failures than there were.

mod rule;
mod spoiled;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

use rule::Active;
pub use rule::{Fault, Rule};
use spoiled::{body_at, corrupted, error, misnamed, truncated};

#[derive(Debug, Default)]
struct State {
    rules: Vec<Active>,
    injected: BTreeMap<&'static str, u64>,
    harmed: BTreeMap<String, u64>,
    asked: BTreeMap<String, u64>,
    in_flight: BTreeMap<String, u64>,
}

/// A running proxy; gone when dropped.
#[derive(Debug)]
pub struct Faulty {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    /// Dropped from within another runtime, it is left to end in the background.
    runtime: Option<Runtime>,
}

impl Faulty {
    /// Starts one in front of the server at `http://…`.
    pub fn before(endpoint: &str) -> Self {
        let server: SocketAddr = endpoint.strip_prefix("http://").unwrap().parse().unwrap();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        runtime.spawn(async move {
            loop {
                // A process out of files gets them back when connections end.
                let Ok((client, _)) = listener.accept().await else { continue };
                tokio::spawn(converse(client, server, Arc::clone(&shared)));
            }
        });
        Self { address, state, runtime: Some(runtime) }
    }

    /// `http://` and its address.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on this goes wrong. The first rule that applies to a request decides.
    pub fn rule(&self, rule: Rule) {
        self.state.lock().unwrap().rules.push(Active::new(rule));
    }

    /// From now on nothing goes wrong. What stalls already, stalls until its client gives up.
    pub fn heal(&self) {
        self.state.lock().unwrap().rules.clear();
    }

    /// How often each fault happened, by its name.
    pub fn injected(&self) -> BTreeMap<&'static str, u64> {
        self.state.lock().unwrap().injected.clone()
    }

    /// How often this fault happened.
    pub fn count(&self, fault: Fault) -> u64 {
        self.injected().get(fault.name()).copied().unwrap_or(0)
    }

    /// How often something went wrong with each object, by `/bucket/key`.
    pub fn harmed(&self) -> BTreeMap<String, u64> {
        self.state.lock().unwrap().harmed.clone()
    }

    /// How often it was asked to do this to an object whose path holds `part`, faults included.
    pub fn asked(&self, method: &str, part: &str) -> u64 {
        let state = self.state.lock().unwrap();
        let matches =
            |(call, _): &(&String, &u64)| call.starts_with(&format!("{method} ")) && call.contains(part);
        state.asked.iter().filter(matches).map(|(_, count)| count).sum()
    }

    /// Requests for objects whose path holds `part` that have no answer yet, those that stall included.
    pub fn in_flight(&self, part: &str) -> u64 {
        let state = self.state.lock().unwrap();
        state.in_flight.iter().filter(|(object, _)| object.contains(part)).map(|(_, count)| count).sum()
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What a client sends before its body, and how long that is.
struct Head {
    bytes: Vec<u8>,
    method: String,
    object: String,
    length: usize,
}

async fn converse(mut client: TcpStream, server: SocketAddr, state: Arc<Mutex<State>>) {
    let _ = client.set_nodelay(true);
    // A client that hangs up in the middle of its request is part of some tests.
    let Some((head, rest)) = read_head(&mut client).await else { return };
    let fault = {
        let mut state = state.lock().unwrap();
        *state.in_flight.entry(head.object.clone()).or_default() += 1;
        *state.asked.entry(format!("{} {}", head.method, head.object)).or_default() += 1;
        let fault = state.rules.iter_mut().find_map(|active| active.fault(&head.method, &head.object));
        if let Some(fault) = fault {
            *state.injected.entry(fault.name()).or_default() += 1;
            *state.harmed.entry(head.object.clone()).or_default() += 1;
        }
        fault
    };
    let object = head.object.clone();
    let done = answer(&mut client, server, head, rest, fault).await;
    if done.is_none() {
        // An end in order would look like the whole of an answer.
        let _ = client.set_zero_linger();
    } else {
        let _ = client.shutdown().await;
    }
    *state.lock().unwrap().in_flight.entry(object).or_insert(1) -= 1;
}

/// `None` for a connection that is to be reset.
async fn answer(
    client: &mut TcpStream,
    server: SocketAddr,
    head: Head,
    mut body: Vec<u8>,
    fault: Option<Fault>,
) -> Option<()> {
    let wanted = if fault == Some(Fault::CutRequest) { head.length / 2 } else { head.length };
    while body.len() < wanted {
        if client.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    match fault {
        Some(Fault::CutRequest) => return None,
        Some(Fault::Stall) => {
            // Until the client has lost its patience.
            while client.read_buf(&mut Vec::new()).await.ok()? > 0 {}
            return None;
        }
        Some(Fault::Answer(status, code, wait)) => {
            return send(client, &error(status, code, wait, head.method == "HEAD")).await;
        }
        Some(Fault::LosePut) => {
            let acknowledged =
                "HTTP/1.1 200 OK\r\netag: \"lost\"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            return send(client, acknowledged.as_bytes()).await;
        }
        _ => {}
    }
    let whole = ask(server, &head, &body).await?;
    match fault {
        Some(Fault::LoseAnswer) => None,
        Some(Fault::CutAnswer) => {
            let half = (whole.len() - body_at(&whole)).div_ceil(2).max(1);
            send(client, &whole[..whole.len() - half]).await?;
            None
        }
        Some(Fault::Truncate) => send(client, &truncated(&whole)).await,
        Some(Fault::Corrupt) => send(client, &corrupted(&whole)).await,
        Some(Fault::WrongSums) => send(client, &misnamed(&whole)).await,
        _ => send(client, &whole).await,
    }
}

async fn send(client: &mut TcpStream, bytes: &[u8]) -> Option<()> {
    client.write_all(bytes).await.ok()
}

/// Asks the server, and reads its answer to the end.
async fn ask(server: SocketAddr, head: &Head, body: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await.ok()?;
    stream.set_nodelay(true).ok()?;
    stream.write_all(&[&head.bytes[..], body].concat()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    (!answer.is_empty()).then_some(answer)
}

async fn read_head(client: &mut TcpStream) -> Option<(Head, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if client.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let rest = bytes.split_off(end + 4);
    let text = String::from_utf8(bytes).ok()?;
    let mut words = text.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?);
    let object = target.split('?').next()?.to_owned();
    let mut length = 0;
    let mut lines = Vec::new();
    for line in text.trim_end().split("\r\n") {
        let name = line.split(':').next()?.to_ascii_lowercase();
        if name == "content-length" {
            length = line.split_once(':')?.1.trim().parse().ok()?;
        }
        if name != "connection" {
            lines.push(line);
        }
    }
    lines.extend(["connection: close", "", ""]);
    Some((Head { bytes: lines.join("\r\n").into_bytes(), method, object, length }, rest))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    /// A server that answers every request with ten bytes.
    fn server() -> String {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map(Result::unwrap) {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") && !request.ends_with(b"body") {
                    let mut byte = [0];
                    if stream.read(&mut byte).unwrap() == 0 {
                        break;
                    }
                    request.push(byte[0]);
                }
                let head = "HTTP/1.1 200 OK\r\nETag: \"a\"\r\nx-amz-checksum-crc32: BBBBBA==\r\n";
                let answer = format!("{head}Content-Length: 10\r\n\r\n0123456789");
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        endpoint
    }

    /// What comes back, and whether it ended in order.
    fn get(proxy: &Faulty, object: &str) -> (String, bool) {
        let mut stream = std::net::TcpStream::connect(proxy.address).unwrap();
        let request = format!("GET {object}?x HTTP/1.1\r\nHost: here\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let ended = stream.read_to_end(&mut answer).is_ok();
        (String::from_utf8(answer).unwrap(), ended)
    }

    #[test]
    fn each_fault_is_what_it_says_and_is_counted() {
        let proxy = Faulty::before(&server());
        assert!(get(&proxy, "/b/k").0.ends_with("0123456789"));
        let ends = |fault: Fault| {
            proxy.heal();
            proxy.rule(Rule::new(fault).path("/b/k"));
            get(&proxy, "/b/k")
        };
        for fault in [Fault::CutRequest, Fault::LoseAnswer] {
            assert_eq!(ends(fault), (String::new(), false), "{fault:?}");
        }
        let (cut, ended) = ends(Fault::CutAnswer);
        assert!(!cut.ends_with("56789") && !ended, "{cut}");
        assert!(ends(Fault::Truncate).0.ends_with("length: 5\r\n\r\n01234"));
        assert!(ends(Fault::Corrupt).0.ends_with("0123446789"));
        assert!([Fault::Truncate, Fault::Corrupt].iter().all(|fault| !ends(*fault).0.contains("checksum")));
        assert!(ends(Fault::WrongSums).0.contains("x-amz-checksum-crc32: AAAAAQ=="));
        let busy = ends(Fault::Answer(503, "SlowDown", Some(7))).0;
        assert!(
            busy.starts_with("HTTP/1.1 503") && busy.contains("retry-after: 7") && busy.contains("SlowDown")
        );
        assert!(ends(Fault::LosePut).0.contains("\"lost\""));
        assert!(get(&proxy, "/b/other").0.ends_with("0123456789"));
        assert_eq!((proxy.injected().values().sum::<u64>(), proxy.harmed()["/b/k"]), (10, 10));
        assert_eq!((proxy.asked("GET", "/b/k"), proxy.asked("PUT", "")), (11, 0));
    }

    #[test]
    fn a_rule_is_bounded_in_all_and_for_each_object() {
        let proxy = Faulty::before(&server());
        let failed = |object: &str| get(&proxy, object).0.starts_with("HTTP/1.1 500");
        let fault = Fault::Answer(500, "InternalError", None);
        proxy.rule(Rule::new(fault).method("GET").each(1).times(2));
        assert_eq!(["/1", "/1", "/2", "/3"].map(failed), [true, false, true, false]);
        proxy.heal();
        proxy.rule(Rule::new(fault).every(2));
        assert_eq!(["/1", "/1", "/1", "/1"].map(failed), [false, true, false, true]);
        proxy.heal();
        proxy.rule(Rule::new(fault).method("PUT"));
        assert!(!failed("/1"));
    }

    #[test]
    fn what_stalls_is_under_way_until_its_client_gives_up() {
        let proxy = Faulty::before(&server());
        proxy.rule(Rule::new(Fault::Stall));
        let mut stream = std::net::TcpStream::connect(proxy.address).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        while proxy.in_flight("") == 0 {
            std::thread::yield_now();
        }
        drop(stream);
        while proxy.in_flight("") > 0 {
            std::thread::yield_now();
        }
        assert_eq!(proxy.count(Fault::Stall), 1);
    }
}

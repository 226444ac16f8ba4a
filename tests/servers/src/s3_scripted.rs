//! A server that answers as a test tells it to, for the faults no real server can be talked into: it throttles, stalls, hangs up,
//! breaks off in the middle and lies about checksums. It speaks HTTP/1.1, one request per connection.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What a client asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `PUT`, `GET`, ….
    pub method: String,
    /// As on the request line: path and query.
    pub target: String,
    /// By lower-case name.
    pub headers: HashMap<String, String>,
    /// Bytes.
    pub body: Vec<u8>,
}

/// What the server does.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Answers: status, headers, body. `content-length` is added unless given, so a larger one makes an answer that breaks off.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// Never answers.
    Stall,
    /// Promises as many bytes, sends these, and then neither goes on nor hangs up.
    StallAfter(usize, String),
    /// Hangs up without an answer.
    HangUp,
    /// Waits until this many requests wait, and a while longer for any too many; then answers 200 to all of them.
    Together(usize),
}

impl Reply {
    /// An error as S3 words it.
    pub fn error(status: u16, code: &str) -> Self {
        Self::error_with(status, code, Vec::new())
    }

    /// The same with headers.
    pub fn error_with(status: u16, code: &str, headers: Vec<(&'static str, String)>) -> Self {
        let body = format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>said the test</Message></Error>"
        );
        Self::Answer(status, headers, body)
    }

    /// 200 and an ETag.
    pub fn ok() -> Self {
        Self::Answer(200, vec![("etag", "\"tag\"".to_owned())], String::new())
    }
}

/// Turns of the runtime that [`Reply::Together`] waits for a request too many.
const LINGER: u32 = 2_000;

type Script = Box<dyn Fn(&Asked) -> Reply + Send + Sync>;

#[derive(Default)]
struct Seen {
    asked: Mutex<Vec<Asked>>,
    waiting: AtomicUsize,
    waiting_max: AtomicUsize,
}

/// The server; it ends with the runtime of the test that started it.
pub struct Scripted {
    endpoint: String,
    seen: Arc<Seen>,
}

impl Scripted {
    /// Starts one on a free port.
    pub async fn start(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Seen::default());
        let (script, shared): (Arc<Script>, _) = (Arc::new(Box::new(script)), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(converse(socket, Arc::clone(&script), Arc::clone(&shared)));
            }
        });
        Self { endpoint, seen }
    }

    /// `http://` and its address.
    pub fn endpoint(&self) -> String {
        self.endpoint.clone()
    }

    /// Everything it was asked so far, probes for a server's habits left out.
    pub fn asked(&self) -> Vec<Asked> {
        let asked = self.seen.asked.lock().unwrap();
        asked.iter().filter(|asked| !asked.is_probe()).cloned().collect()
    }

    /// The most requests that waited for an answer at one time.
    pub fn waiting_max(&self) -> usize {
        self.seen.waiting_max.load(Ordering::SeqCst)
    }
}

impl Asked {
    /// Whether it writes `probe`.
    pub fn is_probe(&self) -> bool {
        self.method == "PUT" && self.target.split('?').next().is_some_and(|path| path.ends_with("/probe"))
    }

    /// What a good server answers to the probes for its habits.
    pub fn probe_reply(&self) -> Option<Reply> {
        let wrong = self.headers.get("x-amz-checksum-crc32").is_some_and(|crc| crc == "AAAAAA==");
        match self.is_probe() {
            false => None,
            true if wrong => Some(Reply::error(400, "BadDigest")),
            true if self.headers.contains_key("if-none-match") => {
                Some(Reply::error(412, "PreconditionFailed"))
            }
            true => Some(Reply::ok()),
        }
    }
}

async fn converse(mut socket: TcpStream, script: Arc<Script>, seen: Arc<Seen>) {
    // A client that hangs up in the middle of its request is part of some tests.
    let Some(asked) = read(&mut socket).await else { return };
    let reply = script(&asked);
    seen.asked.lock().unwrap().push(asked);
    let waiting = seen.waiting.fetch_add(1, Ordering::SeqCst) + 1;
    seen.waiting_max.fetch_max(waiting, Ordering::SeqCst);
    match reply {
        Reply::HangUp => {
            seen.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        Reply::Stall => std::future::pending().await,
        Reply::StallAfter(length, part) => {
            let headers = [("content-length", length.to_string())];
            answer(&mut socket, &seen, 200, &headers, &part).await;
            std::future::pending::<()>().await;
        }
        Reply::Together(count) => {
            while seen.waiting_max.load(Ordering::SeqCst) < count {
                tokio::task::yield_now().await;
            }
            // Turns, not time: on the one thread of a test each lets everybody else go on.
            for _ in 0..LINGER {
                tokio::task::yield_now().await;
            }
            answer(&mut socket, &seen, 200, &[], "").await;
        }
        Reply::Answer(status, headers, body) => {
            answer(&mut socket, &seen, status, &headers, &body).await;
            let _ = socket.shutdown().await;
        }
    }
}

async fn answer(socket: &mut TcpStream, seen: &Seen, status: u16, headers: &[(&str, String)], body: &str) {
    let named: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let given = headers.iter().any(|(name, _)| *name == "content-length");
    let length = if given { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let head = format!("HTTP/1.1 {status} As told\r\nconnection: close\r\n{}{length}", named.concat());
    seen.waiting.fetch_sub(1, Ordering::SeqCst);
    // The client may have given up.
    let _ = socket.write_all(format!("{head}\r\n{body}").as_bytes()).await;
}

async fn read(socket: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
    let (line, rest) = text.split_once("\r\n")?;
    let mut line = line.split(' ').map(str::to_owned);
    let (method, target) = (line.next()?, line.next()?);
    let headers: HashMap<_, _> = rest
        .lines()
        .filter_map(|header| header.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = bytes[head + 4..].to_vec();
    while body.len() < length {
        if socket.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Asked { method, target, headers, body })
}

//! HTTP by hand: what no client of n2s would send.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// An answer.
#[derive(Clone, Debug)]
pub struct Raw {
    /// Its status; 0 when the server closed without an answer.
    pub status: u16,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Raw {
    /// Its body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The code of a problem.
    #[track_caller]
    pub fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        self.json()["code"].as_str().unwrap().to_owned()
    }

    /// A body that came in chunks, put together, and whether its end came, too.
    pub fn chunks(&self) -> (Vec<u8>, bool) {
        assert_eq!(self.header("transfer-encoding"), Some("chunked"), "{:?}", self.headers);
        let (mut rest, mut body) = (&self.body[..], Vec::new());
        while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
            let length = std::str::from_utf8(&rest[..end]).unwrap();
            let length = usize::from_str_radix(length, 16).unwrap();
            let chunk = &rest[end + 2..];
            if length == 0 {
                return (body, true);
            }
            body.extend_from_slice(&chunk[..length.min(chunk.len())]);
            rest = chunk.get(length + 2..).unwrap_or_default();
        }
        (body, false)
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// Opens a connection to `http://…`.
pub fn connect(url: &str) -> TcpStream {
    let stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(2))).unwrap();
    stream
}

/// The head of a request that closes its connection.
pub fn head(call: &str, token: &str, headers: &[(&str, String)]) -> String {
    let mut head = format!("{call} HTTP/1.1\r\nHost: n2s\r\nConnection: close\r\n");
    if !token.is_empty() {
        write!(head, "Authorization: Bearer {token}\r\n").unwrap();
    }
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    head + "\r\n"
}

/// Sends a request, such as `GET /v1/status`, and reads the answer.
pub fn request(url: &str, call: &str, token: &str, headers: &[(&str, String)], body: &[u8]) -> Raw {
    let mut headers = headers.to_vec();
    headers.push(("Content-Length", body.len().to_string()));
    let mut stream = connect(url);
    stream.write_all(head(call, token, &headers).as_bytes()).unwrap();
    // A server that refuses by the head alone may close before it has read the body.
    let _ = stream.write_all(body);
    answer(stream)
}

/// Reads an answer to its end.
pub fn answer(mut stream: TcpStream) -> Raw {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Raw { status: 0, headers: Vec::new(), body: bytes };
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let header = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_lowercase(), value.to_owned())
    };
    Raw { status, headers: lines.map(header).collect(), body: bytes[end + 4..].to_vec() }
}

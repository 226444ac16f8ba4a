//! A collector of traces: takes OTLP over HTTP, and says which spans came. It reads protobuf by itself, as far as it has to, so that what is sent
//! is not judged by what sends it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A span as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collected {
    /// The trace's id, in hex.
    pub trace: String,
    /// Its own.
    pub id: String,
    /// Of the span it is a part of; empty at the root.
    pub parent: String,
    /// What it is called.
    pub name: String,
    /// `n2s.role` of the process.
    pub role: String,
    /// What is said of it.
    pub attributes: BTreeMap<String, String>,
    /// Nanoseconds since 1970, at its beginning and at its end.
    pub times: [u64; 2],
}

/// A running collector; ends with the process.
#[derive(Clone, Debug)]
pub struct Collector {
    /// Where it listens, as `otlp_endpoint`.
    pub endpoint: String,
    spans: Arc<Mutex<Vec<Collected>>>,
    bodies: Arc<Mutex<Vec<u8>>>,
}

impl Collector {
    /// Starts one on a free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let collector = Self { endpoint, spans: Arc::default(), bodies: Arc::default() };
        let serving = collector.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                thread::spawn(move || serving.serve(stream));
            }
        });
        collector
    }

    /// Every span so far.
    pub fn spans(&self) -> Vec<Collected> {
        self.spans.lock().unwrap().clone()
    }

    /// Every byte so far, to look for what must not be there.
    pub fn bytes(&self) -> Vec<u8> {
        self.bodies.lock().unwrap().clone()
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream);
        loop {
            let (mut length, mut head) = (0, String::new());
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    return;
                }
                let line = line.trim().to_lowercase();
                if line.is_empty() {
                    break;
                }
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.parse().unwrap();
                }
                head.push_str(&line);
            }
            assert!(head.contains("post /v1/traces") && head.contains("application/x-protobuf"), "{head}");
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            self.spans.lock().unwrap().extend(spans(&body));
            self.bodies.lock().unwrap().extend(&body);
            reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        }
    }
}

/// A field: its number, and its bytes, or the eight of a number.
fn fields(mut rest: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let tag = varint(&mut rest);
        let length = match tag & 7 {
            0 => {
                found.push((tag >> 3, varint(&mut rest).to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut rest)).unwrap(),
            5 => 4,
            other => panic!("no such wire type: {other}"),
        };
        let (value, more) = rest.split_at(length);
        found.push((tag >> 3, value.to_vec()));
        rest = more;
    }
    found
}

fn varint(rest: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (byte, more) = rest.split_first().expect("a whole number");
        *rest = more;
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return value;
        }
    }
}

/// The fields of this number.
fn each(message: &[u8], number: u64) -> Vec<Vec<u8>> {
    fields(message).into_iter().filter(|(found, _)| *found == number).map(|(_, value)| value).collect()
}

fn one(message: &[u8], number: u64) -> Vec<u8> {
    each(message, number).pop().unwrap_or_default()
}

fn text(message: &[u8], number: u64) -> String {
    String::from_utf8(one(message, number)).unwrap()
}

fn hex(message: &[u8], number: u64) -> String {
    let digits = one(message, number).into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from_digit(digit.into(), 16).unwrap()).collect()
}

fn number(message: &[u8], number: u64) -> u64 {
    u64::from_le_bytes(one(message, number).try_into().unwrap())
}

/// Name and value of each attribute.
fn attributes(message: &[u8], number: u64) -> BTreeMap<String, String> {
    let value = |value: &[u8]| match fields(value).pop() {
        Some((1, text)) => String::from_utf8(text).unwrap(),
        Some((_, number)) => u64::from_le_bytes(number.try_into().unwrap()).to_string(),
        None => String::new(),
    };
    each(message, number).iter().map(|pair| (text(pair, 1), value(&one(pair, 2)))).collect()
}

/// The numbers of the fields are those of opentelemetry/proto/trace/v1/trace.proto.
fn spans(request: &[u8]) -> Vec<Collected> {
    let mut found = Vec::new();
    for of_process in each(request, 1) {
        let role = attributes(&one(&of_process, 1), 1).remove("n2s.role").unwrap_or_default();
        for span in each(&of_process, 2).iter().flat_map(|scope| each(scope, 2)) {
            found.push(Collected {
                trace: hex(&span, 1),
                id: hex(&span, 2),
                parent: hex(&span, 4),
                name: text(&span, 5),
                role: role.clone(),
                attributes: attributes(&span, 9),
                times: [number(&span, 7), number(&span, 8)],
            });
        }
    }
    found
}

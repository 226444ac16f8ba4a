//! A span from its beginning to its end.

use std::borrow::Cow;

use n2s_domain::{Timestamp, Traceparent};

use super::{TRACER, Tracer};

/// Which side of a conversation a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Within one process.
    Internal,
    /// Answers a request.
    Server,
    /// Makes a request.
    Client,
    /// Sends a message.
    Producer,
    /// Works on a message.
    Consumer,
}

/// What is said of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Number(i64),
}

/// A span that is over.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "read by whoever sends it"))]
pub(crate) struct Ended {
    pub context: Traceparent,
    /// The span that it is a part of; 0 at the root.
    pub parent: u64,
    pub name: Cow<'static, str>,
    pub kind: Kind,
    pub begun: Timestamp,
    pub over: Timestamp,
    pub attributes: Vec<(&'static str, Value)>,
    pub error: Option<String>,
}

/// Something that is being done. It ends, and is recorded, when it is dropped.
#[derive(Debug)]
pub struct Span(Option<Ended>);

impl Span {
    /// Begins a part of `parent`, or a trace of its own; `None` while nobody collects, or wants to see the parent.
    pub fn begin(
        name: impl Into<Cow<'static, str>>,
        kind: Kind,
        parent: Option<Traceparent>,
    ) -> Option<Self> {
        let tracer = TRACER.get()?;
        if parent.is_some_and(|parent| !parent.is_sampled()) {
            return None;
        }
        let context = if let Some(parent) = parent {
            parent.with_span(tracer.id())?
        } else {
            let trace = u128::from(tracer.id()) << 64 | u128::from(tracer.id());
            Traceparent::new(trace, tracer.id(), true)?
        };
        let (name, now) = (name.into(), tracer.clock.now());
        let parent = parent.map_or(0, |parent| parent.span());
        let (attributes, error) = (Vec::new(), None);
        Some(Self(Some(Ended { context, parent, name, kind, begun: now, over: now, attributes, error })))
    }

    /// For those who do a part of it.
    pub fn context(&self) -> Traceparent {
        self.0.as_ref().expect("it is there until it is dropped").context
    }

    /// Says something of it. Never a secret, a name of a file, or a content.
    pub fn text(&mut self, name: &'static str, value: impl Into<String>) {
        self.set(name, Value::Text(value.into()));
    }

    /// Says a number.
    pub fn number(&mut self, name: &'static str, value: u64) {
        self.set(name, Value::Number(i64::try_from(value).unwrap_or(i64::MAX)));
    }

    /// It came to nothing.
    pub fn failed(&mut self, why: &str) {
        if let Some(span) = &mut self.0 {
            span.error = Some(why.to_owned());
        }
    }

    fn set(&mut self, name: &'static str, value: Value) {
        if let Some(span) = &mut self.0 {
            span.attributes.push((name, value));
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let (Some(mut span), Some(tracer)) = (self.0.take(), TRACER.get()) {
            span.over = tracer.clock.now();
            (tracer.record)(span);
        }
    }
}

impl Tracer {
    /// Random, and never zero.
    fn id(&self) -> u64 {
        self.entropy.next_u64() | 1
    }
}

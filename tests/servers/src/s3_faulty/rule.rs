//! What goes wrong, and with which requests.

use std::collections::BTreeMap;

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Takes half of the request and resets the connection; the server sees nothing of it.
    CutRequest,
    /// The server does it, and half of its answer arrives before a reset.
    CutAnswer,
    /// The server does it, and the connection is reset without an answer.
    LoseAnswer,
    /// Nobody ever answers, and the server sees nothing of it.
    Stall,
    /// An error, as S3 words it, in place of the server's answer: status, code and seconds of `Retry-After`.
    Answer(u16, &'static str, Option<u32>),
    /// Half of the answer's body, ended in order, as if it were all. No checksum tells, so that the client cannot know.
    Truncate,
    /// One byte of the answer's body is another. No checksum tells.
    Corrupt,
    /// The answer names a checksum and an `ETag` that belong to other bytes.
    WrongSums,
    /// A write that is acknowledged and thrown away.
    LosePut,
}

impl Fault {
    /// What it is counted as.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CutRequest => "cut-request",
            Self::CutAnswer => "cut-answer",
            Self::LoseAnswer => "lose-answer",
            Self::Stall => "stall",
            Self::Answer(429, ..) => "answer-429",
            Self::Answer(403, ..) => "answer-403",
            Self::Answer(400, ..) => "answer-400",
            Self::Answer(503, ..) => "answer-503",
            Self::Answer(..) => "answer-other",
            Self::Truncate => "truncate",
            Self::Corrupt => "corrupt",
            Self::WrongSums => "wrong-sums",
            Self::LosePut => "lose-put",
        }
    }
}

/// To which requests a fault happens.
#[derive(Clone, Debug)]
pub struct Rule {
    fault: Fault,
    /// Any when empty.
    method: &'static str,
    part: String,
    times: u64,
    each: u64,
    every: u64,
}

impl Rule {
    /// To every request.
    pub fn new(fault: Fault) -> Self {
        Self { fault, method: "", part: String::new(), times: u64::MAX, each: u64::MAX, every: 1 }
    }

    /// To `PUT`, `GET`, … alone.
    #[must_use]
    pub fn method(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    /// To those whose path holds this.
    #[must_use]
    pub fn path(self, part: impl Into<String>) -> Self {
        Self { part: part.into(), ..self }
    }

    /// So many times at most.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// So many times at most to each object.
    #[must_use]
    pub fn each(self, each: u64) -> Self {
        Self { each, ..self }
    }

    /// To every so-manieth of them.
    #[must_use]
    pub fn every(self, every: u64) -> Self {
        Self { every, ..self }
    }
}

/// A rule, and how often it was met.
#[derive(Debug)]
pub(super) struct Active {
    rule: Rule,
    matched: u64,
    used: u64,
    by_object: BTreeMap<String, u64>,
}

impl Active {
    pub(super) fn new(rule: Rule) -> Self {
        Self { rule, matched: 0, used: 0, by_object: BTreeMap::new() }
    }

    /// What goes wrong with this request, if anything.
    pub(super) fn fault(&mut self, method: &str, object: &str) -> Option<Fault> {
        self.applies(method, object).then_some(self.rule.fault)
    }

    fn applies(&mut self, method: &str, object: &str) -> bool {
        let Rule { each, every, times, .. } = self.rule;
        if !(self.rule.method.is_empty() || self.rule.method == method) || !object.contains(&self.rule.part) {
            return false;
        }
        let met = self.by_object.get(object).copied().unwrap_or(0);
        self.matched += 1;
        let applies = self.used < times && met < each && self.matched.is_multiple_of(every);
        if applies {
            self.used += 1;
            self.by_object.insert(object.to_owned(), met + 1);
        }
        applies
    }
}

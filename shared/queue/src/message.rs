//! What travels: a job's id and dispatch, and the trace it belongs to; never more than 100 bytes.
//!
//! The form is text, `1 <job> <dispatch> [<traceparent>]`, so that whoever looks into a broker sees what it is. Binary
//! would save 40 bytes that no broker notices; JSON would cost as much again and needs a parser that accepts too much.

use n2s_domain::{JobId, Traceparent};

/// The doorbell of one dispatched job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// The job.
    pub job: JobId,
    /// The dispatch it belongs to; claims compare it.
    pub dispatch_seq: u64,
    /// The trace the job was dispatched in.
    pub traceparent: Option<Traceparent>,
}

/// Bytes that are not a message. Whoever gets one acks it: the job's deadline puts its row right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message of format {FORMAT}: {0}")]
pub struct InvalidMessage(String);

const FORMAT: &str = "1";

impl Message {
    /// The longest encoding.
    pub const BYTES_MAX: usize = 100;

    /// At most [`Self::BYTES_MAX`] bytes.
    pub fn encode(&self) -> Vec<u8> {
        let (job, seq) = (self.job, self.dispatch_seq);
        match self.traceparent {
            Some(trace) => format!("{FORMAT} {job} {seq} {trace}"),
            None => format!("{FORMAT} {job} {seq}"),
        }
        .into_bytes()
    }

    /// Reads what [`Self::encode`] wrote, and refuses everything else without panicking.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidMessage> {
        let invalid = || {
            let shown = &bytes[..bytes.len().min(Self::BYTES_MAX)];
            InvalidMessage(format!("'{}' ({} bytes)", shown.escape_ascii(), bytes.len()))
        };
        let text = std::str::from_utf8(bytes).map_err(|_| invalid())?;
        let parts: Vec<&str> = text.splitn(5, ' ').collect();
        let (job, seq, trace) = match parts[..] {
            [FORMAT, job, seq] => (job, seq, None),
            [FORMAT, job, seq, trace] => (job, seq, Some(trace.parse().map_err(|()| invalid())?)),
            _ => return Err(invalid()),
        };
        let message = Self {
            job: JobId(job.parse().map_err(|_| invalid())?),
            dispatch_seq: seq.parse().map_err(|_| invalid())?,
            traceparent: trace,
        };
        // One job has one spelling: `+1` and `01` are nobody's.
        if message.encode() == bytes { Ok(message) } else { Err(invalid()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn the_longest_message_fits_and_comes_back() {
        let trace = Some(TRACE.parse().unwrap());
        let longest = Message { job: JobId(i64::MIN), dispatch_seq: u64::MAX, traceparent: trace };
        assert!(longest.encode().len() <= Message::BYTES_MAX, "{}", longest.encode().len());
        assert_eq!(Message::decode(&longest.encode()).unwrap(), longest);
        assert_eq!(Message::decode(b"1 7 2").unwrap().job, JobId(7));
    }

    #[test]
    fn other_formats_and_spellings_are_refused() {
        for bad in ["", "2 7 2", "1 7", "1 +7 2", "1 07 2", "1 7 2 ", "1 7 2 00-zz", "1 7 2\n", "1 7 2 3 4 5"]
        {
            assert!(Message::decode(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(Message::decode(&[0xff; 4]).unwrap_err().to_string().contains("\\xff"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::decode(&bytes);
        }
    }
}

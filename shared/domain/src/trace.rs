//! The trace that something belongs to, in the form in which it travels: W3C's `traceparent`.

use std::fmt;
use std::str::FromStr;

/// A W3C trace context, `00-<trace>-<span>-<flags>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Traceparent([u8; 55]);

impl Traceparent {
    /// A context from its parts; `None` where an id is zero, which names nothing.
    pub fn new(trace: u128, span: u64, sampled: bool) -> Option<Self> {
        format!("00-{trace:032x}-{span:016x}-{:02x}", u8::from(sampled)).parse().ok()
    }

    /// Another span of the same trace.
    pub fn with_span(&self, span: u64) -> Option<Self> {
        Self::new(self.trace(), span, self.is_sampled())
    }

    /// The trace's id.
    pub fn trace(&self) -> u128 {
        u128::from_str_radix(self.part(3, 35), 16).expect("it was looked at when it was read")
    }

    /// The span's id.
    pub fn span(&self) -> u64 {
        u64::from_str_radix(self.part(36, 52), 16).expect("it was looked at when it was read")
    }

    /// Whether somebody wants to see it.
    pub fn is_sampled(&self) -> bool {
        u8::from_str_radix(self.part(53, 55), 16).is_ok_and(|flags| flags & 1 == 1)
    }

    fn part(&self, from: usize, to: usize) -> &str {
        std::str::from_utf8(&self.0[from..to]).expect("hex digits and dashes are ASCII")
    }
}

impl FromStr for Traceparent {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let fits = |(i, b): (usize, u8)| if matches!(i, 2 | 35 | 52) { b == b'-' } else { hex(b) };
        let bytes: [u8; 55] = text.as_bytes().try_into().map_err(drop)?;
        let read = bytes.into_iter().enumerate().all(fits).then_some(Self(bytes)).ok_or(())?;
        if text.starts_with("00") && read.trace() != 0 && read.span() != 0 { Ok(read) } else { Err(()) }
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.part(0, 55))
    }
}

impl fmt::Debug for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Traceparent({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_and_what_names_nothing_is_refused() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let trace: Traceparent = text.parse().unwrap();
        assert_eq!(trace.to_string(), text);
        assert_eq!(
            trace.with_span(7).unwrap().to_string(),
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000007-01"
        );
        assert_eq!((trace.span(), trace.is_sampled()), (0xb7ad_6b71_6920_3331, true));
        assert!(!Traceparent::new(1, 1, false).unwrap().is_sampled());
        assert!(Traceparent::new(0, 1, true).is_none() && Traceparent::new(1, 0, true).is_none());
        for bad in
            ["", "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", &text.to_uppercase(), &text[1..]]
        {
            assert!(bad.parse::<Traceparent>().is_err(), "{bad}");
        }
    }
}

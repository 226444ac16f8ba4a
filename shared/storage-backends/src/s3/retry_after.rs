//! `Retry-After`, in both of its forms.

use std::time::Duration;

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};

/// How long to wait. The form with a date is measured from the answer's own `Date`, so that the two clocks need not agree;
/// an answer that has none says nothing.
pub(super) fn retry_after(value: &str, date: Option<&str>) -> Option<Duration> {
    let value = value.trim();
    if let Ok(secs) = value.parse() {
        return Some(Duration::from_secs(secs));
    }
    let secs =
        |text: &str| DateTime::from_str(text.trim(), DateTimeFormat::HttpDate).ok().map(|at| at.secs());
    let wait = secs(value)?.saturating_sub(secs(date?)?);
    Some(Duration::from_secs(u64::try_from(wait).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: &str = "Sun, 06 Nov 1994 12:00:00 GMT";

    #[test]
    fn both_forms_are_understood() {
        let wait = |value, date| retry_after(value, date).map(|wait| wait.as_secs());
        assert_eq!(wait("120", None), Some(120));
        assert_eq!(wait(" 0 ", Some(NOON)), Some(0));
        assert_eq!(wait("Sun, 06 Nov 1994 12:01:30 GMT", Some(NOON)), Some(90));
        assert_eq!(wait("Sun, 06 Nov 1994 11:00:00 GMT", Some(NOON)), Some(0));
    }

    #[test]
    fn what_is_neither_says_nothing() {
        for (value, date) in
            [("soon", Some(NOON)), ("-1", None), ("1.5", None), ("", None), (NOON, None), (NOON, Some("x"))]
        {
            assert_eq!(retry_after(value, date), None, "{value:?} {date:?}");
        }
    }
}

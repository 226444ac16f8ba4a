//! What a figure is held to.

use serde::Serialize;

/// One thing that is to be reached.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    pub what: String,
    pub ours: Option<f64>,
    pub to_reach: String,
    #[serde(rename = "verdict")]
    pub found: &'static str,
}

impl Verdict {
    /// What could not be measured, or compared with nothing, is never met.
    pub fn new(
        what: impl Into<String>,
        ours: Option<f64>,
        to_reach: impl Into<String>,
        met: impl Fn(f64) -> Option<bool>,
    ) -> Self {
        let found = match ours.and_then(met) {
            Some(true) => "met",
            Some(false) => "missed",
            None => "not measured",
        };
        Self { what: what.into(), ours, to_reach: to_reach.into(), found }
    }

    /// At least so much.
    pub fn at_least(what: impl Into<String>, ours: Option<f64>, bound: f64) -> Self {
        Self::new(what, ours, format!("at least {bound}"), |ours| Some(ours >= bound))
    }

    /// At most so much.
    pub fn at_most(what: impl Into<String>, ours: Option<f64>, bound: f64) -> Self {
        Self::new(what, ours, format!("at most {bound}"), |ours| Some(ours <= bound))
    }
}

/// A number of things, to be divided by.
#[expect(clippy::cast_precision_loss, reason = "what is counted in a run has no more than 52 bits")]
pub fn float(count: usize) -> f64 {
    count as f64
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The value that a share of them does not exceed.
pub fn quantile(values: &mut [f64], share: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index of a list that fits in memory"
    )]
    let index = (float(values.len()) * share).ceil() as usize;
    values.get(index.clamp(1, values.len().max(1)) - 1).copied()
}

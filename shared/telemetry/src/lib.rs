#![doc = include_str!("../README.md")]

pub mod metrics;
mod notify;
pub mod trace;

use std::error::Error;
use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

pub use notify::{ready, stopping};

/// Dependencies that log as errors what they also return, and what is nothing but an answer. Their words come only when the filter
/// names them.
const QUIET: [(&str, &str); 1] = [("lapin", "lapin=off")];

/// How logs look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging to standard error. `filter` is in the form of `RUST_LOG`, such as `info` or `n2s_worker=debug`; one that
/// cannot be read counts as `warn`. Times are UTC. Once per process.
pub fn init(format: LogFormat, filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("warn"));
    let filter = QUIET.iter().fold(filter, |filter, (target, directive)| {
        let asked_for = filter.to_string().contains(target);
        if asked_for { filter } else { filter.add_directive(directive.parse().expect("it is constant")) }
    });
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // In a file or a pipe, colours are only noise.
    let builder = builder.with_ansi(io::stderr().is_terminal());
    // A second call leaves the first one's subscriber in place.
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}

/// An error and its causes in one line; a cause that only repeats what was said is left out.
pub fn report(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_each_cause_once() {
        #[derive(Debug)]
        struct Layer(&'static str, Option<Box<Layer>>);
        impl std::fmt::Display for Layer {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.0)
            }
        }
        impl Error for Layer {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                self.1.as_deref().map(|layer| layer as _)
            }
        }
        let error = Layer("a", Some(Box::new(Layer("b", Some(Box::new(Layer("b", None)))))));
        assert_eq!(report(&error), "a: b");
    }
}

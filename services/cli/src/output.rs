//! Answers: tables and sentences for people, one JSON document for programs. Answers go to standard output, everything else
//! to standard error.

use std::io::{IsTerminal as _, Write as _};

use serde_json::Value;

use crate::args::Format;

/// Where answers go.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    format: Format,
    quiet: bool,
}

impl Output {
    pub fn new(format: Format, quiet: bool) -> Self {
        Self { format, quiet }
    }

    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether progress may be drawn.
    pub fn is_live(&self) -> bool {
        !self.quiet && !self.is_json() && std::io::stderr().is_terminal()
    }

    /// Whether plain progress lines may be written.
    pub fn is_plain(&self) -> bool {
        !self.quiet && !self.is_json() && !std::io::stderr().is_terminal()
    }

    /// The answer: `text` for people, `json` for programs.
    pub fn answer(&self, text: &str, json: &Value) {
        let line = if self.is_json() { json.to_string() } else { text.trim_end().to_owned() };
        if (self.is_json() || !self.quiet) && !line.is_empty() {
            // A reader that went away, such as `head`, is no error of ours.
            let _ = writeln!(anstream::stdout(), "{line}");
        }
    }

    /// Something people should know that is not the answer.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(anstream::stderr(), "{text}");
        }
    }

    /// Why the command failed.
    pub fn error(&self, text: &str) {
        let _ = if self.is_json() {
            writeln!(anstream::stderr(), "{}", serde_json::json!({ "error": text }))
        } else {
            writeln!(anstream::stderr(), "n2s: {text}")
        };
    }
}

/// A table without lines, each column as wide as its widest cell.
pub fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut lines: Vec<Vec<String>> = vec![header.iter().map(ToString::to_string).collect()];
    lines.extend(rows);
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &Vec<String>| {
        let cells = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Bytes for people.
pub fn bytes(count: u64) -> String {
    indicatif::HumanBytes(count).to_string()
}

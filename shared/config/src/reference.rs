//! The reference page, from the same words that the compiler reads.

use std::fmt::Write as _;

use crate::keys::FIXED;
use crate::schema::Section;
use crate::sections::{BackendConfig, RetryConfig, S3Config};

const INTRODUCTION: &str = "<!-- Written by `make doc` from shared/config/src/sections; change it there. -->

# Configuration

TOML, read from `config.toml` in the home (`$N2S_HOME`, else `$XDG_DATA_HOME/n2s`, else `~/.local/share/n2s`), or from
`--config FILE`. None is needed: what is not written has the default below. Variables win over the file: that of
`[push] min_copies` is `N2S_PUSH__MIN_COPIES`, that of `[backends.disk.retry] cap_secs` is
`N2S_BACKENDS__DISK__RETRY__CAP_SECS`. Their values are written as in TOML; quotes may be left out.

Unknown keys, wrong types and settings that contradict each other are refused before anything starts, all at once, with file
and line. `n2s config check` does only that.
";

/// The whole page in Markdown.
pub fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for section in FIXED.iter().chain([&BackendConfig::SECTION, &RetryConfig::SECTION]) {
        keys(&mut page, &format!("`[{}]`", section.path), section);
    }
    keys(&mut page, "`kind = \"s3\"`", &S3Config::SECTION);
    page
}

fn keys(page: &mut String, heading: &str, section: &Section) {
    let _ = writeln!(page, "\n## {heading}\n\n{}\n", joined(section.about));
    page.push_str("| key | takes | default | meaning |\n| --- | --- | --- | --- |\n");
    for key in section.keys.iter().filter(|key| !key.shape.is_empty()) {
        let docs = joined(key.docs);
        let default = match (key.default)() {
            _ if docs.contains("Required.") => "–".to_owned(),
            None => "unset".to_owned(),
            Some(value) => format!("`{value}`"),
        };
        let _ = writeln!(page, "| `{}` | {} | {default} | {docs} |", key.name, key.shape);
    }
}

fn joined(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

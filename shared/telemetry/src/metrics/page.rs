//! The page that lists every family, from the table that makes them.

use std::fmt::Write as _;

use super::families;

const HEAD: &str = "# Metrics

Every role answers `GET /metrics` where it answers `/healthz`. Written from `src/metrics/families.rs` by `make doc`; do not edit.
Durations have classes from 1 ms to 2 minutes. A gauge that only the holder of an office knows is shown by that process alone:
take the `max` over processes. Labels are bounded: names of configured stores, and words that the sources list.

| name | kind | unit | labels | meaning |
| --- | --- | --- | --- | --- |
";

/// The page.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    for family in families::ALL {
        let about = family.about();
        let labels: Vec<_> = family.labels().iter().map(|label| format!("`{label}`")).collect();
        let (kind, labels) = (family.kind().as_str(), labels.join(", "));
        writeln!(page, "| `{}` | {kind} | {} | {labels} | {} |", about.name, about.unit, about.help)
            .expect("writing into memory does not fail");
    }
    page
}

//! The page says what the code does. `make doc` writes it; this refuses one that differs.

use std::path::Path;

#[test]
fn the_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("METRICS.md");
    let page = n2s_telemetry::metrics::page();
    if std::env::var_os("N2S_WRITE_PAGES").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "shared/telemetry/METRICS.md is not what the code says; run `make doc`");
}

//! The page lists the endpoints there are. `make doc` writes the list; this refuses one that differs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::path::Path;

const BEGIN: &str = "<!-- endpoints: written by `make doc` -->\n";
const END: &str = "<!-- end of endpoints -->";

/// A row for each operation, from the document that `/openapi.json` serves.
fn table() -> String {
    let document = serde_json::to_value(n2s_intake::http::openapi()).unwrap();
    let mut table = "| call | scope | |\n| --- | --- | --- |\n".to_owned();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let scopes = operation["security"][0]["token"].as_array().unwrap();
            let scopes: Vec<_> = scopes.iter().map(|scope| scope.as_str().unwrap()).collect();
            let (method, about) =
                (method.to_uppercase(), operation["summary"].as_str().unwrap().replace('\n', " "));
            writeln!(table, "| `{method} {path}` | {} | {about} |", scopes.join(", ")).unwrap();
        }
    }
    table
}

#[test]
fn the_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("API.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (listed, after) = rest.split_once(END).unwrap();
    if std::env::var_os("N2S_WRITE_PAGES").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{}{END}{after}", table())).unwrap();
        return;
    }
    assert!(listed == table(), "services/intake/API.md is not what the code says; run `make doc`");
}

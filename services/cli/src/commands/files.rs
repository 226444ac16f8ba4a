//! `n2s files` and `n2s search`.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::ExitCode;

use n2s_client::seam::{ListedFile, Page, Paging, PathKind, SearchFilter};
use n2s_domain::{BackendName, PathSpan, RelPath};
use serde_json::json;

use crate::args::{Files, Search};
use crate::exit::Usage;
use crate::output::{Output, bytes, table};
use crate::side::Side;

const PAGE: u32 = 2_000;

pub async fn files(side: &Side, args: Files, output: &Output) -> anyhow::Result<ExitCode> {
    let selector = super::pull::selector(args.which);
    let version = side.reader.version(&args.dataset.project, &args.dataset.dataset, &selector).await?;
    let mut found = false;
    for span in spans(args.path.as_deref())? {
        let mut after = None;
        loop {
            // Page by page, one JSON line per path: a tree of 50 million files is listed in bounded memory.
            let page = side.operator.files(&version, &span, &Page { after, limit: PAGE }).await?;
            found |= !page.is_empty();
            let full = page.len() == PAGE as usize;
            after = page.last().map(|file| file.path.clone());
            for mut file in page {
                file.stores = file.stores.filter(|_| args.stores);
                output.answer(&line(&file), &json!(file));
            }
            if !full {
                break;
            }
        }
    }
    if let (false, Some(path)) = (found, &args.path) {
        anyhow::bail!(
            "version {} has no path {}; `n2s search` finds paths by a part of their name",
            version.version,
            path.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// A path and what lies below it, or everything.
fn spans(path: Option<&Path>) -> anyhow::Result<Vec<PathSpan>> {
    let Some(path) = path else { return Ok(vec![PathSpan::Everything]) };
    let bytes = path.as_os_str().as_bytes();
    let path =
        RelPath::new(bytes.strip_suffix(b"/").unwrap_or(bytes)).map_err(|error| Usage(error.to_string()))?;
    Ok(vec![PathSpan::At(path.clone()), PathSpan::Below(path)])
}

fn line(file: &ListedFile) -> String {
    let kind = match file.kind {
        PathKind::Directory => 'd',
        PathKind::Symlink => 'l',
        PathKind::File => '-',
    };
    let names =
        |names: &Vec<BackendName>| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let stores = file.stores.as_ref().map(|stores| format!("  [{}]", names(stores))).unwrap_or_default();
    format!("{kind}{:04o} {:>12}  {}{stores}", file.mode, file.size, file.path)
}

pub async fn search(side: &Side, args: Search, output: &Output) -> anyhow::Result<ExitCode> {
    let filter = SearchFilter { project: args.project, dataset: args.dataset };
    let found = side.operator.search(&filter, &args.text, &Paging { after: None, limit: args.limit }).await?;
    let rows = found.items.iter().map(|hit| {
        vec![hit.project.to_string(), hit.dataset.to_string(), bytes(hit.size), hit.path.to_string()]
    });
    let text = table(&["project", "dataset", "size", "path"], rows.collect());
    output.answer(&text, &json!({ "hits": found.items }));
    Ok(ExitCode::SUCCESS)
}

//! `n2s files` and `n2s search`.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::ExitCode;

use n2s_assembly::Node;
use n2s_catalog::{ChangesetFilter, FileRow, Page, Selector};
use n2s_domain::{Content, PathSpan, RelPath, Version};
use serde_json::{Value, json};

use crate::args::{Files, Search};
use crate::exit::Usage;
use crate::output::{Output, bytes, table};

const PAGE: u32 = 2_000;

pub async fn files(node: &Node, args: Files, output: &Output) -> anyhow::Result<ExitCode> {
    let selector = match (args.which.snapshot, args.which.version) {
        (Some(label), _) => Selector::Snapshot(label),
        (None, Some(version)) => Selector::Version(Version(version)),
        (None, None) => Selector::Latest,
    };
    let version = node.catalog.version(&args.dataset.project, &args.dataset.dataset, &selector).await?;
    let backends = node.catalog.backends().await?;
    let name = |id| {
        backends
            .iter()
            .find(|(row, _)| row.id == id)
            .map_or_else(String::new, |(row, _)| row.name.to_string())
    };
    let mut found = false;
    for span in spans(args.path.as_deref())? {
        let mut after = None;
        loop {
            // Page by page, one JSON line per path: a tree of 50 million files is listed in bounded memory.
            let page = node.catalog.tree(&version, &span, &Page { after, limit: PAGE }).await?;
            for row in &page {
                let stores = args.stores.then(|| stores_of(row).into_iter().map(name).collect::<Vec<_>>());
                output.answer(&line(row, stores.as_deref()), &record(row, stores.as_deref()));
            }
            found |= !page.is_empty();
            after = page.last().map(|row| row.entry.path.clone());
            if page.len() < PAGE as usize {
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

/// Stores that hold every piece of the file.
fn stores_of(row: &FileRow) -> Vec<n2s_domain::BackendId> {
    let Some(first) = row.blobs.first() else { return Vec::new() };
    let everywhere = |id: &&n2s_domain::BackendId| row.blobs.iter().all(|blob| blob.stored_on.contains(id));
    first.stored_on.iter().filter(everywhere).copied().collect()
}

fn line(row: &FileRow, stores: Option<&[String]>) -> String {
    let kind = match row.entry.content {
        Content::Directory => 'd',
        Content::Symlink { .. } => 'l',
        Content::File { .. } => '-',
    };
    let stores = stores.map(|stores| format!("  [{}]", stores.join(" "))).unwrap_or_default();
    format!("{kind}{:04o} {:>12}  {}{stores}", row.entry.meta.mode, row.entry.size(), row.entry.path)
}

fn record(row: &FileRow, stores: Option<&[String]>) -> Value {
    let entry = &row.entry;
    let (kind, hash, target) = match &entry.content {
        Content::Directory => ("directory", None, None),
        Content::Symlink { target } => ("symlink", None, Some(n2s_domain::path::escape(target))),
        Content::File { hash, .. } => ("file", Some(hash), None),
    };
    json!({
        "path": entry.path, "kind": kind, "size": entry.size(), "mode": entry.meta.mode, "uid": entry.meta.uid,
        "gid": entry.meta.gid, "mtime": [entry.meta.mtime.secs, entry.meta.mtime.nanos], "content_hash": hash,
        "link_target": target, "changeset": row.changeset, "stores": stores,
    })
}

pub async fn search(node: &Node, args: Search, output: &Output) -> anyhow::Result<ExitCode> {
    super::status::known(node, args.project.as_ref(), args.dataset.as_ref()).await?;
    let filter = ChangesetFilter { project: args.project, dataset: args.dataset, status: None };
    let hits = node.catalog.search(&filter, &args.text, &Page { after: None, limit: args.limit }).await?;
    let rows = hits.iter().map(|hit| {
        vec![hit.project.to_string(), hit.dataset.to_string(), bytes(hit.size), hit.path.to_string()]
    });
    let text = table(&["project", "dataset", "size", "path"], rows.collect());
    let json = hits.iter().map(|hit| {
        json!({
            "project": hit.project, "dataset": hit.dataset, "path": hit.path, "size": hit.size, "content_hash": hit.content_hash,
        })
    });
    output.answer(&text, &json!({ "hits": json.collect::<Vec<_>>() }));
    Ok(ExitCode::SUCCESS)
}

//! The manifest of a push, made from what the catalog recorded, sealed before commit.

use n2s_domain::{ContentHash, EntryChange, RelPath, SealedHash, Timestamp, Version};
use n2s_envelope::manifest::{
    Body, Counts, Group, GroupInfo, GroupKind, ListLine, ManifestHeader, MapLine, ObjectRef, ParentRef,
    Replaced, SegmentRef, SegmentWriter, plan_since,
};
use n2s_envelope::{Kind, Metadata, Sealer};
use n2s_failpoints::{Point, failpoint};
use uuid::Uuid;

use super::batch::{Done, Shared};
use super::error::PushError;
use super::seals::{self, Seals, store};
use crate::seam::{self, Commit, NewGroup, Opened, PlainCommit, SealedObject};

/// Rows of one page.
const PAGE: u32 = 4_096;

/// What the header says besides what the catalog counts.
pub(super) struct Facts<'a> {
    pub(super) catalog: Uuid,
    pub(super) opened: &'a Opened,
    pub(super) snapshot: Option<String>,
    pub(super) now: Timestamp,
}

/// Makes, sends and records the groups, and commits with the header and body that describe them.
pub(super) async fn commit(shared: &Shared, facts: &Facts<'_>, batches: u64) -> Result<(), PushError> {
    let producer = &shared.producer;
    let counts = producer.version_counts(&shared.lease).await?;
    let parent = facts.opened.parent.map_or(Version(0), |parent| parent.version);
    let chain = producer.manifest_groups(&shared.lease).await?;
    let (lists, maps): (Vec<_>, Vec<_>) =
        chain.into_iter().partition(|group| group.kind == seam::GroupKind::List);
    // A chain with a segment that no store has any more cannot be built on: a base takes its place.
    let since = |groups: &[seam::ManifestGroup]| {
        if lost(groups, &facts.opened.resend) {
            return Some(Version(0));
        }
        plan_since(&infos(groups), parent, counts.changed)
    };
    let (list_since, map_since) = (since(&lists), since(&maps));
    // Side by side, and both to their ends: a call to the catalog is never dropped half-way.
    let (list, map) = tokio::join!(list_group(shared, list_since), map_group(shared, map_since));
    let (new, sealed): (Vec<_>, Vec<_>) = list?.into_iter().chain(map?).unzip();
    let sealed = sealed.concat();
    producer.record_groups(&shared.lease, &new).await?;
    let groups = new.iter().map(|group| written(group, facts.opened.version, &sealed));
    let kept =
        [(lists, list_since), (maps, map_since)].into_iter().flat_map(|(groups, since)| kept(groups, since));
    let mut groups: Vec<Group> = kept.chain(groups).collect();
    groups.sort_by_key(|group| (group.kind, group.since));
    let replaced = producer.replaced_sealings(&shared.lease).await?;
    let body =
        Body { groups, replaced: replaced.into_iter().map(|(old, new)| Replaced { old, new }).collect() };
    let counts = Counts { files: counts.files, bytes: counts.bytes, changed: counts.changed };
    let body = json(&body)?;
    let committed = match &shared.seals {
        Seals::Here(sealer) => {
            let body = object(shared, sealer, (facts, Kind::ManifestBody), &body)?;
            let described = ObjectRef { sealed_hash: body.sealed_hash, size: body.bytes.len() as u64 };
            let header = json(&header(facts, described, counts, shared))?;
            let header = object(shared, sealer, (facts, Kind::ManifestHeader), &header)?;
            failpoint(Point::ManifestSealed);
            producer.commit(&shared.lease, Commit { batches, header, body }).await
        }
        Seals::There => {
            // Put right by the side that seals the body.
            let unsealed = ObjectRef { sealed_hash: SealedHash([0; 32]), size: 0 };
            let header = json(&header(facts, unsealed, counts, shared))?.into();
            producer.commit_plain(&shared.lease, PlainCommit { batches, header, body: body.into() }).await
        }
    };
    Ok(committed.map(drop)?)
}

fn lost(groups: &[seam::ManifestGroup], lost: &[ContentHash]) -> bool {
    let segments = groups.iter().flat_map(|group| &group.segments);
    !lost.is_empty() && segments.into_iter().any(|segment| lost.contains(&segment.content_hash))
}

fn infos(groups: &[seam::ManifestGroup]) -> Vec<GroupInfo> {
    groups.iter().map(|group| GroupInfo { since: group.since, entries: group.entries }).collect()
}

/// The groups of the parent that the new one does not swallow.
fn kept(groups: Vec<seam::ManifestGroup>, since: Option<Version>) -> impl Iterator<Item = Group> {
    let kept = groups.into_iter().filter(move |group| since.is_none_or(|since| group.through <= since));
    kept.map(|group| Group {
        kind: kind(group.kind),
        since: group.since,
        through: group.through,
        entries: group.entries,
        segments: group.segments.iter().map(segment).collect(),
    })
}

fn kind(kind: seam::GroupKind) -> GroupKind {
    match kind {
        seam::GroupKind::List => GroupKind::List,
        seam::GroupKind::Map => GroupKind::Map,
    }
}

fn segment(segment: &seam::SegmentRef) -> SegmentRef {
    SegmentRef {
        content_hash: segment.content_hash,
        sealed_hash: segment.sealed_hash,
        size: segment.size,
        encrypted_size: segment.encrypted_size,
    }
}

fn written(group: &NewGroup, through: Version, sealed: &[SegmentRef]) -> Group {
    let find = |hash: &ContentHash| sealed.iter().find(|segment| segment.content_hash == *hash).copied();
    Group {
        kind: kind(group.kind),
        since: group.since,
        through,
        entries: group.entries,
        segments: group.segments.iter().filter_map(find).collect(),
    }
}

/// A group and where its segments are; none where the chain needs no new one.
type Written = Option<(NewGroup, Vec<SegmentRef>)>;

async fn list_group(shared: &Shared, since: Option<Version>) -> Result<Written, PushError> {
    let Some(since) = since else { return Ok(None) };
    let mut group = GroupWriter::new(shared, seam::GroupKind::List, since);
    let mut after: Option<RelPath> = None;
    loop {
        let page = shared.producer.manifest_changes(&shared.lease, since, after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return group.finish().await };
        after = Some(last.path().clone());
        for change in &page {
            group.push(&ListLine::from(change as &EntryChange)).await?;
        }
    }
}

async fn map_group(shared: &Shared, since: Option<Version>) -> Result<Written, PushError> {
    let Some(since) = since else { return Ok(None) };
    let mut group = GroupWriter::new(shared, seam::GroupKind::Map, since);
    let mut after = None;
    loop {
        let page = shared.producer.manifest_blobs(&shared.lease, since, after, PAGE).await?;
        let Some(last) = page.last() else { return group.finish().await };
        after = Some(last.content_hash);
        for blob in &page {
            let line = MapLine {
                content_hash: blob.content_hash,
                sealed_hash: blob.sealed_hash,
                epoch: blob.epoch,
                encrypted_size: blob.encrypted_size,
            };
            group.push(&line).await?;
        }
    }
}

/// Seals and sends segments as they fill.
struct GroupWriter<'a> {
    shared: &'a Shared,
    lines: SegmentWriter,
    group: NewGroup,
    sealed: Vec<SegmentRef>,
}

impl<'a> GroupWriter<'a> {
    fn new(shared: &'a Shared, kind: seam::GroupKind, since: Version) -> Self {
        let group = NewGroup { kind, since, entries: 0, segments: Vec::new() };
        Self { shared, lines: SegmentWriter::default(), group, sealed: Vec::new() }
    }

    async fn push(&mut self, line: &impl serde::Serialize) -> Result<(), PushError> {
        match self.lines.push(line)? {
            Some(segment) => self.close(segment).await,
            None => Ok(()),
        }
    }

    async fn close(&mut self, segment: Vec<u8>) -> Result<(), PushError> {
        let (size, segment) = (segment.len() as u64, seals::segment(self.shared, segment));
        let content_hash = segment.hash;
        let mut done = Done::default();
        let mut stored = store(self.shared, vec![segment.clone()], &mut done).await?.pop();
        if stored.is_some_and(|stored| stored.encrypted_size.is_none()) {
            // Its answer was lost, and only its sending tells its size: the one thing that is sent twice.
            stored = store(self.shared, vec![segment], &mut done).await?.pop();
        }
        let stored = stored.and_then(|stored| Some((stored.sealed_hash, stored.encrypted_size?)));
        let (sealed_hash, encrypted_size) =
            stored.ok_or(n2s_envelope::EnvelopeError::Malformed("an unanswered segment"))?;
        self.group.segments.push(content_hash);
        self.sealed.push(SegmentRef { content_hash, sealed_hash, size, encrypted_size });
        Ok(())
    }

    async fn finish(mut self) -> Result<Written, PushError> {
        self.group.entries = self.lines.lines();
        if let Some(segment) = std::mem::take(&mut self.lines).finish() {
            self.close(segment).await?;
        }
        Ok(Some((self.group, self.sealed)))
    }
}

fn header(facts: &Facts<'_>, body: ObjectRef, counts: Counts, shared: &Shared) -> ManifestHeader {
    let opened = facts.opened;
    ManifestHeader {
        format: 1,
        vault: shared.vault,
        catalog: facts.catalog,
        project: shared.blob.project.clone(),
        dataset: shared.blob.dataset.clone(),
        version: opened.version,
        changeset: opened.lease.changeset,
        snapshot: facts.snapshot.clone(),
        created_at: facts.now.to_string(),
        parent: opened
            .parent
            .map(|parent| ParentRef { version: parent.version, changeset: parent.changeset }),
        counts,
        body,
    }
}

fn json(what: &impl serde::Serialize) -> Result<Vec<u8>, PushError> {
    serde_json::to_vec(what).map_err(|_| n2s_envelope::EnvelopeError::Malformed("the manifest").into())
}

fn object(
    shared: &Shared,
    sealer: &Sealer,
    (facts, kind): (&Facts<'_>, Kind),
    json: &[u8],
) -> Result<SealedObject, PushError> {
    let metadata = Metadata {
        kind,
        version: Some(facts.opened.version),
        changeset: Some(facts.opened.lease.changeset),
        catalog: Some(facts.catalog),
        ..shared.blob.clone()
    };
    let sealed = sealer.seal(&metadata, json)?;
    Ok(SealedObject { sealed_hash: sealed.sealed_hash, bytes: sealed.bytes })
}

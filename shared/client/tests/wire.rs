//! What crosses the network keeps its form: a record that is changed without meaning to change the API is noticed here.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use n2s_client::seam::{
    BadCopy, ChangesetRecord, FileBlob, GroupKind, Lease, ManifestGroup, ManifestState, Moment, NewGroup,
    OpenRequest, Opened, Parent, SegmentRef, StoreProgress, StoredBlob, TakeOver, VersionCounts, VersionRef,
};
use n2s_client::wire::calls::{BlobHead, FetchedHead, OfferAnswer};
use n2s_domain::{
    ChangesetId, ChangesetStatus, ContentHash, Epoch, FailureKind, LeaseToken, SealedHash, StoreKey,
    Timestamp, VaultId, Version,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

fn id() -> ChangesetId {
    ChangesetId(Uuid::from_u128(1))
}

/// Checks the form, and that it is read as what it was written from.
#[track_caller]
fn form<T: Serialize + DeserializeOwned + std::fmt::Debug>(record: &T, expected: &str) {
    let written = serde_json::to_string(record).unwrap();
    let short = |text: String| text.replace(&"11".repeat(32), "H1").replace(&"22".repeat(32), "H2");
    assert_eq!(short(written.clone()), expected);
    let read: T = serde_json::from_str(&written).unwrap();
    assert_eq!(format!("{read:?}"), format!("{record:?}"));
}

#[test]
fn a_push_keeps_its_form() {
    let request = OpenRequest {
        project: "p".parse().unwrap(),
        dataset: "tank/home".parse().unwrap(),
        vault: VaultId([7; 8]),
        store_key: StoreKey([0x11; 32]),
        snapshot: Some("monday".to_owned()),
        description: None,
        client_id: "host".to_owned(),
        metadata: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
        backends: vec!["one".parse().unwrap()],
        min_copies: Some(1),
        take_over: TakeOver::OwnEvenIfLive,
    };
    form(
        &request,
        r#"{"project":"p","dataset":"tank/home","vault":"0707070707070707","store_key":"H1","snapshot":"monday","description":null,"client_id":"host","metadata":{"k":"v"},"backends":["one"],"min_copies":1,"take_over":"own-even-if-live"}"#,
    );
    let opened = Opened {
        lease: Lease { changeset: id(), token: LeaseToken(Uuid::from_u128(2)) },
        version: Version(3),
        parent: Some(Parent { version: Version(2), changeset: id(), file_count: 5 }),
        resumed: Some(0),
        recorded: 1,
        backends: vec!["one".parse().unwrap()],
        resend: vec![ContentHash([0x11; 32])],
    };
    form(
        &opened,
        r#"{"lease":{"changeset":"00000000-0000-0000-0000-000000000001","token":"00000000-0000-0000-0000-000000000002"},"version":3,"parent":{"version":2,"changeset":"00000000-0000-0000-0000-000000000001","file_count":5},"resumed":0,"recorded":1,"backends":["one"],"resend":["H1"]}"#,
    );
    form(&OfferAnswer { held: vec![None, Some(SealedHash([0x22; 32]))] }, r#"{"held":[null,"H2"]}"#);
    let (content_hash, sealed_hash) = (ContentHash([0x11; 32]), SealedHash([0x22; 32]));
    let head = BlobHead { content_hash, size: 1, sealed_hash, epoch: Epoch(2), length: 3 };
    form(&head, r#"{"content_hash":"H1","size":1,"sealed_hash":"H2","epoch":2,"length":3}"#);
}

#[test]
fn a_manifests_parts_keep_their_form() {
    let (content_hash, sealed_hash) = (ContentHash([0x11; 32]), SealedHash([0x22; 32]));
    let segments = vec![SegmentRef { content_hash, sealed_hash, size: 1, encrypted_size: 2 }];
    let (since, through) = (Version(0), Version(2));
    form(
        &ManifestGroup { kind: GroupKind::List, since, through, entries: 4, segments },
        r#"{"kind":"list","since":0,"through":2,"entries":4,"segments":[{"content_hash":"H1","sealed_hash":"H2","size":1,"encrypted_size":2}]}"#,
    );
    form(
        &NewGroup { kind: GroupKind::Map, since, entries: 4, segments: vec![content_hash] },
        r#"{"kind":"map","since":0,"entries":4,"segments":["H1"]}"#,
    );
    form(
        &StoredBlob { content_hash, sealed_hash, epoch: Epoch(1), encrypted_size: 2 },
        r#"{"content_hash":"H1","sealed_hash":"H2","epoch":1,"encrypted_size":2}"#,
    );
    let counts = VersionCounts { files: 1, bytes: 2, changed: 3, removed: 4 };
    form(&counts, r#"{"files":1,"bytes":2,"changed":3,"removed":4}"#);
}

#[test]
fn what_a_pull_reads_keeps_its_form() {
    let (content_hash, sealed_hash) = (ContentHash([0x11; 32]), SealedHash([0x22; 32]));
    form(
        &FileBlob { id: 1, content_hash, sealed_hash, encrypted_size: 2 },
        r#"{"id":1,"content_hash":"H1","sealed_hash":"H2","encrypted_size":2}"#,
    );
    let version = VersionRef {
        dataset: 1,
        version: Version(2),
        changeset: id(),
        snapshot: None,
        file_count: 3,
        total_size: 4,
        vault: VaultId([7; 8]),
    };
    form(
        &version,
        r#"{"dataset":1,"version":2,"changeset":"00000000-0000-0000-0000-000000000001","snapshot":null,"file_count":3,"total_size":4,"vault":"0707070707070707"}"#,
    );
    let bad_copies = vec![BadCopy {
        backend: "one".parse().unwrap(),
        kind: FailureKind::NotFound,
        what: "gone".to_owned(),
    }];
    form(
        &FetchedHead { length: 1, bad_copies, problem: None },
        r#"{"length":1,"bad_copies":[{"backend":"one","kind":"not-found","what":"gone"}]}"#,
    );
}

#[test]
fn a_changeset_keeps_its_form() {
    let store = StoreProgress {
        backend: "one".parse().unwrap(),
        waiting: 1,
        failed: 0,
        manifest: ManifestState::Waiting,
        error: None,
        unreachable: Some("it is away".to_owned()),
    };
    let record = ChangesetRecord {
        changeset: id(),
        project: "p".parse().unwrap(),
        dataset: "d".parse().unwrap(),
        version: Version(1),
        snapshot: None,
        description: None,
        client_id: "host".to_owned(),
        metadata: BTreeMap::new(),
        status: ChangesetStatus::Pushing,
        error: None,
        created_at: Moment(Timestamp::from_micros(1)),
        committed_at: None,
        completed_at: None,
        file_count: 1,
        blob_count: 2,
        total_size: 3,
        added: 4,
        modified: 5,
        removed: 6,
        stores: vec![store],
    };
    form(
        &record,
        r#"{"changeset":"00000000-0000-0000-0000-000000000001","project":"p","dataset":"d","version":1,"snapshot":null,"description":null,"client_id":"host","metadata":{},"status":"pushing","error":null,"created_at":"1970-01-01T00:00:00.000001Z","committed_at":null,"completed_at":null,"file_count":1,"blob_count":2,"total_size":3,"added":4,"modified":5,"removed":6,"stores":[{"backend":"one","waiting":1,"failed":0,"manifest":"waiting","error":null,"unreachable":"it is away"}]}"#,
    );
}

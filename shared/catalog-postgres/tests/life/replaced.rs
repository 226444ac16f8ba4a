//! A blob that is given another sealing at the moment when the bytes of its old one arrive at a store.

use n2s_catalog::{Jobs as _, Pushes as _, StagedBlob, StagedKey, StagingBook as _, TakeOver};
use n2s_domain::{BackendId, Epoch, SealedHash};

use crate::world::{World, finish, hash, put, stored};

/// Whoever comes first, what is completed is what the blob is.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn stored_bytes_are_those_of_the_blobs_sealing() {
    let world = World::new(1).await;
    let open = world.open("a", TakeOver::IfLapsed).await.unwrap();
    let mut accepted = 0;
    for round in 0..24u8 {
        let name = format!("f{round}");
        world.stage(&open.lease, &[&name]).await;
        world.catalog.record_entries(&open.lease, u64::from(round) + 1, &[put(&name)]).await.unwrap();
        let claims = world.claim_all(BackendId(1)).await;
        let staged = world.psql("SELECT staging_id FROM blobs ORDER BY id DESC LIMIT 1").parse().unwrap();
        let content_hash = hash(&name);
        let old = StagedKey { sealed_hash: SealedHash(content_hash.0), id: staged };
        world.catalog.staging_lost(&[old]).await.unwrap();
        let another = StagedBlob {
            content_hash,
            size: 5,
            encrypted_size: 50,
            epoch: Epoch(1),
            staged: StagedKey { sealed_hash: SealedHash([round; 32]), id: staged ^ 1 },
        };
        let done: Vec<_> = claims.iter().map(|claim| finish(claim, stored())).collect();
        let (finishing, sending) = (world.clone(), world.clone());
        let finished = tokio::spawn(async move { finishing.catalog.finish(&done).await.unwrap().accepted });
        let sent =
            tokio::spawn(
                async move { sending.catalog.record_staged(&open.lease, &[another]).await.unwrap() },
            );
        let (finished, sent) = (finished.await.unwrap(), sent.await.unwrap());
        accepted += usize::from(finished[0]);
        assert_eq!(sent[0].keep_staged, !finished[0], "round {round}: both sealings were taken, or none");
        assert_eq!(sent[0].sealed_hash == old.sealed_hash, finished[0], "round {round}");
        world.work().await;
    }
    assert!(accepted > 0, "the finish never came first");
    assert_eq!(world.psql("SELECT count(*) FROM blob_backends WHERE status <> 'completed'"), "0");
}

//! What to look for, and who would miss it.

use std::collections::BTreeMap;

use n2s_catalog::decisions::proving::Copies;
use n2s_catalog::rows::validation;
use n2s_catalog::{Affected, Proof, ProofTarget, Vouched};

use crate::connect::PostgresCatalog;
use crate::decode::arrays;
use crate::error::Fail;

impl PostgresCatalog {
    pub(super) async fn targets(&self, proofs: &[Proof]) -> Result<Vec<Option<ProofTarget>>, Fail> {
        let copies = Copies::new(proofs.iter().map(|proof| (proof.object, proof.backend)));
        let (blobs, manifests) = (arrays(copies.blobs), arrays(copies.manifests));
        let rows = sqlx::query(
            "SELECT l.id, s.backend_id, l.content_hash, l.sealed_hash, l.encrypted_size FROM unnest($1::bigint[], $2::bigint[]) j (blob, backend)
             JOIN blob_backends s ON s.blob_id = j.blob AND s.backend_id = j.backend AND s.status = 'completed'
             JOIN blobs l ON l.id = s.blob_id",
        );
        let found = rows.bind(blobs.0).bind(blobs.1).fetch_all(&mut *self.link().await?).await?;
        let mut found =
            found.iter().map(validation::blob_target).collect::<Result<BTreeMap<_, _>, Fail>>()?;
        let rows = sqlx::query(
            "SELECT c.uuid, s.backend_id, p.name AS project, d.name AS dataset, c.version, d.store_key,
                h.sealed_hash AS header_hash, h.size AS header_size, b.sealed_hash AS body_hash, b.size AS body_size
             FROM unnest($1::uuid[], $2::bigint[]) j (uuid, backend) JOIN changesets c ON c.uuid = j.uuid
             JOIN changeset_backends s ON s.changeset_id = c.id AND s.backend_id = j.backend AND s.manifest = 'completed'
             JOIN datasets d ON d.id = c.dataset_id JOIN projects p ON p.id = d.project_id
             JOIN manifest_objects h ON h.changeset_id = c.id AND h.part = 'header'
             JOIN manifest_objects b ON b.changeset_id = c.id AND b.part = 'body'",
        );
        for row in &rows.bind(manifests.0).bind(manifests.1).fetch_all(&mut *self.link().await?).await? {
            found.extend([validation::manifest_target(row)?]);
        }
        Ok(proofs.iter().map(|proof| found.get(&(proof.object, proof.backend.0)).cloned()).collect())
    }

    /// Driven from the object, through the indexes that lead from blobs to files.
    pub(super) async fn who_needs(&self, object: Vouched, limit: u32) -> Result<Vec<Affected>, Fail> {
        let rows = match object {
            Vouched::Manifest(changeset) => {
                let rows = sqlx::query(
                    "SELECT p.name AS project, d.name AS dataset, c.version, NULL::bytea AS filepath FROM changesets c
                     JOIN datasets d ON d.id = c.dataset_id JOIN projects p ON p.id = d.project_id WHERE c.uuid = $1 LIMIT $2",
                );
                rows.bind(changeset.0).bind(i64::from(limit))
            }
            Vouched::Blob(blob) => {
                let rows = sqlx::query(
                    "SELECT p.name AS project, d.name AS dataset, n.version, n.filepath FROM (
                        (SELECT f.dataset_id, f.from_version AS version, f.filepath FROM files f
                            WHERE f.blob_id = $1 LIMIT $2)
                        UNION ALL (SELECT f.dataset_id, f.from_version, f.filepath FROM file_blobs q
                            JOIN files f ON f.id = q.file_id WHERE q.blob_id = $1 LIMIT $2)
                        UNION ALL (SELECT g.dataset_id, g.through, NULL::bytea FROM manifest_segments s
                            JOIN manifest_groups g ON g.id = s.group_id WHERE s.blob_id = $1 LIMIT $2)) n
                     JOIN datasets d ON d.id = n.dataset_id JOIN projects p ON p.id = d.project_id LIMIT $2",
                );
                rows.bind(blob.0).bind(i64::from(limit))
            }
        };
        rows.fetch_all(&mut *self.link().await?).await?.iter().map(validation::affected).collect()
    }
}

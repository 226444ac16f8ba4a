//! Leased → pending again. In bulk: when a store goes down, every outcome of every batch is one of these.

use n2s_catalog::decisions::finishing::Again;
use n2s_catalog::rows::jobs::HeldJob;

use crate::connect::Tx;
use crate::decode::{micros, text};
use crate::error::Fail;

/// The jobs are pending again, and their placements, or manifests, say why. Jobs and placements are locked.
pub(super) async fn again(tx: &mut Tx, retried: &[Again<'_>]) -> Result<(), Fail> {
    if retried.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE jobs SET state = 0, due_at = n2s_now() + r.after * interval '1 microsecond',
            retry_count = jobs.retry_count + r.charged::int
         FROM unnest($1::bigint[], $2::bigint[], $3::bool[]) r (id, after, charged) WHERE jobs.id = r.id",
    )
    .bind(retried.iter().map(|again| again.job.id).collect::<Vec<_>>())
    .bind(retried.iter().map(|again| micros(again.after)).collect::<Vec<_>>())
    .bind(retried.iter().map(|again| again.charged).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await?;
    let uploads = "UPDATE blob_backends s SET attempted_at = n2s_now(), error_kind = r.kind, error_message = r.words,
            retry_count = s.retry_count + r.charged::int
        FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bool[]) r (target, backend, kind, words, charged)
        WHERE s.blob_id = r.target AND s.backend_id = r.backend";
    let manifests = "UPDATE changeset_backends s SET attempted_at = n2s_now(), error_kind = r.kind, error_message = r.words,
            retry_count = s.retry_count + r.charged::int
        FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bool[]) r (target, backend, kind, words, charged)
        WHERE s.changeset_id = r.target AND s.backend_id = r.backend";
    say_why(tx, uploads, retried, |job| job.blob).await?;
    say_why(tx, manifests, retried, |job| job.blob.is_none().then_some(job.changeset)).await
}

async fn say_why(
    tx: &mut Tx,
    sql: &'static str,
    retried: &[Again<'_>],
    target: impl Fn(&HeldJob) -> Option<i64>,
) -> Result<(), Fail> {
    let (mut targets, mut backends, mut charged) = (Vec::new(), Vec::new(), Vec::new());
    let (mut kinds, mut words) = (Vec::new(), Vec::new());
    for again in retried {
        let (Some(target), Some((kind, said))) = (target(&again.job), again.error) else { continue };
        targets.push(target);
        backends.push(again.job.backend);
        charged.push(again.charged);
        kinds.push(kind.as_str());
        words.push(text(said));
    }
    if !targets.is_empty() {
        let query = sqlx::query(sql).bind(targets).bind(backends).bind(kinds).bind(words).bind(charged);
        query.execute(&mut **tx).await?;
    }
    Ok(())
}

//! The oldest proofs of a dataset on a store.
//!
//! A dataset has no index by proof: one would cost every push a write for each dataset that shares a blob. So its rows are
//! paged through, and a heap keeps the oldest. A run over more than the heap holds pages through them again for the next part,
//! which costs little beside reading so many objects.

use std::collections::{BinaryHeap, HashSet};

use n2s_catalog::{Catalog, CatalogError, DatasetScope, Proof, Vouched};
use n2s_domain::Timestamp;

/// Rows looked at in one question.
const PAGE: u32 = 5_000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Oldest first.
    pub(crate) oldest: Vec<Proof>,
    /// All copies there are, and their bytes, proven lately or not.
    pub(crate) copies: u64,
    pub(crate) bytes: u64,
}

/// The oldest `keep` proofs from before `before`, but for `undecided` ones.
pub(crate) async fn plan(
    catalog: &dyn Catalog,
    scope: &DatasetScope,
    before: Timestamp,
    undecided: &HashSet<Vouched>,
    keep: usize,
) -> Result<Plan, CatalogError> {
    let mut plan = Plan::default();
    // The latest of those kept is on top, to be thrown out.
    let mut heap: BinaryHeap<Proof> = BinaryHeap::new();
    let mut after: Option<String> = None;
    loop {
        let page = catalog.dataset_proofs(scope, after.as_deref(), PAGE).await?;
        for proof in page.proofs {
            plan.copies += 1;
            plan.bytes += proof.bytes;
            if proof.proven_at < before && !undecided.contains(&proof.object) {
                heap.push(proof);
                if heap.len() > keep {
                    heap.pop();
                }
            }
        }
        after = page.next;
        if after.is_none() {
            plan.oldest = heap.into_sorted_vec();
            return Ok(plan);
        }
    }
}

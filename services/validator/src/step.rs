//! A wave: some copies of a store, read together, judged, and recorded.
//!
//! Damage counts only when it was seen twice and the store's marker was right before, between and after: a disk that goes
//! away in the middle of a wave looks like a wave of missing objects.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use n2s_catalog::{Affected, CatalogError, Damage, Proof, ValidationRun, Vouched};
use n2s_domain::ProofLevel;
use n2s_envelope::Opener;
use n2s_telemetry::metrics::families;
use tokio::time::Instant;

use crate::budget::Budget;
use crate::check::{Item, Verdict, check};
use crate::deps::{StoreDeps, ValidatorDeps};
use crate::identity::{Stop, identify, left_alone};
use crate::report::{Found, StoreReport, What};

/// Calls to a store at once.
const CALLS: usize = 4;
/// What one call asks for at most.
const CALL_BYTES: u64 = 8 << 20;
const CALL_OBJECTS: usize = 64;
/// Waves without a single answer after which a store is left alone.
const SILENT_MAX: u32 = 3;
/// Between two looks whether an operator or a worker has paused the store.
const LOOK: Duration = Duration::from_secs(1);
/// Places that are named for one damage.
const AFFECTED: u32 = 4;

/// A run over one store.
#[derive(Debug)]
pub(crate) struct Stepper<'a> {
    pub(crate) deps: &'a ValidatorDeps,
    pub(crate) store: &'a StoreDeps,
    pub(crate) run: ValidationRun,
    pub(crate) level: ProofLevel,
    pub(crate) budget: Budget,
    pub(crate) silent: u32,
    pub(crate) looked_at: Instant,
}

/// How a wave ended.
#[derive(Debug)]
pub(crate) enum Stepped {
    /// All was judged but these.
    On(Vec<Vouched>),
    /// The store is to be left alone.
    Stopped(Stop),
    /// Another validator has taken the run over.
    TakenOver,
}

impl Stepper<'_> {
    /// How many of the next proofs make a wave.
    pub(crate) fn wave(&self, proofs: &[Proof]) -> usize {
        let room = (CALL_BYTES * CALLS as u64).min(self.budget.portion());
        let mut bytes = 0u64;
        let fits = |proof: &&Proof| {
            bytes = bytes.saturating_add(if self.level.reads_bytes() { proof.bytes } else { 0 });
            bytes <= room
        };
        let fitting = proofs.iter().take(CALLS * CALL_OBJECTS).take_while(fits).count();
        fitting.max(1).min(proofs.len())
    }

    /// Reads, judges and records one wave.
    pub(crate) async fn step(
        &mut self,
        proofs: &[Proof],
        report: &mut StoreReport,
    ) -> Result<Stepped, CatalogError> {
        if self.looked_at.elapsed() >= LOOK {
            self.looked_at = Instant::now();
            if let Some(stop) = left_alone(self.deps.catalog.as_ref(), self.store).await? {
                return Ok(Stepped::Stopped(stop));
            }
        }
        let targets = self.deps.catalog.proof_targets(proofs).await?;
        // What the catalog has given up meanwhile is nobody's to prove.
        let items = proofs.iter().zip(targets);
        let items: Vec<Item> =
            items.filter_map(|(proof, target)| target.map(|target| Item { proof: *proof, target })).collect();
        if self.level.reads_bytes() {
            self.budget.take(items.iter().map(|item| item.proof.bytes).sum()).await;
        }
        let verdicts = self.look(&items).await;
        let (mut intact, mut damaged, mut undecided) = (Vec::new(), Vec::new(), Vec::new());
        for (item, verdict) in items.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Intact => intact.push(item.proof),
                Verdict::Damaged(..) => damaged.push(item),
                Verdict::Unknown(why) => undecided.push((item.proof.object, why)),
            }
        }
        let alive = self.intact(&intact, report).await?;
        if !damaged.is_empty()
            && let Some(stop) = self.damaged(damaged, &mut undecided, report).await?
        {
            return Ok(Stepped::Stopped(stop));
        }
        Ok(match self.silent(intact.is_empty(), undecided, report) {
            Stepped::On(_) if !alive => Stepped::TakenOver,
            stepped => stepped,
        })
    }

    /// Counts and records what was right. False when the run has been taken over.
    async fn intact(&self, proofs: &[Proof], report: &mut StoreReport) -> Result<bool, CatalogError> {
        report.checked += proofs.len() as u64;
        self.count("intact", proofs.len() as u64);
        if self.level.reads_bytes() {
            let bytes = proofs.iter().map(|proof| proof.bytes).sum();
            report.bytes += bytes;
            families::VALIDATED_BYTES.with([self.store.name.as_str()]).add(bytes);
        }
        self.deps.catalog.record_proofs(self.run, self.level, proofs).await
    }

    /// Counts what got no answer; a store that gives none at all is left alone.
    fn silent(
        &mut self,
        none_intact: bool,
        undecided: Vec<(Vouched, String)>,
        report: &mut StoreReport,
    ) -> Stepped {
        report.unchecked += undecided.len() as u64;
        self.count("unchecked", undecided.len() as u64);
        let Some((_, why)) = undecided.first() else {
            self.silent = 0;
            return Stepped::On(Vec::new());
        };
        let why = why.clone();
        report.unchecked_why.get_or_insert_with(|| why.clone());
        self.silent = if none_intact { self.silent + 1 } else { 0 };
        if self.silent >= SILENT_MAX {
            return Stepped::Stopped(Stop::new(why));
        }
        Stepped::On(undecided.into_iter().map(|(object, _)| object).collect())
    }

    /// Once per wave: the look-up costs nothing beside it.
    fn count(&self, result: &str, copies: u64) {
        families::VALIDATED.with([self.store.name.as_str(), result]).add(copies);
    }

    async fn look(&self, items: &[Item]) -> Vec<Verdict> {
        let opener: Option<&Arc<Opener>> = self.deps.opener.as_ref();
        let calls = calls(items).into_iter();
        let calls = calls.map(|call| check(self.store.storage.as_ref(), self.level, opener, call));
        join_all(calls).await.into_iter().flatten().collect()
    }

    /// Looks again at what seems damaged, at a store that is certainly ours. `Some` when it is not, and nothing was recorded.
    async fn damaged(
        &self,
        items: Vec<Item>,
        undecided: &mut Vec<(Vouched, String)>,
        report: &mut StoreReport,
    ) -> Result<Option<Stop>, CatalogError> {
        let catalog = self.deps.catalog.as_ref();
        if let Err(stop) = identify(catalog, self.store).await? {
            return Ok(Some(stop));
        }
        let verdicts = self.look(&items).await;
        if let Err(stop) = identify(catalog, self.store).await? {
            return Ok(Some(stop));
        }
        let (mut damages, mut found, mut intact) = (Vec::new(), Vec::new(), Vec::new());
        for (item, verdict) in items.into_iter().zip(verdicts) {
            match verdict {
                // It was being replaced, or the wire was bad.
                Verdict::Intact => intact.push(item.proof),
                Verdict::Unknown(why) => undecided.push((item.proof.object, why)),
                Verdict::Damaged(key, kind, message) => {
                    let what = if matches!(item.proof.object, Vouched::Blob(_)) {
                        What::Blob
                    } else {
                        What::Manifest
                    };
                    found.push(Found {
                        what,
                        object: Some(item.proof.object),
                        store: self.store.id,
                        key: key.to_string(),
                        kind,
                        message: message.clone(),
                        affected: Vec::new(),
                    });
                    let (object, sealed_hash) = (item.proof.object, item.sealed_hash());
                    damages.push(Damage { object, backend: self.store.id, sealed_hash, kind, message });
                }
            }
        }
        self.intact(&intact, report).await?;
        let accepted = catalog.record_damage(Some(self.run), &damages).await?;
        self.deps.bell.ring();
        for (mut found, _) in found.into_iter().zip(accepted).filter(|(_, accepted)| *accepted) {
            tracing::warn!(backend.name = %self.store.name, object = found.key, message = found.message, "damaged");
            found.affected = self.affected(&found).await?;
            report.checked += 1;
            self.count("damaged", 1);
            report.found(found);
        }
        Ok(None)
    }

    async fn affected(&self, found: &Found) -> Result<Vec<Affected>, CatalogError> {
        match found.object {
            Some(object) => self.deps.catalog.affected(object, AFFECTED).await,
            None => Ok(Vec::new()),
        }
    }
}

/// Splits a wave into calls of bounded bytes and length.
fn calls(items: &[Item]) -> Vec<&[Item]> {
    let mut calls = Vec::new();
    let (mut start, mut bytes) = (0, 0u64);
    for (at, item) in items.iter().enumerate() {
        bytes = bytes.saturating_add(item.proof.bytes);
        if at > start && (bytes > CALL_BYTES || at - start >= CALL_OBJECTS) {
            calls.push(&items[start..at]);
            (start, bytes) = (at, item.proof.bytes);
        }
    }
    if start < items.len() {
        calls.push(&items[start..]);
    }
    calls
}

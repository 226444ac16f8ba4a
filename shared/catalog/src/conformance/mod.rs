//! What every catalog must keep, one case per promise, one file per noun.
//!
//! An implementation's tests call [`crate::catalog_conformance!`] with a future of a [`Bench`]. Every case gets an empty
//! catalog with two stores and one vault, and ends with an audit that must find nothing.
//!
//! Time is moved through the bench, never waited for, and no case asserts an instant: a server's clock goes on by itself, so
//! cases say only "well before" and "well after". Races run on two handles of the same database, because two tasks on one
//! handle may be kept apart by the handle itself. Rejected: a story of all methods in one test, which stops at its first failure
//! and says little about which promise broke.

#![expect(
    clippy::unwrap_used,
    reason = "these are tests, compiled as a library so that every catalog can run them"
)]

pub mod backends;
pub mod completion;
pub mod damage;
pub mod jobs;
pub mod library;
pub mod manifests;
pub mod model;
pub mod operate;
pub mod pushes;
pub mod races;
pub mod staging;
pub mod tokens;
pub mod validation;
pub mod vaults;
mod world;

pub use world::{Bench, Rng, World};

/// Instantiates every case: `catalog_conformance!(open())`, where `open()` is a future of a [`Bench`] over an empty catalog.
#[macro_export]
macro_rules! catalog_conformance {
    ($open:expr) => {
        $crate::catalog_conformance!($open;
            vaults: objects_come_back_as_registered, one_database_has_one_id;
            backends: rows_come_in_the_order_configured, an_operators_pause_outranks_a_probes, health_is_remembered,
                initialised_once_with_its_keys, a_paused_store_has_nothing_due, lanes_are_known_while_they_report;
            pushes: versions_are_reserved_and_never_reused, numbers_are_stepped_over, a_live_push_is_not_given_away, a_lapsed_push_is_resumed_by_its_client,
                the_dead_are_replaced_at_once, abandoned_by_another_it_is_undone_first, a_push_is_refused_what_was_fixed,
                offers_pin_what_exists, the_first_sealing_is_kept, entries_need_a_source, batches_repeat_without_effect,
                commit_counts_batches_and_repeats, what_lost_its_source_is_sent_again, an_inherited_loss_is_asked_for_at_open,
                undo_in_small_steps_restores_the_head, an_undone_push_leaves_other_waiters, idle_pushes_are_given_up,
                completed_between_offer_and_entries, an_abandoned_push_takes_its_promise_along,
                a_replaced_sealing_fences_uploads_of_the_old_one, what_reached_a_store_is_not_asked_for;
            manifests: groups_are_inherited_and_replaced, changes_and_blobs_are_read_back, segments_are_waited_for;
            jobs: a_ticket_is_claimed_once, an_outcome_counts_once, a_fenced_outcome_is_discarded, a_refused_message_is_due_again,
                a_wiped_broker_costs_only_its_messages,
                a_lost_message_is_due_again, only_the_objects_failures_are_charged, lapses_alone_fail_a_job,
                heartbeats_end_at_the_maximum, a_take_over_blames_nobody, a_backoff_is_waited_out, states_are_the_domains;
            completion: settles_once_when_all_is_placed, finished_before_commit_counts, failed_and_degraded,
                a_retry_begins_a_generation, waiters_are_shared, a_rearmed_placement_reopens_who_waited, a_child_waits_for_its_parent,
                a_failed_manifest_is_retried, a_backlog_is_not_taken_for_the_end;
            library: versions_equal_a_naive_model, selectors_find_versions, blobs_know_their_project, pages_join_up, searches_ignore_case_and_form;
            operate: failures_are_listed_and_filtered, a_retry_has_a_fresh_budget,
                a_cancelled_changeset_fails_and_can_be_retried, nothing_others_wait_for_is_cancelled;
            staging: kept_while_anything_needs_it, freed_at_the_largest_min_copies, pins_hold_and_let_go, unneeded_after_its_grace,
                orphans_are_found, early_only_what_a_store_has;
            tokens: a_token_is_found_by_its_hash_until_it_expires, a_revoked_token_stays_revoked, tokens_are_listed_newest_first;
            validation: every_copy_is_paged_once, a_segment_of_many_versions_comes_once,
                what_is_doubted_is_proven_first, oldest_proofs_come_first, existence_does_not_put_off_a_reading,
                targets_come_in_the_order_asked, one_run_at_a_time_goes_over_everything;
            damage: damage_is_replaced_by_a_job, min_copies_elsewhere_degrade, a_failed_repair_breaks_the_store,
                no_header_over_a_hole, the_last_copy_is_sent_again, a_push_learns_of_a_loss_before_it_commits,
                a_damaged_manifest_is_copied_again, what_is_not_vouched_for_is_not_damaged, who_needs_a_copy_is_named;
            model: random_operations_agree_with_a_model;
            races: tickets_are_claimed_once, outcomes_are_accepted_once, one_dataset_is_opened_once, no_waiter_is_lost,
                folds_settle_once, the_first_sealing_wins, nothing_pinned_is_freed;
        );
    };
    ($open:expr; $($noun:ident: $($case:ident),+;)+) => {
        $(mod $noun {
            use super::*;

            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let world = $crate::conformance::World::new($open.await).await;
                $crate::conformance::$noun::$case(&world).await;
                world.audit().await;
            })+
        })+
    };
}

//! `[push]`.

use crate::schema::section;

section! {
    /// What a push means when its command does not say.
    PushConfig at "push" {
        /// Stores that must hold everything before a changeset counts as safe. Unset: all of the dataset's stores.
        min_copies: Option<u32> = None,
    }
}

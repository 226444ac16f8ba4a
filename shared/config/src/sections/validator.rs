//! `[validator]`.

use crate::schema::section;

section! {
    /// How `n2s up` and `n2s serve validator` prove what the stores hold: by reading it back, oldest proof first.
    ValidatorConfig at "validator" {
        /// Bytes read from each store in a second. 0 turns the validator off.
        bytes_per_second: u64 = 10 * 1024 * 1024,
        /// Each copy is read back once in so many hours, if the rate allows. 720 hours are 30 days.
        every_hours: u64 = 720,
    }
}

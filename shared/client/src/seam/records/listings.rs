//! Listings, page by page.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a listing goes on, and how long a page is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paging {
    /// The `next` of the page before; from the start without.
    pub after: Option<String>,
    /// At most so many.
    pub limit: u32,
}

/// A page of a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Listing<T> {
    /// What there is.
    pub items: Vec<T>,
    /// Asks for the next page; absent on the last.
    pub next: Option<String>,
}

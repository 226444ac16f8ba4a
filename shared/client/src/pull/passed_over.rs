//! Copies that could not be used. A damaged object has a line of its own; a store that is gone has one for all its objects,
//! because it would say the same of each.

use n2s_domain::{BackendName, FailureKind};

use crate::seam::BadCopy;

/// Copies on one store that were passed over for the same reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// The store.
    pub backend: BackendName,
    /// What kind of reason; an outage stands for every object that met it.
    pub kind: FailureKind,
    /// The reason, for an outage the first one of its kind.
    pub what: String,
    /// How many objects: 1 unless it is an outage.
    pub objects: u64,
}

/// Adds a copy to the list.
pub(super) fn add(list: &mut Vec<PassedOver>, copy: BadCopy) {
    let BadCopy { backend, kind, what } = copy;
    let known = list.iter_mut().find(|known| kind.is_an_outage() && known.is_outage_of(kind, &backend));
    match known {
        Some(known) => known.objects += 1,
        None => list.push(PassedOver { backend, kind, what, objects: 1 }),
    }
}

impl PassedOver {
    fn is_outage_of(&self, kind: FailureKind, backend: &BackendName) -> bool {
        self.kind == kind && self.backend == *backend
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_said_once_and_counted() {
        let mut list = Vec::new();
        let mut add = |backend: &str, kind, what: &str| {
            let backend = backend.parse().unwrap();
            super::add(&mut list, BadCopy { backend, kind, what: what.to_owned() });
        };
        for object in ["a", "b"] {
            add("one", FailureKind::Misconfigured, object);
            add("two", FailureKind::Misconfigured, object);
            add("one", FailureKind::Unavailable, object);
            add("one", FailureKind::Corrupt, object);
        }
        let said: Vec<_> =
            list.iter().map(|one| (one.backend.as_str(), one.kind, one.what.as_str(), one.objects)).collect();
        assert_eq!(
            said,
            [
                ("one", FailureKind::Misconfigured, "a", 2),
                ("two", FailureKind::Misconfigured, "a", 2),
                ("one", FailureKind::Unavailable, "a", 2),
                ("one", FailureKind::Corrupt, "a", 1),
                ("one", FailureKind::Corrupt, "b", 1),
            ]
        );
    }
}

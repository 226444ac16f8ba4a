//! From which version a push's new group of segments starts.
//!
//! A delta from the parent is the least to write now, but a chain of a thousand tiny deltas is slow to read and long to name
//! in every body. So the chain is kept like a log-structured merge tree: a new delta swallows the deltas before it that are not
//! more than twice as large as what it has gathered, and becomes a base when all deltas together would pass a tenth of the base.
//! Every line is then rewritten O(log n) times, and a chain has O(log n) groups.

use n2s_domain::Version;

/// A group of the parent's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupInfo {
    /// The version before its first.
    pub since: Version,
    /// Lines in it.
    pub entries: u64,
}

/// The `since` of the new group, given the parent's chain (base first) and the lines that differ from the parent.
/// `None` when nothing differs and there is a base: no group is needed.
pub fn plan_since(chain: &[GroupInfo], parent: Version, changed: u64) -> Option<Version> {
    let Some((base, deltas)) = chain.split_first() else { return Some(Version(0)) };
    if changed == 0 {
        return None;
    }
    let in_deltas = deltas.iter().fold(changed, |sum, delta| sum.saturating_add(delta.entries));
    if in_deltas.saturating_mul(10) > base.entries {
        return Some(Version(0));
    }
    let (mut since, mut gathered) = (parent, changed);
    for delta in deltas.iter().rev() {
        if delta.entries > gathered.saturating_mul(2) {
            break;
        }
        since = delta.since;
        gathered += delta.entries;
    }
    Some(since)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn chains_stay_short_and_rewriting_stays_cheap(changes in proptest::collection::vec(0u64..40, 1..400)) {
            let base = 100_000;
            let mut chain = vec![GroupInfo { since: Version(0), entries: base }];
            let (mut written, mut changed_in_all) = (0, 0);
            for (version, changed) in (1u64..).zip(changes) {
                changed_in_all += changed;
                let Some(since) = plan_since(&chain, Version(version), changed) else {
                    prop_assert_eq!(changed, 0);
                    continue;
                };
                let kept = chain.iter().position(|group| group.since >= since).unwrap_or(chain.len());
                let swallowed: u64 = chain.drain(kept..).map(|group| group.entries).sum();
                let entries = if since == Version(0) { base } else { swallowed + changed };
                written += entries;
                chain.push(GroupInfo { since, entries });
                prop_assert!(chain.len() <= 16, "{} groups", chain.len());
                let deltas: u64 = chain[1..].iter().map(|group| group.entries).sum();
                prop_assert!(deltas * 10 <= base);
            }
            prop_assert!(written <= changed_in_all * 24 + base, "{written} for {changed_in_all}");
        }
    }

    #[test]
    fn the_first_version_is_a_base_and_an_unchanged_one_needs_nothing() {
        assert_eq!(plan_since(&[], Version(0), 0), Some(Version(0)));
        let base = GroupInfo { since: Version(0), entries: 100 };
        assert_eq!(plan_since(&[base], Version(1), 0), None);
        assert_eq!(plan_since(&[base], Version(1), 3), Some(Version(1)));
        assert_eq!(plan_since(&[base], Version(1), 11), Some(Version(0)));
    }
}

//! Whose jobs go next: the dispatcher's window is shared evenly by project, then by changeset, and what one cannot use
//! the others get. A push of 20 files is therefore never stuck behind one of 20 million.

use std::collections::BTreeMap;

/// Due jobs of one changeset on one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueGroup {
    /// The project's row.
    pub project: i64,
    /// The changeset's row.
    pub changeset: i64,
    /// How many of its jobs are due; counting may stop at the window.
    pub due: u32,
}

/// How many jobs of each group to take, in the groups' order. The sum is `window`, or all that is due.
///
/// `turn` counts calls: where the window does not divide evenly it moves the remainder on from group to group, so that
/// over many windows everybody gets the same.
pub fn shares(groups: &[DueGroup], window: u32, turn: u64) -> Vec<u32> {
    let mut by_project: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for (index, group) in groups.iter().enumerate() {
        by_project.entry(group.project).or_default().push(index);
    }
    let members: Vec<Vec<usize>> = by_project.into_values().collect();
    let due =
        |indices: &Vec<usize>| indices.iter().fold(0u32, |sum, &index| sum.saturating_add(groups[index].due));
    let of_projects = pour(&members.iter().map(due).collect::<Vec<_>>(), window, turn);
    let mut picks = vec![0; groups.len()];
    for (indices, share) in members.iter().zip(of_projects) {
        let wants: Vec<u32> = indices.iter().map(|&index| groups[index].due).collect();
        for (&index, pick) in indices.iter().zip(pour(&wants, share, turn)) {
            picks[index] = pick;
        }
    }
    picks
}

/// Fills vessels of the given sizes evenly from `amount`; what a full one cannot take flows to the rest.
fn pour(wants: &[u32], amount: u32, turn: u64) -> Vec<u32> {
    let mut given = vec![0; wants.len()];
    let mut left = amount;
    loop {
        let open: Vec<usize> = (0..wants.len()).filter(|&i| given[i] < wants[i]).collect();
        let count = u32::try_from(open.len()).unwrap_or(u32::MAX);
        if left == 0 || count == 0 {
            return given;
        }
        if left < count {
            let first = usize::try_from(turn % u64::from(count)).unwrap_or(0);
            open.iter().cycle().skip(first).take(left as usize).for_each(|&i| given[i] += 1);
            return given;
        }
        let level = left / count;
        for &i in &open {
            let more = level.min(wants[i] - given[i]);
            given[i] += more;
            left -= more;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_small_push_is_not_stuck_behind_a_big_one() {
        let groups = [
            DueGroup { project: 1, changeset: 1, due: 20_000_000 },
            DueGroup { project: 1, changeset: 2, due: 20 },
            DueGroup { project: 2, changeset: 3, due: 500 },
        ];
        assert_eq!(shares(&groups, 1_000, 0), [480, 20, 500]);
        assert_eq!(shares(&groups, 100, 0), [30, 20, 50]);
    }

    #[test]
    fn the_remainder_goes_round() {
        let groups = [1, 2, 3].map(|n| DueGroup { project: n, changeset: n, due: 9 });
        let total = (0..3).fold([0; 3], |mut sum, turn| {
            shares(&groups, 1, turn).iter().zip(&mut sum).for_each(|(share, sum)| *sum += share);
            sum
        });
        assert_eq!(total, [1, 1, 1]);
    }

    proptest! {
        #[test]
        fn gives_all_of_the_window_and_nobody_more_than_is_due(
            due in proptest::collection::vec((0i64..4, 0u32..50), 0..12), window in 0u32..200, turn: u64,
        ) {
            let groups: Vec<_> = due.iter().zip(0..).map(|(&(project, due), changeset)| DueGroup { project, changeset, due }).collect();
            let picks = shares(&groups, window, turn);
            prop_assert!(picks.iter().zip(&groups).all(|(pick, group)| *pick <= group.due));
            let total: u32 = groups.iter().map(|group| group.due).sum();
            prop_assert_eq!(picks.iter().sum::<u32>(), window.min(total));
        }
    }
}

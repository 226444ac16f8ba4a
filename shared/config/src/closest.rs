//! "Did you mean …": the known word nearest to a mistyped one.

/// The nearest of `known`, if it is near enough to be worth proposing: a third of the letters may differ.
pub(crate) fn closest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let best = known.map(|candidate| (distance(word, candidate), candidate)).min()?;
    let far = (best.1.len().max(word.len()) / 3).max(1);
    (best.0 <= far).then_some(best.1)
}

/// Insertions, removals, replacements and swaps of neighbours that turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(rows[i - 2][j - 2] + 1);
            }
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proposes_what_is_near_and_nothing_else() {
        let known = ["url", "pool_size", "high_water"];
        assert_eq!(closest("pool_szie", known.into_iter()), Some("pool_size"));
        assert_eq!(closest("poolsize", known.into_iter()), Some("pool_size"));
        assert_eq!(closest("ulr", known.into_iter()), Some("url"));
        assert_eq!(closest("colour", known.into_iter()), None);
        assert_eq!(closest("x", [].into_iter()), None);
    }
}

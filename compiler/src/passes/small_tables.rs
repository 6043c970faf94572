//! Branch tables that a few comparisons tell apart.
//!
//! A jump through a table takes eight instructions, a load among them, and is predicted by its
//! address alone. Compilers make tables of any `switch` for wasm, which has nothing else; for a
//! processor they would make comparisons of the small ones.

/// More comparisons than this take longer than a jump.
const MOST: usize = 4;

/// Selectors in a row that lead to the same label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The first one.
    pub(crate) first: u32,
    /// How many there are.
    pub(crate) len: u32,
    /// Where they lead.
    pub(crate) depth: u32,
}

/// The selectors that do not lead to the default, where `depths` are those of a table; `None` if
/// they are too many for comparisons.
pub(crate) fn runs(depths: &[u32], default: u32) -> Option<Vec<Run>> {
    let mut runs: Vec<Run> = Vec::new();
    let mut before = default;
    for (first, &depth) in (0..).zip(depths) {
        if depth == before && depth != default {
            runs.last_mut()?.len += 1;
        } else if depth != default {
            if runs.len() == MOST {
                return None;
            }
            let len = 1;
            runs.push(Run { first, len, depth });
        }
        before = depth;
    }
    Some(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a selector leads by its runs.
    fn target(runs: &[Run], default: u32, selector: u32) -> u32 {
        let run = runs
            .iter()
            .find(|run| (run.first..run.first + run.len).contains(&selector));
        run.map_or(default, |run| run.depth)
    }

    #[test]
    fn runs_lead_where_the_table_leads() {
        // Every table of six entries over three labels.
        for number in 0..3u32.pow(6) {
            let depths: Vec<u32> = (0..6).map(|digit| number / 3u32.pow(digit) % 3).collect();
            let Some(runs) = runs(&depths, 0) else {
                continue;
            };
            assert!(runs.len() <= MOST);
            for selector in 0..8 {
                let wanted = depths.get(selector as usize).copied().unwrap_or(0);
                assert_eq!(target(&runs, 0, selector), wanted, "{depths:?}");
            }
        }
    }

    #[test]
    fn long_tables_with_many_labels_stay() {
        assert_eq!(runs(&[1, 2, 3, 4, 5], 0), None);
        assert!(runs(&[1, 2, 3, 4, 0, 0], 0).is_some());
        assert!(runs(&[1; 1000], 0).is_some());
    }
}

//! How popular the items of a list are: ARP, APLT, ACLT, tail share and tail coverage.
//!
//! `φ(i)` is the number of users who had item `i` before, `Γ` the long tail, `L_u` a list.
//!
//! - `ARP = 1/|U| Σ_u Σ_{i ∈ L_u} φ(i) / |L_u|`: average recommendation popularity.
//! - `APLT = 1/|U| Σ_u |L_u ∩ Γ| / |L_u|`: average percentage of long-tail items.
//! - `ACLT = 1/|U| Σ_u |L_u ∩ Γ|`: average number of long-tail items.
//! - Tail share: `Σ_u |L_u ∩ Γ| / Σ_u |L_u|`, over all places at once.
//! - Tail coverage: the share of the tail that is shown to anybody.
//!
//! Empty lists have no ARP and no APLT and are left out there; their ACLT is 0.
//!
//! Papers: Yin, Cui, Li, Yao, Chen, "Challenging the Long Tail Recommendation", PVLDB 5(9), 2012
//! (ARP); Abdollahpouri, Burke, Mobasher, "Managing Popularity Bias in Recommender Systems with
//! Personalized Re-ranking", FLAIRS 2019 (APLT, ACLT).
//! Cost: O(places + items log items).

use quintet_core::ItemIdx;

use super::context::{ListContext, TailRule};
use super::{Column, UserLists, mean_over};

/// Items by popularity, most popular first; ties by position.
pub(super) fn by_popularity(counts: &[u32]) -> Vec<ItemIdx> {
    let mut order: Vec<ItemIdx> = (0..counts.len()).map(ItemIdx::new).collect();
    order.sort_by_key(|item| (std::cmp::Reverse(counts[item.index()]), *item));
    order
}

/// Which candidates are the long tail, `[n_items]`; others are in neither part.
pub(super) fn tail(context: &ListContext<'_>, order: &[ItemIdx], counts: &[u32]) -> Vec<bool> {
    let candidates: Vec<ItemIdx> =
        order.iter().copied().filter(|item| context.takes_part(item.index())).collect();
    let total: u64 = candidates.iter().map(|item| u64::from(counts[item.index()])).sum();
    let n_head = match context.tail {
        TailRule::HeadItems(share) => (share * candidates.len() as f64).ceil() as usize,
        TailRule::HeadInteractions(share) => {
            let mut before = 0;
            candidates
                .iter()
                .take_while(|item| {
                    let inside = (before as f64) < share * total as f64;
                    before += u64::from(counts[item.index()]);
                    inside
                })
                .count()
        }
    };
    let mut tail = vec![false; counts.len()];
    candidates.iter().skip(n_head).for_each(|item| tail[item.index()] = true);
    tail
}

/// The metrics that are a value a user.
pub(super) fn columns<'a>(counts: &'a [u32], tail: &'a [bool]) -> Vec<Column<'a>> {
    let in_tail = |item: ItemIdx| f64::from(u8::from(tail[item.index()]));
    vec![
        Column::new("arp", |_, list| mean_over(list, |i| f64::from(counts[i.index()]))),
        Column::new("aplt", move |_, list| mean_over(list, in_tail)),
        Column::new("aclt", move |_, list| Some(list.iter().map(|i| in_tail(*i)).sum())),
    ]
}

/// Tail share and tail coverage; `None` without a place, or without a tail.
pub(super) fn of_all(lists: &UserLists<'_>, tail: &[bool]) -> (Option<f64>, Option<f64>) {
    let mut shown = vec![false; tail.len()];
    let (mut places, mut in_tail) = (0u64, 0u64);
    for item in lists.iter().flat_map(|(_, list)| list) {
        places += 1;
        in_tail += u64::from(tail[item.index()]);
        shown[item.index()] = true;
    }
    let n_tail = tail.iter().filter(|t| **t).count() as u64;
    let n_shown = shown.iter().zip(tail).filter(|(s, t)| **s && **t).count() as u64;
    let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
    (share(in_tail, places), share(n_shown, n_tail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::{Interactions, UserIdx};

    /// Counts 3 1 2 0 of four items.
    fn history() -> Interactions {
        Interactions::from_pairs(3, 4, [(0, 0), (1, 0), (2, 0), (0, 1), (1, 2), (2, 2)]).unwrap()
    }

    #[test]
    fn tails_by_hand() {
        let history = history();
        let counts = history.item_counts();
        let order = by_popularity(&counts);
        assert_eq!(order, [0, 2, 1, 3].map(ItemIdx));
        let tail = |context: ListContext<'_>| tail(&context, &order, &counts);
        let context = || ListContext::new(&history);
        // 0.2 · 4 items, rounded up: one.
        assert_eq!(tail(context()), [false, true, true, true]);
        // Half of six interactions: item 0 alone. A little more: item 2 as well.
        let half = context().with_tail(TailRule::HeadInteractions(0.5));
        assert_eq!(tail(half), [false, true, true, true]);
        let more = context().with_tail(TailRule::HeadInteractions(0.51));
        assert_eq!(tail(more), [false, true, false, true]);
        // Without item 0, item 2 is the head and item 0 in neither part.
        let mask = [false, true, true, true];
        assert_eq!(tail(context().with_candidates(&mask)), [false, true, false, true]);
    }

    #[test]
    fn lists_by_hand() {
        let (counts, tail) = ([3, 1, 2, 0], [false, true, false, true]);
        let columns = columns(&counts, &tail);
        let names: Vec<_> = columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["arp", "aplt", "aclt"]);
        let values = |list: &[ItemIdx]| -> Vec<_> {
            columns.iter().map(|c| (c.value)(UserIdx(0), list)).collect()
        };
        assert_eq!(values(&[0, 1, 3].map(ItemIdx)), [Some(4.0 / 3.0), Some(2.0 / 3.0), Some(2.0)]);
        assert_eq!(values(&[]), [None, None, Some(0.0)]);
        let users = [UserIdx(0), UserIdx(1)];
        let lists = [[0, 1].map(ItemIdx).to_vec(), [1, 2].map(ItemIdx).to_vec()];
        let lists = UserLists::new(&users, &lists, 2, (2, 4)).unwrap();
        assert_eq!(of_all(&lists, &tail), (Some(0.5), Some(0.5)));
        assert_eq!(of_all(&lists, &[false; 4]), (Some(0.0), None));
    }
}

//! What metrics read: one user's list as hits, a user's held-out items by rank, all lists.

use quintet_core::ItemIdx;

/// The top of one user's ranked list, seen as hits and misses.
///
/// Relevant items may have grades; without them every grade is 1.
#[derive(Debug, Clone, Copy)]
pub struct RankedUser<'a> {
    hits: &'a [bool],
    /// Positions of the hits from 0, where somebody has looked for them already.
    found: Option<&'a [u32]>,
    n_hits: usize,
    n_truth: usize,
    k: usize,
    grades: Grades<'a>,
    max_grade: f32,
}

/// How relevant the relevant items are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Grades<'a> {
    /// All the same.
    Equal(f32),
    /// Those of the hits, by rank, and those of all relevant items, descending.
    Each { hits: &'a [f32], ideal: &'a [f32] },
}

impl<'a> RankedUser<'a> {
    /// Cuts `hits` (best rank first, any length) at `k`.
    ///
    /// # Panics
    /// When `k` or `n_truth` is zero, or when there are more hits than relevant items.
    pub fn new(hits: &'a [bool], n_truth: usize, k: usize) -> Self {
        assert!(k > 0, "a cutoff is at least 1");
        assert!(n_truth > 0, "a user without relevant items has no metric");
        let hits = &hits[..hits.len().min(k)];
        let n_hits = hits.iter().filter(|hit| **hit).count();
        assert!(n_hits <= n_truth, "more hits than the {n_truth} relevant items");
        let grades = Grades::Equal(1.0);
        Self { hits, found: None, n_hits, n_truth, k, grades, max_grade: 1.0 }
    }

    /// Gives the relevant items grades: `hits` for those found, by rank, and `ideal` for all of
    /// them, descending. `max_grade` is the largest grade of the scale, which no user need have.
    ///
    /// # Panics
    /// When there are fewer `hits` than hits, not one of `ideal` for every relevant item, or when
    /// `ideal` does not descend or begins above `max_grade`.
    pub fn with_grades(mut self, hits: &'a [f32], ideal: &'a [f32], max_grade: f32) -> Self {
        assert!(hits.len() >= self.n_hits, "{} grades of {} hits", hits.len(), self.n_hits);
        assert_eq!(ideal.len(), self.n_truth, "grades of all relevant items");
        assert!(ideal.is_sorted_by(|a, b| a >= b), "the ideal grades do not descend");
        assert!(ideal.first().is_none_or(|g| *g <= max_grade), "a grade above {max_grade}");
        self.grades = Grades::Each { hits, ideal };
        self.max_grade = max_grade;
        self
    }

    /// As [`RankedUser::new`], from hits that have been looked for: `found` holds their positions
    /// from 0, ascending. Nothing is checked.
    pub(crate) fn of_found(hits: &'a [bool], found: &'a [u32], n_truth: usize, k: usize) -> Self {
        let hits = &hits[..hits.len().min(k)];
        let n_hits = found.partition_point(|position| (*position as usize) < k);
        let found = Some(&found[..n_hits]);
        let grades = Grades::Equal(1.0);
        Self { hits, found, n_hits, n_truth, k, grades, max_grade: 1.0 }
    }

    /// As [`RankedUser::with_grades`]. Nothing is checked.
    pub(crate) fn graded(mut self, grades: Grades<'a>, max_grade: f32) -> Self {
        self.grades = grades;
        self.max_grade = max_grade;
        self
    }

    /// Whether the item of each rank is relevant; at most `k` entries, fewer for a short list.
    pub fn hits(&self) -> &'a [bool] {
        self.hits
    }

    /// How many of the first `k` items are relevant.
    pub fn n_hits(&self) -> usize {
        self.n_hits
    }

    /// How many items are relevant to the user, found or not; at least 1.
    pub fn n_truth(&self) -> usize {
        self.n_truth
    }

    /// The cutoff; at least 1.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The ranks of the hits, counted from 1, ascending.
    pub fn hit_ranks(&self) -> impl Iterator<Item = usize> + use<'a> {
        let (listed, scanned) = match self.found {
            Some(found) => (found, &[][..]),
            None => (&[][..], self.hits),
        };
        let scanned = scanned.iter().enumerate().filter(|(_, hit)| **hit).map(|(at, _)| at + 1);
        listed.iter().map(|position| *position as usize + 1).chain(scanned)
    }

    /// The ranks of the hits as [`RankedUser::hit_ranks`], each with the item's grade.
    pub fn hit_grades(&self) -> impl Iterator<Item = (usize, f64)> + use<'a> {
        let grades = self.grades;
        self.hit_ranks().enumerate().map(move |(at, rank)| match grades {
            Grades::Equal(grade) => (rank, f64::from(grade)),
            Grades::Each { hits, .. } => (rank, f64::from(hits[at])),
        })
    }

    /// The grades of all relevant items, descending: those of the best possible list.
    pub fn ideal_grades(&self) -> impl Iterator<Item = f64> + use<'a> {
        let grades = self.grades;
        (0..self.n_truth).map(move |at| match grades {
            Grades::Equal(grade) => f64::from(grade),
            Grades::Each { ideal, .. } => f64::from(ideal[at]),
        })
    }

    /// The largest grade of the scale.
    pub fn max_grade(&self) -> f64 {
        f64::from(self.max_grade)
    }
}

/// Where one user's relevant items stand in the ranking of everything that takes part.
#[derive(Debug, Clone, Copy)]
pub struct FullRanks<'a> {
    mid_ranks: &'a [f64],
    n_candidates: usize,
}

impl<'a> FullRanks<'a> {
    /// One mid-rank for every relevant item, in any order.
    ///
    /// # Panics
    /// When there is none, or more than `n_candidates`.
    pub fn new(mid_ranks: &'a [f64], n_candidates: usize) -> Self {
        assert!((1..=n_candidates).contains(&mid_ranks.len()), "ranks of {n_candidates} items");
        Self { mid_ranks, n_candidates }
    }

    /// The rank of each relevant item, counted from 1. Items of equal score all have the mean of
    /// the ranks that they fill together, so ties cost nothing and gain nothing.
    pub fn mid_ranks(&self) -> &'a [f64] {
        self.mid_ranks
    }

    /// How many items are relevant; at least 1.
    pub fn n_truth(&self) -> usize {
        self.mid_ranks.len()
    }

    /// How many items were ranked: those that take part without those that the user has seen.
    pub fn n_candidates(&self) -> usize {
        self.n_candidates
    }
}

/// The ranked lists of all evaluated users, for metrics that are no mean over users.
#[derive(Debug, Clone, Copy)]
pub struct RankedLists<'a> {
    lists: Lists<'a>,
    n_items: usize,
    n_candidates: usize,
    k: usize,
}

/// Lists as they come, or one behind the other, each in `width` places.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lists<'a> {
    Apart(&'a [Vec<ItemIdx>]),
    Flat { items: &'a [ItemIdx], lengths: &'a [u32], width: usize },
}

impl<'a> RankedLists<'a> {
    /// Lists of any length, best first, over `n_items` positions of which `n_candidates` can
    /// occur; they are read up to `k`.
    ///
    /// # Panics
    /// When `k` is zero, or when `n_candidates` is zero or exceeds `n_items`.
    pub fn new(lists: &'a [Vec<ItemIdx>], n_items: usize, n_candidates: usize, k: usize) -> Self {
        Self::of(Lists::Apart(lists), n_items, n_candidates, k)
    }

    /// As [`RankedLists::new`].
    pub(crate) fn of(lists: Lists<'a>, n_items: usize, n_candidates: usize, k: usize) -> Self {
        assert!(k > 0, "a cutoff is at least 1");
        assert!((1..=n_items).contains(&n_candidates), "{n_candidates} of {n_items} items");
        Self { lists, n_items, n_candidates, k }
    }

    /// The list of every evaluated user, cut at `k`.
    pub fn iter(&self) -> impl Iterator<Item = &'a [ItemIdx]> + use<'a> {
        let Self { lists, k, .. } = *self;
        let n = match lists {
            Lists::Apart(lists) => lists.len(),
            Lists::Flat { lengths, .. } => lengths.len(),
        };
        (0..n).map(move |user| {
            let list = match lists {
                Lists::Apart(lists) => &lists[user],
                Lists::Flat { items, lengths, width } => {
                    &items[user * width..][..lengths[user] as usize]
                }
            };
            &list[..list.len().min(k)]
        })
    }

    /// Size of the item table: every position in the lists is smaller.
    pub fn n_items(&self) -> usize {
        self.n_items
    }

    /// How many items took part in the ranking; at least 1.
    pub fn n_candidates(&self) -> usize {
        self.n_candidates
    }

    /// The cutoff; at least 1.
    pub fn k(&self) -> usize {
        self.k
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_cut_at_k_and_a_short_one_stays_short() {
        let hits = [true, false, true];
        let user = RankedUser::new(&hits, 5, 2);
        assert_eq!((user.hits(), user.n_hits(), user.k()), (&hits[..2], 1, 2));
        let user = RankedUser::new(&hits, 5, 10);
        assert_eq!((user.hits().len(), user.n_hits()), (3, 2));
        assert_eq!(user.hit_ranks().collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn hits_that_were_looked_for_are_the_same_hits() {
        let hits = [true, false, true, false, true];
        for k in 1..7 {
            let (a, b) =
                (RankedUser::new(&hits, 4, k), RankedUser::of_found(&hits, &[0, 2, 4], 4, k));
            assert_eq!((a.hits(), a.n_hits()), (b.hits(), b.n_hits()));
            assert!(a.hit_ranks().eq(b.hit_ranks()));
        }
    }

    #[test]
    fn grades_stand_beside_their_hits() {
        let user = RankedUser::new(&[true, false, true], 3, 3);
        let user = user.with_grades(&[1.0, 4.0], &[4.0, 2.0, 1.0], 5.0);
        assert_eq!(user.hit_grades().collect::<Vec<_>>(), [(1, 1.0), (3, 4.0)]);
        assert_eq!(user.ideal_grades().collect::<Vec<_>>(), [4.0, 2.0, 1.0]);
        assert_eq!(user.max_grade(), 5.0);
    }

    #[test]
    fn lists_behind_each_other_read_as_lists_apart() {
        let items = [1, 2, 9, 3, 9, 9].map(ItemIdx);
        let flat = Lists::Flat { items: &items, lengths: &[2, 1], width: 3 };
        let flat = RankedLists::of(flat, 10, 10, 2);
        let apart = [vec![ItemIdx(1), ItemIdx(2), ItemIdx(4)], vec![ItemIdx(3)]];
        assert!(flat.iter().eq(RankedLists::new(&apart, 10, 10, 2).iter()));
    }
}

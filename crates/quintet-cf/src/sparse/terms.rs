//! Cells laid out for products of entities with each other.
//!
//! Entities have ranks, by default the most used first, and every term lists its entities by
//! rank. What entity `i` shares with all entities of a smaller rank is then the sum of the
//! beginnings of its terms' rows: each product of two entities is computed once, and the sums of
//! a busy entity lie in a short stretch of memory that the first caches hold.
//! Cost: `½ Σ_t n_t²` additions for all products, 12 bytes a cell (16 with weights).

use quintet_core::{Interactions, Sequences, Triplet, UserIdx};
use quintet_tensor::FitError;

/// Rows that are fetched together.
const AHEAD: usize = 8;

/// Numbers in a line of a cache.
const LINE: usize = 16;

/// How entities are ranked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// As they are numbered.
    Given,
    /// Those with the most terms first, then as they are numbered.
    Popularity,
}

/// Cells by term and by entity.
pub(crate) struct Terms {
    /// The entity of each rank.
    order: Vec<u32>,
    /// Where each term's row begins in `ranks`.
    indptr: Vec<usize>,
    /// Ranks of the entities of every term, ascending.
    ranks: Vec<u32>,
    /// Weights that go with `ranks`; where absent, cells weigh the same within a term.
    weights: Option<Vec<f32>>,
    /// Squared weight of the cells of each term; where absent, 1.
    squares: Option<Vec<f32>>,
    /// Where the places of each rank begin.
    place_ptr: Vec<usize>,
    /// Of every rank its terms, ascending, with how many of the term's cells have smaller ranks.
    places: Vec<(u32, u32)>,
}

impl Terms {
    /// Lays out `by_term`, `[terms, entities]`. `cells` weighs every cell, in its order; without
    /// it a cell weighs the root of its term's number in `squares`, or 1.
    pub(crate) fn new(
        by_term: &Interactions,
        cells: Option<&[f32]>,
        squares: Option<Vec<f32>>,
        order: Order,
    ) -> Self {
        let counts = by_term.item_counts();
        let n = counts.len();
        let mut entities: Vec<u32> = (0..n as u32).collect();
        if order == Order::Popularity {
            entities.sort_by_key(|&e| std::cmp::Reverse(counts[e as usize]));
        }
        let mut rank_of = vec![0u32; n];
        let mut place_ptr = vec![0usize; n + 1];
        for (rank, &entity) in entities.iter().enumerate() {
            rank_of[entity as usize] = rank as u32;
            place_ptr[rank + 1] = place_ptr[rank] + counts[entity as usize] as usize;
        }
        // Cells by entity first; going through them by rank fills the terms' rows in order.
        let mut next = place_ptr.clone();
        let mut places = vec![(0u32, 0u32); by_term.nnz()];
        for term in 0..by_term.n_users() {
            let begin = by_term.indptr()[term];
            for (place, item) in by_term.items(UserIdx::new(term)).iter().enumerate() {
                let slot = &mut next[rank_of[item.index()] as usize];
                // The second number is where the weight lies, until the row is filled.
                let cell = if cells.is_some() { (begin + place) as u32 } else { 0 };
                places[*slot] = (term as u32, cell);
                *slot += 1;
            }
        }
        let indptr = by_term.indptr().to_vec();
        let mut filled = vec![0u32; by_term.n_users()];
        let mut ranks = vec![0u32; by_term.nnz()];
        let mut weights = cells.map(|c| vec![0.0f32; c.len()]);
        for rank in 0..n {
            for (term, cell) in &mut places[place_ptr[rank]..place_ptr[rank + 1]] {
                let place = &mut filled[*term as usize];
                let slot = indptr[*term as usize] + *place as usize;
                ranks[slot] = rank as u32;
                if let (Some(weights), Some(cells)) = (&mut weights, cells) {
                    weights[slot] = cells[*cell as usize];
                }
                *cell = *place;
                *place += 1;
            }
        }
        Self { order: entities, indptr, ranks, weights, squares, place_ptr, places }
    }

    /// Number of entities.
    pub(crate) fn n_entities(&self) -> usize {
        self.order.len()
    }

    /// The entity of each rank.
    pub(crate) fn order(&self) -> &[u32] {
        &self.order
    }

    /// Whether the sums of [`Terms::add_products`] are the numbers of common terms.
    pub(crate) fn counts_terms(&self) -> bool {
        self.weights.is_none() && self.squares.is_none()
    }

    /// How many additions the products of `rank` with all smaller ranks take.
    pub(crate) fn work(&self, rank: usize) -> usize {
        self.places_of(rank).iter().map(|p| p.1 as usize).sum()
    }

    fn places_of(&self, rank: usize) -> &[(u32, u32)] {
        &self.places[self.place_ptr[rank]..self.place_ptr[rank + 1]]
    }

    /// The squared length of `rank`: its product with itself.
    pub(crate) fn square(&self, rank: usize) -> f32 {
        let cell = |&(term, place): &(u32, u32)| match (&self.weights, &self.squares) {
            (Some(w), _) => w[self.indptr[term as usize] + place as usize].powi(2),
            (None, Some(s)) => s[term as usize],
            (None, None) => 1.0,
        };
        self.places_of(rank).iter().map(cell).sum()
    }

    /// Number of terms of `rank`.
    pub(crate) fn n_terms(&self, rank: usize) -> usize {
        self.place_ptr[rank + 1] - self.place_ptr[rank]
    }

    /// Calls `add(smaller rank, product of the two cells)` for every term of `rank` and every
    /// entity of a smaller rank in it; terms ascend.
    #[inline]
    pub(crate) fn products(&self, rank: usize, mut add: impl FnMut(usize, f32)) {
        for places in self.places_of(rank).chunks(AHEAD) {
            self.touch(places);
            for &(term, place) in places {
                let begin = self.indptr[term as usize];
                let row = &self.ranks[begin..begin + place as usize];
                match (&self.weights, &self.squares) {
                    (Some(weights), _) => {
                        let weights = &weights[begin..=begin + place as usize];
                        let own = weights[place as usize];
                        for (&other, weight) in row.iter().zip(weights) {
                            add(other as usize, own * weight);
                        }
                    }
                    (None, Some(squares)) => {
                        let square = squares[term as usize];
                        row.iter().for_each(|&other| add(other as usize, square));
                    }
                    (None, None) => row.iter().for_each(|&other| add(other as usize, 1.0)),
                }
            }
        }
    }

    /// Additions that the products of all pairs take, each pair once.
    pub(crate) fn whole_work(&self) -> usize {
        self.places.iter().map(|p| p.1 as usize).sum()
    }

    /// As [`Terms::products`], with every other entity, not those of a smaller rank alone; the
    /// entity itself is among them.
    #[inline]
    pub(crate) fn all_products(&self, rank: usize, mut add: impl FnMut(usize, f32)) {
        for &(term, place) in self.places_of(rank) {
            let range = self.indptr[term as usize]..self.indptr[term as usize + 1];
            let row = &self.ranks[range.clone()];
            match (&self.weights, &self.squares) {
                (Some(weights), _) => {
                    let weights = &weights[range];
                    let own = weights[place as usize];
                    for (&other, weight) in row.iter().zip(weights) {
                        add(other as usize, own * weight);
                    }
                }
                (None, Some(squares)) => {
                    let square = squares[term as usize];
                    row.iter().for_each(|&other| add(other as usize, square));
                }
                (None, None) => row.iter().for_each(|&other| add(other as usize, 1.0)),
            }
        }
    }

    /// Reads one number of every line of the rows that come next: rows lie all over the memory,
    /// and many reads that wait at the same time take as long as one.
    #[inline]
    fn touch(&self, places: &[(u32, u32)]) {
        let mut sum = 0u32;
        for &(term, place) in places {
            let begin = self.indptr[term as usize];
            let row = &self.ranks[begin..begin + place as usize];
            row.iter().step_by(LINE).for_each(|rank| sum ^= rank);
        }
        std::hint::black_box(sum);
    }

    /// As [`Terms::products`], counting common terms.
    pub(crate) fn common(&self, rank: usize, mut add: impl FnMut(usize)) {
        for &(term, place) in self.places_of(rank) {
            let begin = self.indptr[term as usize];
            let row = &self.ranks[begin..begin + place as usize];
            row.iter().for_each(|&other| add(other as usize));
        }
    }
}

/// `by_term` with every value 1.
///
/// # Errors
/// None: the cells are those of a matrix.
pub(crate) fn with_ones(by_term: &Interactions) -> Result<Interactions, FitError> {
    if by_term.iter().all(|t| t.value == 1.0) {
        return Ok(by_term.clone());
    }
    let cells = by_term.iter().map(|t| Triplet { value: 1.0, ..t });
    let (n_users, n_items) = (by_term.n_users(), by_term.n_items());
    Ok(Interactions::from_sorted(n_users, n_items, by_term.nnz(), cells)?)
}

/// `train` with at most `cap` items a user: the latest where times are known, else spread evenly
/// over the row. Users with thousands of items cost the most and say the least.
///
/// # Errors
/// None: the cells are those of a matrix.
pub(crate) fn capped(
    train: &Interactions,
    sequences: Option<&Sequences>,
    cap: usize,
) -> Result<Interactions, FitError> {
    let mut cells = Vec::with_capacity(train.nnz());
    for u in 0..train.n_users() {
        let user = UserIdx::new(u);
        let (items, values) = (train.items(user), train.values(user));
        let keep: Vec<bool> = match sequences {
            _ if items.len() <= cap => vec![true; items.len()],
            Some(s) => {
                let mut latest: Vec<_> = Vec::with_capacity(cap);
                for item in s.items(user).iter().rev() {
                    if latest.len() < cap && !latest.contains(item) {
                        latest.push(*item);
                    }
                }
                items.iter().map(|i| latest.contains(i)).collect()
            }
            None => {
                let mut keep = vec![false; items.len()];
                (0..cap).for_each(|nth| keep[nth * items.len() / cap] = true);
                keep
            }
        };
        let kept = items.iter().zip(values).zip(keep).filter(|(_, keep)| *keep);
        cells.extend(kept.map(|((&item, &value), _)| Triplet { user, item, value }));
    }
    let nnz = cells.len();
    Ok(Interactions::from_sorted(train.n_users(), train.n_items(), nnz, cells)?)
}

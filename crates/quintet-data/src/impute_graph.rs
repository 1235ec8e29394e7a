//! The graph of items that the same users took: what features can flow along.

use quintet_core::{Interactions, ItemIdx, Matrix, UserIdx};
use rayon::prelude::*;

/// Sparse symmetric graph without loops over `[n_items]`, every edge of weight 1, with the
/// symmetric normalisation `T = D^-1/2 A D^-1/2`.
///
/// An edge joins `i` and `j` when `j` is among the `neighbours` items that most often share a
/// user with `i`, or the other way round. As in the reference code of Malitesta et al. (CIKM
/// 2024) the counts choose the edges and are then forgotten; unlike there the item itself takes
/// no place among its neighbours, and the graph is made symmetric.
#[derive(Debug)]
pub(crate) struct ItemGraph {
    /// Row offsets, `[n_items + 1]`.
    indptr: Vec<usize>,
    /// Neighbours of every item, ascending.
    neighbours: Vec<u32>,
    /// `[n_items]`: one by the square root of the degree; 0 for an item without neighbours.
    scale: Vec<f32>,
}

impl ItemGraph {
    /// Counts shared users item by item; equal counts rank by item position.
    ///
    /// Time is the sum of the squares of the users' histories; memory is
    /// `O(n_items · neighbours)` and one counter an item for every thread.
    pub(crate) fn new(train: &Interactions, neighbours: usize) -> Self {
        let users = train.transpose();
        let n_items = train.n_items();
        let counter = || (vec![0u32; n_items], Vec::new());
        let mut lists: Vec<Vec<u32>> = (0..n_items)
            .into_par_iter()
            .map_init(counter, |(counts, touched), item| {
                count_shared(train, &users, item, counts, touched);
                nearest(counts, touched, neighbours)
            })
            .collect();
        // The other direction of every edge, by item, so that the order is fixed.
        let mut back: Vec<Vec<u32>> = vec![Vec::new(); n_items];
        for (item, list) in lists.iter().enumerate() {
            list.iter().for_each(|&other| back[other as usize].push(item as u32));
        }
        lists.par_iter_mut().zip(back).for_each(|(list, back)| {
            list.extend(back);
            list.sort_unstable();
            list.dedup();
        });
        let mut indptr = Vec::with_capacity(n_items + 1);
        indptr.push(0);
        for list in &lists {
            indptr.push(indptr[indptr.len() - 1] + list.len());
        }
        let degree = |list: &Vec<u32>| match list.len() {
            0 => 0.0,
            n => 1.0 / (n as f32).sqrt(),
        };
        let scale = lists.iter().map(degree).collect();
        Self { indptr, neighbours: lists.concat(), scale }
    }

    /// The neighbours of an item, ascending.
    pub(crate) fn neighbours(&self, item: usize) -> &[u32] {
        &self.neighbours[self.indptr[item]..self.indptr[item + 1]]
    }

    /// `T X`, except that the rows for which `keep` holds are those of `X`; `[n_items, dim]`
    /// with `dim > 0`.
    pub(crate) fn propagate(&self, x: &Matrix, keep: &[bool]) -> Matrix {
        let mut out = Matrix::zeros(x.rows(), x.cols());
        out.as_mut_slice().par_chunks_mut(x.cols()).enumerate().for_each(|(item, row)| {
            if keep[item] {
                row.copy_from_slice(x.row(item));
                return;
            }
            for &other in self.neighbours(item) {
                let weight = self.scale[item] * self.scale[other as usize];
                for (to, from) in row.iter_mut().zip(x.row(other as usize)) {
                    *to += weight * from;
                }
            }
        });
        out
    }
}

/// Counts the users that `item` shares with every other item; `touched` are those with any.
fn count_shared(
    train: &Interactions,
    users: &Interactions,
    item: usize,
    counts: &mut [u32],
    touched: &mut Vec<u32>,
) {
    // The rows of the transposed matrix are items, its columns users.
    for user in users.items(UserIdx::new(item)) {
        for other in train.items(UserIdx(user.0)) {
            if *other == ItemIdx::new(item) {
                continue;
            }
            if counts[other.index()] == 0 {
                touched.push(other.0);
            }
            counts[other.index()] += 1;
        }
    }
}

/// The items with the largest counts; clears the counters.
fn nearest(counts: &mut [u32], touched: &mut Vec<u32>, neighbours: usize) -> Vec<u32> {
    let order = |a: &u32, b: &u32| counts[*b as usize].cmp(&counts[*a as usize]).then(a.cmp(b));
    if touched.len() > neighbours {
        touched.select_nth_unstable_by(neighbours, order);
    }
    let list = touched[..neighbours.min(touched.len())].to_vec();
    touched.drain(..).for_each(|item| counts[item as usize] = 0);
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lists(graph: &ItemGraph) -> Vec<Vec<u32>> {
        (0..graph.scale.len()).map(|i| graph.neighbours(i).to_vec()).collect()
    }

    #[test]
    fn the_most_shared_items_are_neighbours_in_both_directions() {
        // Shared users: 0-1 three, 0-2 two, 1-2 one, 2-3 one, 4 alone.
        let pairs = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (3, 0), (3, 2)];
        let pairs = pairs.into_iter().chain([(4, 2), (4, 3), (5, 4)]);
        let train = Interactions::from_pairs(6, 5, pairs).unwrap();
        let one = ItemGraph::new(&train, 1);
        // 0 → 1, 1 → 0, 2 → 0, 3 → 2, and the way back.
        assert_eq!(lists(&one), [vec![1, 2], vec![0], vec![0, 3], vec![2], vec![]]);
        assert_eq!(one.scale, [0.5f32.sqrt(), 1.0, 0.5f32.sqrt(), 1.0, 0.0]);
        let all = ItemGraph::new(&train, 9);
        assert_eq!(lists(&all), [vec![1, 2], vec![0, 2], vec![0, 1, 3], vec![2], vec![]]);
        // Equal counts: the smaller position.
        let star = Interactions::from_pairs(1, 3, [(0, 0), (0, 1), (0, 2)]).unwrap();
        assert_eq!(lists(&ItemGraph::new(&star, 1)), [vec![1, 2], vec![0], vec![0]]);
    }

    proptest! {
        #[test]
        fn it_is_the_top_of_the_dense_product(
            pairs in proptest::collection::btree_set((0u32..12, 0u32..9), 0..60),
            neighbours in 1usize..6,
        ) {
            let train = Interactions::from_pairs(12, 9, pairs.iter().copied()).unwrap();
            let mut dense = [[0u32; 9]; 9];
            for user in 0..12 {
                for a in (0..9).filter(|i| pairs.contains(&(user, *i))) {
                    for b in (0..9).filter(|i| *i != a && pairs.contains(&(user, *i))) {
                        dense[a as usize][b as usize] += 1;
                    }
                }
            }
            let mut want = vec![std::collections::BTreeSet::new(); 9];
            for (i, row) in dense.iter().enumerate() {
                let mut order: Vec<usize> = (0..9).filter(|j| row[*j] > 0).collect();
                order.sort_by_key(|j| (std::cmp::Reverse(row[*j]), *j));
                for &j in order.iter().take(neighbours) {
                    want[i].insert(j as u32);
                    want[j].insert(i as u32);
                }
            }
            let want: Vec<Vec<u32>> =
                want.into_iter().map(|s| s.into_iter().collect()).collect();
            prop_assert_eq!(lists(&ItemGraph::new(&train, neighbours)), want);
        }
    }
}

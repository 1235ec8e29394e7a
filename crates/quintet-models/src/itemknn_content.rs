//! ItemKNN on content: items that look like those a user has.
//!
//! Ferrari Dacrema, Cremonesi & Jannach, "Are We Really Making Much Progress? A Worrying Analysis
//! of Recent Neural Recommendation Approaches", RecSys 2019 (the baseline ItemKNN-CBF).
//!
//! ```text
//! x_i = [√w_1 x_1i/‖x_1i‖ ; √w_2 x_2i/‖x_2i‖ ; …]    over the modalities; absent ones are zero
//! s_ij = x_i · x_j / (‖x_i‖ ‖x_j‖ + h)                the k largest of each i are kept
//! score(u, i) = Σ_{j ∈ R(u)} s_ji
//! ```
//! Without shrinkage `h` and over items that have everything, `s` is the mean cosine of the
//! modalities.
//!
//! Differences: modalities have length 1 before they are laid side by side (`unit = false` takes
//! them as they are, as published), so that a shrinkage of the published 10 would flatten
//! everything: the default is 0, and a positive one holds down items that lack a modality.
//! The lists are by default those of the item that is scored, over items that somebody used: an
//! item that comes later then changes nobody else's score. `cut = "source"` keeps the lists of the
//! items that users have, as published. An item is not in its own list, where it took one of the
//! `k` places; similarities of 0 and less are left out.
//! Cost: `n_items² · Σ d_m` multiply-adds in blocks; memory `k · n_items` and a copy of the
//! features, never `n_items²`.

use std::collections::BTreeMap;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use quintet_core::{
    FeatureSet, Interactions, ItemIdx, Matrix, Modality, Scored, Triplet, UserIdx, top_k,
};
use quintet_tensor::FitError;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::graph::{at_least_zero, refuse};
use crate::item_matrix::{ItemMatrix, ItemMatrixRecipe};

/// Items whose neighbours a thread searches together.
const QUERIES: usize = 64;

/// Of which items the `k` nearest are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContentCut {
    /// Of each item that is scored, among those that somebody used.
    #[default]
    Target,
    /// Of each item that a user has, among all.
    Source,
}

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ItemKnnContentConfig {
    /// Neighbours kept of an item.
    pub k: usize,
    /// h: what is added to the product of the lengths.
    pub shrink: f32,
    /// Whose neighbours they are.
    pub cut: ContentCut,
    /// Whether the features of each modality are brought to length 1 first.
    pub unit: bool,
    /// w: how much each modality weighs; 1 where it is not named.
    pub weights: BTreeMap<Modality, f32>,
    /// Which modalities are read; all that have features by default.
    pub modalities: Option<Vec<Modality>>,
}

impl Default for ItemKnnContentConfig {
    fn default() -> Self {
        Self {
            k: 10,
            shrink: 0.0,
            cut: ContentCut::Target,
            unit: true,
            weights: BTreeMap::new(),
            modalities: None,
        }
    }
}

impl ItemMatrixRecipe for ItemKnnContentConfig {
    const NAME: &'static str = "itemknn_content";
    const SUMMARY: &'static str = "items whose content is near that of a user's items";
    const TINY: &'static str = r#"{"k": 20}"#;

    fn modalities(&self) -> Option<&[Modality]> {
        self.modalities.as_deref()
    }

    fn check(&self) -> Result<(), FitError> {
        if self.k == 0 {
            return refuse(Self::NAME, "k", "at least 1", self.k);
        }
        for (modality, weight) in &self.weights {
            at_least_zero(Self::NAME, &format!("weights.{modality}"), *weight)?;
        }
        at_least_zero(Self::NAME, "shrink", self.shrink)
    }

    fn matrix(&self, train: &Interactions, features: &FeatureSet) -> Result<ItemMatrix, FitError> {
        let n = features.n_items();
        let warm: Vec<bool> = train.item_counts().iter().map(|&c| c > 0).collect();
        let lists = self.lists(&self.table(features), &warm);
        let nnz = lists.iter().map(Vec::len).sum();
        let cells = lists.into_iter().enumerate().flat_map(|(row, mut list)| {
            list.sort_unstable_by_key(|near| near.item);
            list.into_iter().map(move |near| Triplet {
                user: UserIdx::new(row),
                item: near.item,
                value: near.score,
            })
        });
        let rows = Interactions::from_sorted(n, n, nnz, cells)?;
        Ok(ItemMatrix::Sparse(match self.cut {
            ContentCut::Target => rows.transpose(),
            ContentCut::Source => rows,
        }))
    }
}

impl ItemKnnContentConfig {
    /// The features side by side, `[n_items, Σ d_m]`.
    fn table(&self, features: &FeatureSet) -> Matrix {
        let width = features.iter().map(|f| f.dim()).sum();
        let mut table = Matrix::zeros(features.n_items(), width);
        let mut from = 0;
        for f in features.iter() {
            let weight = f64::from(self.weights.get(&f.modality).copied().unwrap_or(1.0)).sqrt();
            for item in (0..features.n_items()).filter(|&item| f.present[item]) {
                let row = f.matrix.row(item);
                let length = if self.unit { length(row) } else { 1.0 };
                let scale = if length > 0.0 { weight / length } else { 0.0 };
                let out = table.row_mut(item)[from..].iter_mut().zip(row);
                out.for_each(|(o, v)| *o = (f64::from(*v) * scale) as f32);
            }
            from += f.dim();
        }
        table
    }

    /// The nearest of every item that has a list, best first.
    fn lists(&self, table: &Matrix, warm: &[bool]) -> Vec<Vec<Scored>> {
        let (n, dim) = (table.rows(), table.cols());
        if dim == 0 {
            return vec![Vec::new(); n];
        }
        let lengths: Vec<f32> = (0..n).map(|item| length(table.row(item)) as f32).collect();
        let all = MatRef::from_row_major_slice(table.as_slice(), n, dim);
        // Who may be found, and who searches.
        let (found, searching): (&dyn Fn(usize) -> bool, &dyn Fn(usize) -> bool) = match self.cut {
            ContentCut::Target => (&|item| warm[item], &|_| true),
            ContentCut::Source => (&|_| true, &|item| warm[item]),
        };
        let flags = |of: &dyn Fn(usize) -> bool| (0..n).map(of).collect::<Vec<bool>>();
        let (found, searching) = (flags(found), flags(searching));
        let search = |(block, queries): (usize, &[f32])| {
            let rows = queries.len() / dim;
            let mut scores = vec![0.0f32; rows * n];
            let product = MatMut::from_row_major_slice_mut(&mut scores, rows, n);
            let queries = MatRef::from_row_major_slice(queries, rows, dim);
            matmul(product, Accum::Replace, queries, all.transpose(), 1.0, Par::Seq);
            let lists = scores.chunks_exact_mut(n).enumerate().map(|(row, scores)| {
                let own = block * QUERIES + row;
                for (score, length) in scores.iter_mut().zip(&lengths) {
                    let by = lengths[own] * length + self.shrink;
                    *score = if by > 0.0 { *score / by } else { 0.0 };
                }
                let near = |item: ItemIdx| {
                    let item = item.index();
                    item != own && found[item] && scores[item] > 0.0
                };
                let k = if searching[own] { self.k } else { 0 };
                top_k(scores, k, |item| !near(item))
            });
            lists.collect::<Vec<_>>()
        };
        table.as_slice().par_chunks(QUERIES * dim).enumerate().flat_map_iter(search).collect()
    }
}

/// In 64 bits, so that squares do not overflow.
fn length(row: &[f32]) -> f64 {
    row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item_matrix::ItemMatrixModel;
    use quintet_core::{ModalityFeatures, Recommender};

    /// Items 0 to 2 have users 0 (items 0 and 1) and 1 (item 2); item 1 has no picture, nobody has
    /// item 3, which looks like item 2.
    fn world() -> (Interactions, FeatureSet) {
        let train = Interactions::from_pairs(2, 4, [(0, 0), (0, 1), (1, 2)]).unwrap();
        let mut set = FeatureSet::new(4);
        let mut push = |modality, rows: Vec<f32>, present: [bool; 4]| {
            let matrix = Matrix::from_vec(4, 2, rows).unwrap();
            set.push(ModalityFeatures::new(modality, matrix, present.to_vec()).unwrap()).unwrap();
        };
        push(Modality::Text, vec![3., 4., 8., 6., 0., 2., 0., 1.], [true; 4]);
        push(Modality::Image, vec![5., 0., 0., 0., 1., 1., 2., 2.], [true, false, true, true]);
        (train, set)
    }

    fn fitted(config: &ItemKnnContentConfig) -> ItemMatrixModel<ItemKnnContentConfig> {
        let (train, features) = world();
        ItemMatrixModel::new(config.clone(), train, &features).unwrap()
    }

    fn close(model: &ItemMatrixModel<ItemKnnContentConfig>, cells: &[(u32, u32, f32)]) {
        for &(source, target, expected) in cells {
            let found = model.matrix().get(ItemIdx(source), ItemIdx(target));
            assert!((found - expected).abs() < 1e-6, "{source} {target}: {found} {expected}");
        }
    }

    #[test]
    fn similarities_by_hand() {
        // Cosines of text: 0 and 1 have .6 · .8 + .8 · .6 = .96, 0 and 2 have .8, 1 and 2 have .6;
        // of pictures: 0 and 2 have 1/√2. Lengths: √2, 1, √2, √2.
        let root = 2f32.sqrt();
        let all = ItemKnnContentConfig::default();
        let both = (0.8 + 1.0 / root) / 2.0;
        let model = fitted(&all);
        close(&model, &[(0, 1, 0.96 / root), (1, 0, 0.96 / root), (0, 2, both), (2, 3, 1.0)]);
        // Nobody has item 3: it is nobody's neighbour.
        close(&model, &[(1, 2, 0.6 / root), (0, 3, both), (3, 2, 0.0), (3, 0, 0.0)]);
        let shrunk = ItemKnnContentConfig { shrink: 0.5, ..all.clone() };
        close(&fitted(&shrunk), &[(0, 1, 0.96 / (root + 0.5)), (0, 2, 2.0 * both / 2.5)]);
        let weights = BTreeMap::from([(Modality::Text, 3.0)]);
        let text = ItemKnnContentConfig { weights, ..all.clone() };
        close(&fitted(&text), &[(0, 2, (3.0 * 0.8 + 1.0 / root) / 4.0)]);
        // As they are: 0 and 2 have 4 · 2 + 5, lengths √50 and √6.
        let raw = ItemKnnContentConfig { unit: false, ..all };
        close(&fitted(&raw), &[(0, 2, 13.0 / 300f32.sqrt())]);
    }

    #[test]
    fn lists_are_cut_on_either_side_and_scores_are_their_sums() {
        let one = ItemKnnContentConfig { k: 1, ..ItemKnnContentConfig::default() };
        let root = 2f32.sqrt();
        let both = (0.8 + 1.0 / root) / 2.0;
        // The nearest used item of 0 is 2, of 1 it is 0, of 2 it is 0, of 3 it is 2.
        let target = fitted(&one);
        close(&target, &[(2, 0, both), (0, 1, 0.96 / root), (0, 2, both), (2, 3, 1.0)]);
        close(&target, &[(1, 0, 0.0), (0, 3, 0.0)]);
        // Of items that are used, 0 lists 2, 1 lists 0, and 2 lists 3.
        let source = fitted(&ItemKnnContentConfig { cut: ContentCut::Source, ..one });
        close(&source, &[(0, 2, both), (1, 0, 0.96 / root), (2, 3, 1.0), (2, 0, 0.0)]);
        let mut out = Matrix::default();
        target.score(&[UserIdx(0), UserIdx(1)], &mut out).unwrap();
        let expected = [0.0, 0.96 / root, both, 0.0, both, 0.0, 0.0, 1.0];
        for (found, expected) in out.as_slice().iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{out:?}");
        }
        let mut folded = [f32::NAN; 4];
        target.fold_in(&[ItemIdx(2), ItemIdx(2)], &[5.0, 1.0], &mut folded).unwrap();
        assert_eq!(folded, out.row(1));
        let near: Vec<u32> =
            target.similar_items(ItemIdx(3), 2).unwrap().iter().map(|s| s.item.0).collect();
        assert_eq!(near, [2]);
    }
}

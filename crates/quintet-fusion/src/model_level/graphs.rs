//! Sums of graphs: for each modality the items that look alike, and one graph of them all.
//!
//! Papers: Zhang et al., "Mining Latent Structures for Multimedia Recommendation" (LATTICE), ACM MM
//! 2021; Zhou & Shen, "A Tale of Two Graphs" (FREEDOM), ACM MM 2023.
//! `N_m`: the `neighbours` items of largest cosine in modality `m`, of those that have it. `A_m(i, j)
//! = 1`, or the cosine, where `j ∈ N_m(i)` or `i ∈ N_m(j)`; cosines of 0 and below are no edges.
//! `S_m = D^{-1/2} A_m D^{-1/2}` with `D` the row sums, so `S_m` is symmetric. The sum is `S(i, ·) =
//! Σ_m w_m S_m(i, ·) / Σ_m w_m`, both sums over the modalities that item `i` has: an item without a
//! picture is as well connected as the others. That makes `S` unsymmetric where modalities are
//! missing; [`ItemGraph::transpose`] is what gradients need.
//! Difference: LATTICE and FREEDOM keep the directed edges of `N_m`; here an edge holds both ways.
//! Cost: exact search `O(n² d_m)` time, a block of scores a thread; a product with a matrix
//! `O(nnz · dim)`.

use quintet_core::FeatureSet;
use quintet_core::{CoreError, Interactions, ItemIdx, Matrix, ModalityFeatures, Triplet, UserIdx};
use quintet_tensor::{FitError, add_scaled, nearest_items};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const NAME: &str = "item graph";

/// A sparse square matrix over items, in compressed rows; columns of a row ascend.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemGraph {
    indptr: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f32>,
}

impl ItemGraph {
    /// Rows that come one after the other, each with columns that ascend.
    fn of_rows(rows: impl IntoIterator<Item = Vec<(u32, f32)>>) -> Self {
        let mut graph = Self { indptr: vec![0], columns: Vec::new(), values: Vec::new() };
        for row in rows {
            graph.columns.extend(row.iter().map(|(column, _)| *column));
            graph.values.extend(row.iter().map(|(_, value)| *value));
            graph.indptr.push(graph.columns.len());
        }
        graph
    }

    /// Number of items.
    pub fn n_items(&self) -> usize {
        self.indptr.len() - 1
    }

    /// Number of stored cells.
    pub fn nnz(&self) -> usize {
        self.columns.len()
    }

    /// The columns of a row, ascending, and their values.
    ///
    /// # Panics
    /// When `item` is out of range.
    pub fn row(&self, item: ItemIdx) -> (&[u32], &[f32]) {
        let range = self.indptr[item.index()]..self.indptr[item.index() + 1];
        (&self.columns[range.clone()], &self.values[range])
    }

    /// `S x`, `[n_items, dim] → [n_items, dim]`, in parallel over rows.
    ///
    /// # Panics
    /// When `x` has another number of rows.
    pub fn propagate(&self, x: &Matrix) -> Matrix {
        assert_eq!(x.rows(), self.n_items(), "a row for every item");
        let mut out = Matrix::zeros(x.rows(), x.cols());
        let dim = x.cols().max(1);
        out.as_mut_slice().par_chunks_mut(dim).enumerate().for_each(|(item, out)| {
            let (columns, values) = self.row(ItemIdx::new(item));
            for (column, value) in columns.iter().zip(values) {
                add_scaled(out, *value, x.row(*column as usize));
            }
        });
        out
    }

    /// `Sᵀ`: the gradient of `S x` with respect to `x` is `Sᵀ` times that of the output.
    pub fn transpose(&self) -> Self {
        let mut rows = vec![Vec::new(); self.n_items()];
        for item in 0..self.n_items() {
            let (columns, values) = self.row(ItemIdx::new(item));
            for (column, value) in columns.iter().zip(values) {
                rows[*column as usize].push((item as u32, *value));
            }
        }
        Self::of_rows(rows)
    }

    /// The same matrix with items on both sides, for what reads [`Interactions`].
    ///
    /// # Errors
    /// Never for a graph built here; the type cannot say so.
    pub fn to_interactions(&self) -> Result<Interactions, CoreError> {
        let cells = (0..self.n_items()).flat_map(|item| {
            let (columns, values) = self.row(ItemIdx::new(item));
            columns.iter().zip(values).map(move |(column, value)| Triplet {
                user: UserIdx::new(item),
                item: ItemIdx(*column),
                value: *value,
            })
        });
        Interactions::from_sorted(self.n_items(), self.n_items(), self.nnz(), cells)
    }
}

/// Parameters of [`knn_graph`] and [`weighted_sum`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GraphSumParams {
    /// Neighbours of an item in each modality, at least 1.
    pub neighbours: usize,
    /// Whether an edge weighs its cosine; 1 if not.
    pub cosine_weights: bool,
    /// Weights by modality name, each above 0; equal ones when absent.
    pub weights: Option<BTreeMap<quintet_core::Modality, f32>>,
}

impl Default for GraphSumParams {
    /// Ten unweighted neighbours, as FREEDOM.
    fn default() -> Self {
        Self { neighbours: 10, cosine_weights: false, weights: None }
    }
}

/// `S_m`: the normalised graph of the items that look most alike in one modality. Equal cosines
/// rank by item position; items without the modality have no edges.
///
/// # Errors
/// `neighbours` is 0.
pub fn knn_graph(
    features: &ModalityFeatures,
    params: &GraphSumParams,
) -> Result<ItemGraph, FitError> {
    if params.neighbours == 0 {
        let reason = "neighbours is 0, expected at least 1".into();
        return Err(FitError::Config { model: NAME.into(), reason });
    }
    let mut rows: Vec<Vec<(u32, f32)>> = vec![Vec::new(); features.present.len()];
    let near = nearest_items(features, params.neighbours, false, None);
    for (item, found) in near.into_iter().enumerate() {
        for (other, cosine) in found.into_iter().filter(|(_, cosine)| *cosine > 0.0) {
            let value = if params.cosine_weights { cosine } else { 1.0 };
            rows[item].push((other, value));
            rows[other as usize].push((item as u32, value));
        }
    }
    for row in &mut rows {
        // An edge found from both ends comes twice, with one cosine.
        row.sort_unstable_by_key(|(other, _)| *other);
        row.dedup_by_key(|(other, _)| *other);
    }
    let degree = |row: &Vec<(u32, f32)>| row.iter().map(|(_, value)| value).sum::<f32>();
    let scale: Vec<f32> = rows.iter().map(|row| 1.0 / degree(row).sqrt()).collect();
    for (item, row) in rows.iter_mut().enumerate() {
        row.iter_mut().for_each(|(other, value)| *value *= scale[item] * scale[*other as usize]);
    }
    Ok(ItemGraph::of_rows(rows))
}

/// `S`: the graphs of all modalities in one, with the weights shared out over the modalities that
/// an item has. An item without any has no edges.
///
/// # Errors
/// No modality; `neighbours` is 0; weights that do not name the modalities of the features, or
/// are not above 0.
pub fn weighted_sum(features: &FeatureSet, params: &GraphSumParams) -> Result<ItemGraph, FitError> {
    let weights = weights_of(features, params)?;
    let graphs = features.iter().map(|f| knn_graph(f, params)).collect::<Result<Vec<_>, _>>()?;
    let row = |item: usize| {
        let has = |(f, _): &(&ModalityFeatures, &f32)| f.present[item];
        let whole: f32 = features.iter().zip(&weights).filter(has).map(|(_, w)| w).sum();
        let mut cells = BTreeMap::new();
        for ((f, graph), weight) in features.iter().zip(&graphs).zip(&weights) {
            if f.present[item] {
                let (columns, values) = graph.row(ItemIdx::new(item));
                for (column, value) in columns.iter().zip(values) {
                    *cells.entry(*column).or_insert(0.0) += weight / whole * value;
                }
            }
        }
        cells.into_iter().collect::<Vec<(u32, f32)>>()
    };
    let rows: Vec<_> = (0..features.n_items()).into_par_iter().map(row).collect();
    Ok(ItemGraph::of_rows(rows))
}

/// The weights in the order of the features.
fn weights_of(features: &FeatureSet, params: &GraphSumParams) -> Result<Vec<f32>, FitError> {
    let known: Vec<&str> = features.iter().map(|f| f.modality.as_str()).collect();
    if known.is_empty() {
        let reason = "the dataset has no features in any modality, at least one is needed".into();
        return Err(FitError::Data { model: NAME.into(), reason });
    }
    let Some(weights) = &params.weights else { return Ok(vec![1.0; known.len()]) };
    if let Some(&modality) = weights.keys().find(|m| features.get(**m).is_none()) {
        let known = known.join(", ");
        return Err(FitError::MissingModality { model: NAME.into(), modality, known });
    }
    let weight = |f: &ModalityFeatures| match weights.get(&f.modality) {
        Some(w) if *w > 0.0 && w.is_finite() => Ok(*w),
        found => {
            let found = found.map_or("absent".to_owned(), f32::to_string);
            let reason = format!("weights.{} is {found}, expected a number above 0", f.modality);
            Err(FitError::Config { model: NAME.into(), reason })
        }
    };
    features.iter().map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::Modality;

    fn features(modality: Modality, rows: &[[f32; 2]], present: &[bool]) -> ModalityFeatures {
        let matrix = Matrix::from_vec(rows.len(), 2, rows.concat()).unwrap();
        ModalityFeatures::new(modality, matrix, present.to_vec()).unwrap()
    }

    /// Items 0 to 4; item 3 has no text; only items 0, 3 and 4 have an image.
    fn two_sets() -> FeatureSet {
        let mut set = FeatureSet::new(5);
        // Directions 0°, 45°, 90°, -, 180°; lengths do not matter.
        let text = [[2.0, 0.0], [1.0, 1.0], [0.0, 5.0], [9.0, 9.0], [-1.0, 0.0]];
        set.push(features(Modality::Text, &text, &[true, true, true, false, true])).unwrap();
        let image = [[1.0, 0.0], [0.0; 2], [0.0; 2], [2.0, 0.0], [3.0, 0.0]];
        set.push(features(Modality::Image, &image, &[true, false, false, true, true])).unwrap();
        set
    }

    fn cells(graph: &ItemGraph, item: usize) -> Vec<(u32, f32)> {
        let (columns, values) = graph.row(ItemIdx::new(item));
        columns.iter().copied().zip(values.iter().copied()).collect()
    }

    fn assert_row(graph: &ItemGraph, item: usize, expected: &[(u32, f32)]) {
        let found = cells(graph, item);
        let columns = |row: &[(u32, f32)]| row.iter().map(|c| c.0).collect::<Vec<_>>();
        assert_eq!(columns(&found), columns(expected), "row {item}");
        for (f, e) in found.iter().zip(expected) {
            assert!((f.1 - e.1).abs() < 1e-6, "row {item}: {found:?}, expected {expected:?}");
        }
    }

    #[test]
    fn a_graph_by_hand() {
        let set = two_sets();
        let params = GraphSumParams { neighbours: 1, ..GraphSumParams::default() };
        let text = knn_graph(set.get(Modality::Text).unwrap(), &params).unwrap();
        // Nearest: 0 → 1; 1 → 0 and not 2, as equal cosines rank by position; 2 → 1; the best
        // cosine of 4 is that with 2, which is 0 and no edge. Degrees 1, 2, 1.
        let half = 1.0 / 2f32.sqrt();
        assert_row(&text, 0, &[(1, half)]);
        assert_row(&text, 1, &[(0, half), (2, half)]);
        assert_row(&text, 2, &[(1, half)]);
        assert_row(&text, 3, &[]);
        assert_row(&text, 4, &[]);
        assert_eq!(text.transpose(), text);
    }

    #[test]
    fn cosines_can_weigh_the_edges() {
        let rows = [[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]];
        let text = features(Modality::Text, &rows, &[true; 3]);
        let params =
            GraphSumParams { neighbours: 2, cosine_weights: true, ..GraphSumParams::default() };
        let graph = knn_graph(&text, &params).unwrap();
        // Cosines 0.6, 0.8 and 0 (no edge); row sums 0.6, 1.4, 0.8.
        let (a, b) = (0.6 / (0.6f32 * 1.4).sqrt(), 0.8 / (1.4f32 * 0.8).sqrt());
        assert_row(&graph, 0, &[(1, a)]);
        assert_row(&graph, 1, &[(0, a), (2, b)]);
        assert_row(&graph, 2, &[(1, b)]);
    }

    #[test]
    fn the_sum_shares_weights_out_over_what_an_item_has() {
        let set = two_sets();
        let weights = Some([(Modality::Text, 1.0), (Modality::Image, 3.0)].into());
        let params = GraphSumParams { neighbours: 1, weights, ..GraphSumParams::default() };
        let sum = weighted_sum(&set, &params).unwrap();
        // Images: 0 → 3, 3 → 0, 4 → 0; degrees 2, 1, 1.
        let half = 1.0 / 2f32.sqrt();
        assert_row(&sum, 0, &[(1, 0.25 * half), (3, 0.75 * half), (4, 0.75 * half)]);
        // No image: the text graph whole. No text: the image graph whole.
        assert_row(&sum, 1, &[(0, half), (2, half)]);
        assert_row(&sum, 3, &[(0, half)]);
        // Item 4 has both, and no edge by text.
        assert_row(&sum, 4, &[(0, 0.75 * half)]);
        assert_row(&sum.transpose(), 0, &[(1, half), (3, half), (4, 0.75 * half)]);
        let x = Matrix::from_vec(5, 1, vec![1.0, 10.0, 100.0, 1000.0, 10000.0]).unwrap();
        let y = sum.propagate(&x);
        let expected = [8252.5 * half, 101.0 * half, 10.0 * half, half, 0.75 * half];
        for (found, expected) in y.as_slice().iter().zip(expected) {
            assert!((found - expected).abs() < 1e-3, "{y:?}");
        }
        let cells = sum.to_interactions().unwrap();
        assert_eq!((cells.nnz(), cells.n_users(), cells.n_items()), (sum.nnz(), 5, 5));
    }

    #[test]
    fn parameters_that_cannot_be_met_are_named() {
        let set = two_sets();
        let refusal = |params: &str| {
            let params: GraphSumParams = serde_json::from_str(params).unwrap();
            weighted_sum(&set, &params).unwrap_err().to_string()
        };
        assert!(refusal(r#"{"neighbours": 0}"#).contains("neighbours is 0"));
        assert!(refusal(r#"{"weights": {"text": 1.0}}"#).contains("weights.image is absent"));
        let zero = refusal(r#"{"weights": {"text": 1.0, "image": 0.0}}"#);
        assert!(zero.contains("weights.image is 0"), "{zero}");
        let stranger = refusal(r#"{"weights": {"audio": 1.0}}"#);
        assert!(stranger.contains("audio") && stranger.contains("text, image"), "{stranger}");
        let none = weighted_sum(&FeatureSet::new(3), &GraphSumParams::default());
        assert!(none.unwrap_err().to_string().contains("no features"));
    }
}

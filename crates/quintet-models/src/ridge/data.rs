//! Descriptions of items and users from features and attributes, on one scale.

use std::collections::BTreeMap;

use quintet_core::{Matrix, Modality, ModalityFeatures, SparseFeatures};
use quintet_tensor::{FitError, SparseRows, TrainingData};

use super::parts::{Cells, View};
use crate::content::ContentMap;

/// The weight of a description by its name: 1 where none is given.
pub(crate) fn view_weight(weights: &BTreeMap<String, f32>, name: &str) -> f32 {
    weights.get(name).copied().unwrap_or(1.0)
}

/// What describes items.
pub(crate) struct ItemViews {
    /// How features become descriptions; none when no features are read.
    pub(crate) map: Option<ContentMap>,
    /// One a modality, then the attributes, where they are read.
    pub(crate) views: Vec<View>,
    /// The scaled attributes, where they are read.
    pub(crate) attributes: Option<SparseRows>,
}

/// The descriptions that have a weight above 0. Rows of features are scaled to a mean length of 1
/// and so are rows of attributes, so that weights are comparable.
///
/// # Errors
/// A modality that is asked for is not there, or attributes have another number of rows.
pub(crate) fn item_views(
    model: &str,
    data: TrainingData<'_>,
    wanted: Option<&[Modality]>,
    components: usize,
    weights: &BTreeMap<String, f32>,
    dim: usize,
) -> Result<ItemViews, FitError> {
    let refused = |reason| FitError::Data { model: model.into(), reason };
    let n_items = data.train.n_items();
    let read: Vec<Modality> = match wanted {
        Some(wanted) => wanted.to_vec(),
        None => data.features.iter().map(|f| f.modality).collect(),
    };
    let heavy = |m: &Modality| view_weight(weights, m.as_str()) > 0.0;
    let read: Vec<Modality> = read.into_iter().filter(heavy).collect();
    let (mut map, mut views) = (None, Vec::new());
    if !read.is_empty() {
        let learned = ContentMap::fit(model, data.features, Some(&read), components)?;
        for f in learned.host(data.features).map_err(refused)? {
            let weight = view_weight(weights, f.modality.as_str());
            views.push(dense_view(f, weight, dim));
        }
        map = Some(learned);
    }
    let weight = view_weight(weights, "attributes");
    let given = data.item_attributes.filter(|_| weight > 0.0);
    let attributes = given.map(|a| scaled_rows(model, a, n_items)).transpose()?;
    views.extend(attributes.as_ref().map(|rows| sparse_view(rows.clone(), weight, dim)));
    Ok(ItemViews { map, views, attributes })
}

/// What describes users, where their attributes are read.
///
/// # Errors
/// The attributes have another number of rows.
pub(crate) fn user_view(
    model: &str,
    attributes: Option<&SparseFeatures>,
    n_users: usize,
    weight: f32,
    dim: usize,
) -> Result<Vec<View>, FitError> {
    let given = attributes.filter(|_| weight > 0.0);
    let rows = given.map(|a| scaled_rows(model, a, n_users)).transpose()?;
    Ok(rows.into_iter().map(|rows| sparse_view(rows, weight, dim)).collect())
}

/// A description by features; its factors are 0 until they are solved.
pub(super) fn dense_view(f: ModalityFeatures, weight: f32, dim: usize) -> View {
    let factors = Matrix::zeros(f.matrix.cols(), dim);
    View { cells: Cells::Dense(f.matrix), present: f.present, weight: f64::from(weight), factors }
}

/// A description by tags; a row without any tag is not described.
pub(super) fn sparse_view(rows: SparseRows, weight: f32, dim: usize) -> View {
    let [n, columns] = rows.dims();
    let present = (0..n).map(|row| !rows.row(row).0.is_empty()).collect();
    let turned = rows.transpose();
    let factors = Matrix::zeros(columns, dim);
    View { cells: Cells::Sparse(rows, turned), present, weight: f64::from(weight), factors }
}

/// The attributes with rows of mean squared length 1.
fn scaled_rows(
    model: &str,
    attributes: &SparseFeatures,
    n_rows: usize,
) -> Result<SparseRows, FitError> {
    if attributes.n_rows() != n_rows {
        let found = attributes.n_rows();
        let reason = format!("expected {n_rows} rows of attributes, found {found}");
        return Err(FitError::Data { model: model.into(), reason });
    }
    let row = |row: usize| -> Vec<(u32, f32)> {
        let cells = attributes.columns(row).iter().zip(attributes.values(row));
        cells.map(|(column, value)| (*column, *value)).collect()
    };
    let rows: Vec<Vec<(u32, f32)>> = (0..n_rows).map(row).collect();
    let described = rows.iter().filter(|row| !row.is_empty()).count().max(1) as f64;
    let square: f64 = rows.iter().flatten().map(|(_, v)| f64::from(*v).powi(2)).sum();
    let length = (square / described).sqrt();
    let scale = if length > 1e-9 { (1.0 / length) as f32 } else { 0.0 };
    Ok(SparseRows::from_rows(attributes.n_features(), rows).scaled(|_, _| scale))
}

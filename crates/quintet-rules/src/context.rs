//! What rules know of items.

use quintet_core::{FeatureSet, ItemIdx, Matrix, Modality, SparseFeatures};

use crate::RuleError;

/// Features and categories of the items, made ready once and read by every list.
#[derive(Debug, Clone)]
pub struct RuleContext {
    n_items: usize,
    /// Rows of length 1, zero where an item has no vector.
    unit: Vec<(Modality, Matrix)>,
    /// Shares of categories of each item, which sum to 1; none for an item without any.
    categories: Option<Vec<Vec<(u32, f32)>>>,
    n_categories: usize,
}

impl RuleContext {
    /// Items that nothing is known of.
    pub fn new(n_items: usize) -> Self {
        Self { n_items, unit: Vec::new(), categories: None, n_categories: 0 }
    }

    /// Adds the features of every modality.
    ///
    /// # Panics
    /// When they are of another number of items.
    pub fn with_features(mut self, features: &FeatureSet) -> Self {
        assert_eq!(features.n_items(), self.n_items, "features of the same items");
        for f in features.iter() {
            let mut unit = Matrix::zeros(self.n_items, f.dim());
            for item in (0..self.n_items).filter(|&i| f.present[i]) {
                let row = f.matrix.row(item);
                let norm = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
                if norm > 0.0 {
                    let to = unit.row_mut(item).iter_mut().zip(row);
                    to.for_each(|(to, v)| *to = (f64::from(*v) / norm) as f32);
                }
            }
            self.unit.push((f.modality, unit));
        }
        self
    }

    /// Adds categories: the positive values of a row, as shares.
    ///
    /// # Panics
    /// When they are of another number of items.
    pub fn with_categories(mut self, categories: &SparseFeatures) -> Self {
        assert_eq!(categories.n_rows(), self.n_items, "categories of the same items");
        let of = |item: usize| -> Vec<(u32, f32)> {
            let cells = categories.columns(item).iter().zip(categories.values(item));
            let cells: Vec<(u32, f32)> =
                cells.filter(|c| *c.1 > 0.0).map(|(c, v)| (*c, *v)).collect();
            let sum: f32 = cells.iter().map(|c| c.1).sum();
            cells.into_iter().map(|(c, v)| (c, v / sum)).collect()
        };
        self.categories = Some((0..self.n_items).map(of).collect());
        self.n_categories = categories.n_features();
        self
    }

    pub(crate) fn needs_features(
        &self,
        rule: &'static str,
        modality: Modality,
    ) -> Result<(), RuleError> {
        if self.unit.iter().any(|(m, _)| *m == modality) {
            return Ok(());
        }
        let known: Vec<&str> = self.unit.iter().map(|(m, _)| m.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Err(RuleError::NoFeatures { rule, modality, known })
    }

    pub(crate) fn needs_categories(&self, rule: &'static str) -> Result<(), RuleError> {
        match &self.categories {
            Some(all) if all.iter().any(|row| !row.is_empty()) => Ok(()),
            _ => Err(RuleError::NoCategories { rule }),
        }
    }

    /// The unit vector of an item; zeros where it has none.
    pub(crate) fn vector(&self, modality: Modality, item: ItemIdx) -> &[f32] {
        let found = self.unit.iter().find(|(m, _)| *m == modality);
        found.map_or(&[], |(_, unit)| unit.row(item.index()))
    }

    /// The shares of categories of an item.
    pub(crate) fn shares(&self, item: ItemIdx) -> &[(u32, f32)] {
        self.categories.as_ref().map_or(&[], |all| &all[item.index()])
    }

    pub(crate) fn n_categories(&self) -> usize {
        self.n_categories
    }

    /// Mean shares of the categories over some items that have any, `[n_categories]`.
    pub(crate) fn mean_shares(&self, items: &[ItemIdx]) -> Vec<f64> {
        let mut sum = vec![0.0f64; self.n_categories];
        let mut n = 0usize;
        for item in items.iter().filter(|i| !self.shares(**i).is_empty()) {
            n += 1;
            self.shares(*item).iter().for_each(|(c, s)| sum[*c as usize] += f64::from(*s));
        }
        sum.iter_mut().for_each(|s| *s /= n.max(1) as f64);
        sum
    }
}

/// Dot product of two unit vectors.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
}

//! DeepStyle: what an item looks like, less what its category looks like.
//!
//! Liu, Wu & Wang, "DeepStyle: Learning User Preferences for Visual Recommendation", SIGIR 2017.
//!
//! ```text
//! s_i = E x_i - l_c(i)                   style: content without its category
//! score = p_u · (q_i + s_i)
//! loss = BPR(u, i, j) + reg (L2half(p_u, q_i, q_j, l_c(i), l_c(j)) + ‖E‖² / 2)
//! ```
//! Categories are attributes of items (`genres=Drama`, not numbers such as `year`): all of them, or
//! those of the attribute that `attribute` names.
//!
//! Differences: an item of several categories has their mean by weight; an item without one, and
//! an item that nobody used, has the mean of the items that have one, so that items of the
//! catalogue and later ones, whose attributes are unknown, are ranked alike; any modalities, their
//! raw features side by side; Adam over batches. The weight of the penalty is ours.
//! Cost: a step `O(B · Σ d_m · dim + cells · dim)`: only the rows of the batch are projected.

use burn::prelude::*;
use quintet_core::{Matrix, Modality, SparseFeatures};
use quintet_tensor::{
    FitError, Layer, SparseProduct, SparseRows, Weight, matrix_to_tensor, select_rows,
    xavier_uniform,
};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::graph::{
    GraphNet, GraphRecipe, Stacked, Training, Triples, World, at_least_zero, bpr, l2_half, refuse,
};

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeepStyleConfig {
    /// Width of the vectors.
    pub dim: usize,
    /// The attribute that holds the category; all that are not numbers by default.
    pub attribute: Option<String>,
    /// Weight of the squares of all weights.
    pub reg: f32,
    /// Which modalities are read; all that have features by default.
    pub modalities: Option<Vec<Modality>>,
    /// Step size of Adam.
    pub lr: f32,
    /// Triples a step.
    pub batch_size: usize,
}

impl Default for DeepStyleConfig {
    fn default() -> Self {
        Self { dim: 64, attribute: None, reg: 1e-3, modalities: None, lr: 1e-3, batch_size: 2048 }
    }
}

impl GraphRecipe for DeepStyleConfig {
    const NAME: &'static str = "deepstyle";
    const SUMMARY: &'static str = "content less the vector of its category (Liu 2017)";
    const TINY: &'static str = r#"{"dim": 8, "lr": 0.01, "batch_size": 64}"#;
    const RANKS_NEW_ITEMS: bool = true;
    type Net = DeepStyleNet;

    fn training(&self) -> Training {
        Training { lr: self.lr, lr_decay: 1.0, batch_size: self.batch_size }
    }

    fn modalities(&self) -> Option<&[Modality]> {
        self.modalities.as_deref()
    }

    fn reads_attributes(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), FitError> {
        if self.dim == 0 {
            return refuse(Self::NAME, "dim", "at least 1", self.dim);
        }
        at_least_zero(Self::NAME, "reg", self.reg)
    }

    fn net(&self, world: &World, rng: &mut ChaCha8Rng) -> Result<DeepStyleNet, FitError> {
        let device = &world.device;
        let categories = self.categories(world.attributes.as_ref(), &world.warm, device)?;
        let n_categories = categories.mean.dims()[1];
        let mut table = |rows| Weight::new(&xavier_uniform(rows, self.dim, rng), device);
        Ok(DeepStyleNet {
            users: table(world.n_users()),
            items: table(world.n_items()),
            of_categories: table(n_categories),
            content: Stacked::new(world, self.dim, rng),
            categories,
            config: self.clone(),
        })
    }
}

impl DeepStyleConfig {
    fn categories(
        &self,
        attributes: Option<&SparseFeatures>,
        warm: &[bool],
        device: &Device,
    ) -> Result<Categories, FitError> {
        let refused = |reason| FitError::Data { model: Self::NAME.into(), reason };
        let given = attributes.ok_or_else(|| {
            refused("it reads the categories of items, and the items have no attributes".into())
        })?;
        let attribute_of = |name: &str| name.split_once('=').map(|(of, _)| of.to_owned());
        let wanted = |name: &String| match (attribute_of(name), &self.attribute) {
            (Some(found), Some(wanted)) => found == *wanted,
            (found, _) => found.is_some(),
        };
        let place: Vec<Option<u32>> = given
            .names()
            .iter()
            .scan(0, |next, name| Some(wanted(name).then(|| std::mem::replace(next, *next + 1))))
            .collect();
        let n = place.iter().flatten().count();
        if n == 0 {
            let mut known: Vec<String> =
                given.names().iter().filter_map(|n| attribute_of(n)).collect();
            known.sort();
            known.dedup();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let wanted = self.attribute.as_deref().unwrap_or("any");
            return Err(refused(format!(
                "categories come from the attribute {wanted}; the items have: {known}"
            )));
        }
        let rows: Vec<Vec<(u32, f32)>> = warm
            .iter()
            .enumerate()
            .map(|(item, warm)| if *warm { shares(given, item, &place) } else { Vec::new() })
            .collect();
        Ok(Categories::new(rows, n, device))
    }
}

/// The categories of an item with weights that sum to 1.
fn shares(given: &SparseFeatures, item: usize, place: &[Option<u32>]) -> Vec<(u32, f32)> {
    let cells = given.columns(item).iter().zip(given.values(item));
    let mut row: Vec<(u32, f32)> = cells
        .filter_map(|(column, value)| Some((place[*column as usize]?, value.abs())))
        .filter(|cell| cell.1 > 0.0)
        .collect();
    let sum: f32 = row.iter().map(|cell| cell.1).sum();
    row.iter_mut().for_each(|cell| cell.1 /= sum);
    row
}

/// Which categories each item has.
#[derive(Clone)]
struct Categories {
    /// `[n_items, categories]`, rows that sum to 1, or to nothing.
    of_items: SparseProduct,
    /// `[n_items, 1]`, one where the row has nothing.
    unknown: Tensor<2>,
    /// `[1, categories]`, the mean of the rows that have something.
    mean: Tensor<2>,
}

impl Categories {
    fn new(rows: Vec<Vec<(u32, f32)>>, n: usize, device: &Device) -> Self {
        let mut unknown = Matrix::zeros(rows.len(), 1);
        let mut mean = Matrix::zeros(1, n);
        let known = rows.iter().filter(|row| !row.is_empty()).count().max(1) as f32;
        for (row, unknown) in rows.iter().zip(unknown.as_mut_slice()) {
            *unknown = f32::from(u8::from(row.is_empty()));
            row.iter().for_each(|cell| mean.row_mut(0)[cell.0 as usize] += cell.1 / known);
        }
        Self {
            of_items: SparseProduct::new(SparseRows::from_rows(n, rows)),
            unknown: matrix_to_tensor(&unknown, device),
            mean: matrix_to_tensor(&mean, device),
        }
    }

    /// The vectors of the items' categories, `[n_items, dim]`.
    fn apply(&self, vectors: Tensor<2>) -> Tensor<2> {
        let mean = self.mean.clone().matmul(vectors.clone());
        self.of_items.apply(vectors) + self.unknown.clone() * mean
    }
}

/// The trained form of [`DeepStyleConfig`].
#[derive(Clone)]
pub(crate) struct DeepStyleNet {
    users: Weight,
    items: Weight,
    of_categories: Weight,
    content: Stacked,
    categories: Categories,
    config: DeepStyleConfig,
}

impl GraphNet for DeepStyleNet {
    fn loss(&mut self, batch: &Triples<'_>, _: &mut ChaCha8Rng) -> Tensor<1> {
        let categories = self.categories.apply(self.of_categories.tensor());
        let u = select_rows(self.users.tensor(), batch.users);
        let parts = |ids: &[u32]| {
            let q = select_rows(self.items.tensor(), ids);
            let l = select_rows(categories.clone(), ids);
            (q.clone() + self.content.rows(ids) - l.clone(), q, l)
        };
        let (i, q_i, l_i) = parts(batch.positives);
        let (j, q_j, l_j) = parts(batch.negatives);
        let mut loss = bpr([u.clone(), i, j]);
        if self.config.reg > 0.0 {
            let mut penalty = l2_half(&[&u, &q_i, &q_j, &l_i, &l_j], self.config.batch_size);
            for block in self.content.blocks() {
                penalty = penalty + block.powi_scalar(2).sum() * 0.5;
            }
            loss = loss + penalty * self.config.reg;
        }
        loss
    }

    fn vectors(&self) -> (Tensor<2>, Tensor<2>) {
        let style = self.content.all() - self.categories.apply(self.of_categories.tensor());
        (self.users.tensor(), self.items.tensor() + style)
    }
}

impl Layer for DeepStyleNet {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = vec![
            ("users".to_owned(), &self.users),
            ("items".to_owned(), &self.items),
            ("categories".to_owned(), &self.of_categories),
        ];
        all.extend(self.content.named("projection"));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = vec![&mut self.users, &mut self.items, &mut self.of_categories];
        all.extend(self.content.blocks_mut());
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_tensor::tensor_to_vec;

    #[test]
    fn loss_gradients_and_vectors_are_those_of_pytorch() {
        crate::graph::parity::check::<DeepStyleConfig>();
    }

    #[test]
    fn categories_are_shares_and_unknown_ones_the_mean() {
        let names = ["kind=a", "kind=b", "year", "shop=x"].map(str::to_owned).to_vec();
        let cells = [(0, 0, 1.0), (1, 0, 1.0), (1, 1, 3.0), (1, 2, 9.0), (2, 3, 1.0), (3, 1, 1.0)];
        let given = SparseFeatures::new(4, names, cells).unwrap();
        let config = DeepStyleConfig { attribute: Some("kind".into()), ..Default::default() };
        let device = Device::flex();
        let made = config.categories(Some(&given), &[true, true, true, false], &device).unwrap();
        // a is (1), b is (10); item 0 has a, item 1 a quarter of it; the mean of both is 4.375.
        let vectors = matrix_to_tensor(&Matrix::from_vec(2, 1, vec![1.0, 10.0]).unwrap(), &device);
        let found = tensor_to_vec(made.apply(vectors)).unwrap();
        assert_eq!(found, [1.0, 7.75, 4.375, 4.375]);
        let none = config.categories(None, &[true; 4], &device).err().unwrap();
        assert!(matches!(none, FitError::Data { .. }) && none.to_string().contains("attributes"));
        let config = DeepStyleConfig { attribute: Some("brand".into()), ..config };
        let text = config.categories(Some(&given), &[true; 4], &device).err().unwrap().to_string();
        assert!(text.contains("brand") && text.contains("have: kind, shop"), "{text}");
    }
}

//! What a fusion layer sees: one block of vectors a modality, and who has what.

use burn::prelude::*;
use burn::tensor::TensorData;
use quintet_core::{FeatureSet, Modality};

/// A batch of items in every modality.
#[derive(Debug, Clone)]
pub struct Views {
    /// The modalities, in canonical order.
    pub modalities: Vec<Modality>,
    /// One `[batch, d_m]` a modality. Rows of absent items may hold anything; read them only
    /// through the mask.
    pub features: Vec<Tensor<2>>,
    /// `[batch, n_modalities]`: 1 where the item has the modality, else 0.
    pub mask: Tensor<2>,
}

impl Views {
    /// Checks the parts and puts them into canonical order, so that layers need not ask in which
    /// order a caller names the modalities.
    ///
    /// # Panics
    /// When the numbers of modalities or of rows disagree: a mistake of the caller.
    pub fn new(modalities: Vec<Modality>, features: Vec<Tensor<2>>, mask: Tensor<2>) -> Self {
        let [batch, n] = mask.dims();
        assert_eq!(modalities.len(), features.len(), "one feature block a modality");
        assert_eq!(n, features.len(), "the mask has one column a modality");
        for (modality, block) in modalities.iter().zip(&features) {
            assert_eq!(block.dims()[0], batch, "{modality} features and mask have equal rows");
        }
        if modalities.is_sorted() {
            return Self { modalities, features, mask };
        }
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by_key(|&m| modalities[m]);
        Self {
            modalities: order.iter().map(|&m| modalities[m]).collect(),
            features: order.iter().map(|&m| features[m].clone()).collect(),
            mask: Tensor::cat(order.iter().map(|&m| mask.clone().narrow(1, m, 1)).collect(), 1),
        }
    }

    /// The same items with modality `m` absent everywhere.
    pub fn without(&self, m: usize) -> Self {
        let [batch, n] = self.mask.dims();
        let device = self.mask.device();
        let column = |c: usize| {
            if c == m { Tensor::zeros([batch, 1], &device) } else { self.present(c) }
        };
        let mask = Tensor::cat((0..n).map(column).collect(), 1);
        Self { modalities: self.modalities.clone(), features: self.features.clone(), mask }
    }

    /// The rows `items` of a feature set as tensors on `device`.
    ///
    /// # Panics
    /// When an item is out of range.
    pub fn gather(features: &FeatureSet, items: &[u32], device: &Device) -> Self {
        let mut blocks = Vec::with_capacity(features.len());
        let mut mask = vec![0.0f32; items.len() * features.len()];
        for (m, f) in features.iter().enumerate() {
            let mut data = Vec::with_capacity(items.len() * f.dim());
            for (b, &item) in items.iter().enumerate() {
                data.extend_from_slice(f.matrix.row(item as usize));
                mask[b * features.len() + m] = f32::from(u8::from(f.present[item as usize]));
            }
            blocks.push(Tensor::from_data(TensorData::new(data, [items.len(), f.dim()]), device));
        }
        let mask = Tensor::from_data(TensorData::new(mask, [items.len(), features.len()]), device);
        Self::new(features.iter().map(|f| f.modality).collect(), blocks, mask)
    }

    /// Number of items.
    pub fn batch(&self) -> usize {
        self.mask.dims()[0]
    }

    /// Column `m` of the mask, `[batch, 1]`.
    pub fn present(&self, m: usize) -> Tensor<2> {
        self.mask.clone().narrow(1, m, 1)
    }

    /// Block `m` with zeros in absent rows, whatever they held (NaN included).
    pub fn masked(&self, m: usize) -> Tensor<2> {
        let block = self.features[m].clone();
        let [batch, dim] = block.dims();
        // `0 * NaN` is NaN, so a product would not do.
        let absent = self.present(m).lower_elem(0.5).expand([batch, dim]);
        block.mask_fill(absent, 0.0)
    }
}

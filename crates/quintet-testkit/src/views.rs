//! Batches for fusion layers: known numbers, known absences.

use burn::prelude::*;
use burn::tensor::TensorData;
use quintet_core::{Matrix, Modality, SeedStream};
use quintet_tensor::{FusionShape, Views, matrix_to_tensor};
use rand::RngExt;

/// Scales of the features by modality: the layers must bear a factor of 1000.
const SCALES: [f32; 5] = [1.0, 100.0, 0.1, 10.0, 1.0];

/// A batch on the host.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) modalities: Vec<Modality>,
    /// One `[batch, d_m]` a modality.
    pub(crate) blocks: Vec<Matrix>,
    /// `[batch][n_modalities]`.
    pub(crate) mask: Vec<Vec<bool>>,
}

impl Batch {
    /// Random features for the given mask.
    pub(crate) fn random(shape: &FusionShape, mask: Vec<Vec<bool>>, seed: u64) -> Self {
        let blocks = shape.modalities.iter().map(|&(modality, width)| {
            let mut rng = SeedStream::new(seed).rng("views", modality as u64);
            let mut block = Matrix::zeros(mask.len(), width);
            let scale = SCALES[modality as usize];
            block.as_mut_slice().iter_mut().for_each(|v| *v = scale * rng.random_range(-1.0..1.0));
            block
        });
        let blocks = blocks.collect();
        Self { modalities: shape.modalities.iter().map(|(m, _)| *m).collect(), blocks, mask }
    }

    /// One item for each subset of the modalities, the empty one first.
    pub(crate) fn every_subset(shape: &FusionShape, seed: u64) -> Self {
        let n = shape.modalities.len();
        let subset = |bits: usize| (0..n).map(|m| bits >> m & 1 == 1).collect();
        Self::random(shape, (0..1 << n).map(subset).collect(), seed)
    }

    pub(crate) fn len(&self) -> usize {
        self.mask.len()
    }

    /// The rows `rows`, in that order.
    pub(crate) fn select(&self, rows: &[usize]) -> Self {
        let pick = |block: &Matrix| {
            let data = rows.iter().flat_map(|&r| block.row(r).to_vec()).collect();
            Matrix::from_vec(rows.len(), block.cols(), data).unwrap()
        };
        Self {
            modalities: self.modalities.clone(),
            blocks: self.blocks.iter().map(pick).collect(),
            mask: rows.iter().map(|&r| self.mask[r].clone()).collect(),
        }
    }

    /// Overwrites what absent slots hold.
    pub(crate) fn fill_absent(&self, mut value: impl FnMut() -> f32) -> Self {
        let mut filled = self.clone();
        for (m, block) in filled.blocks.iter_mut().enumerate() {
            for (row, present) in self.mask.iter().enumerate() {
                if !present[m] {
                    block.row_mut(row).iter_mut().for_each(|v| *v = value());
                }
            }
        }
        filled
    }

    /// The names of what row `row` has.
    pub(crate) fn describe(&self, row: usize) -> String {
        let present = self.modalities.iter().zip(&self.mask[row]).filter(|(_, p)| **p);
        let names: Vec<&str> = present.map(|(m, _)| m.as_str()).collect();
        if names.is_empty() { "nothing".into() } else { names.join(" + ") }
    }

    pub(crate) fn mask_matrix(&self) -> Matrix {
        let flat = self.mask.iter().flatten().map(|p| f32::from(u8::from(*p))).collect();
        Matrix::from_vec(self.len(), self.modalities.len(), flat).unwrap()
    }

    pub(crate) fn views(&self, device: &Device) -> Views {
        self.views_of(self.blocks.iter().map(|b| matrix_to_tensor(b, device)).collect(), device)
    }

    /// Views with features that keep their gradient.
    pub(crate) fn tracked_views(&self, device: &Device) -> Views {
        let leaf = |b: &Matrix| matrix_to_tensor(b, device).require_grad();
        self.views_of(self.blocks.iter().map(leaf).collect(), device)
    }

    fn views_of(&self, features: Vec<Tensor<2>>, device: &Device) -> Views {
        let mask = matrix_to_tensor(&self.mask_matrix(), device);
        Views::new(self.modalities.clone(), features, mask)
    }
}

/// Random numbers as `[rows, cols]`, within ±`bound`.
pub(crate) fn random_tensor(dims: [usize; 2], bound: f32, seed: u64, device: &Device) -> Tensor<2> {
    let mut rng = SeedStream::new(seed).rng("numbers", 0);
    let data: Vec<f32> =
        (0..dims[0] * dims[1]).map(|_| bound * rng.random_range(-1.0..1.0)).collect();
    Tensor::from_data(TensorData::new(data, dims), device)
}

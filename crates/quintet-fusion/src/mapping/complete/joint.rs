//! All modalities of an item side by side, standardised over the training items, absent parts 0.

use burn::prelude::*;
use burn::tensor::TensorData;
use quintet_core::{FeatureSet, Matrix, Modality};
use rand::{Rng, RngExt};

use super::{having, one, shape_of};
use crate::mapping::MappingError;
use crate::mapping::trained::Scale;

#[derive(Debug, Clone)]
pub(crate) struct Joint {
    shape: Vec<(Modality, usize)>,
    scales: Vec<Scale>,
}

impl Joint {
    pub(crate) fn fit(
        method: &'static str,
        features: &FeatureSet,
        train: &[u32],
    ) -> Result<Self, MappingError> {
        let mut scales = Vec::with_capacity(features.len());
        for f in features.iter() {
            let items = having(features, train, &[f.modality])?;
            scales.push(Scale::fit(method, f.modality.as_str(), &f.matrix, &items)?);
        }
        Ok(Self { shape: shape_of(features), scales })
    }

    pub(crate) fn shape(&self) -> &[(Modality, usize)] {
        &self.shape
    }

    /// Width of all modalities together.
    pub(crate) fn width(&self) -> usize {
        self.shape.iter().map(|(_, d)| d).sum()
    }

    /// The columns of each modality.
    pub(crate) fn spans(&self) -> Vec<(usize, usize)> {
        let mut start = 0;
        let spans = self.shape.iter().map(|&(_, d)| {
            start += d;
            (start - d, d)
        });
        spans.collect()
    }

    /// Rows `[batch, width]` and masks `[batch, n_modalities]`.
    pub(crate) fn gather(
        &self,
        features: &FeatureSet,
        items: &[u32],
    ) -> Result<(Vec<f32>, Vec<f32>), MappingError> {
        let (n, width) = (self.shape.len(), self.width());
        let (mut x, mut mask) = (vec![0.0; items.len() * width], vec![0.0; items.len() * n]);
        for (m, (start, dim)) in self.spans().into_iter().enumerate() {
            let f = one(features, self.shape[m].0)?;
            for (b, &item) in items.iter().enumerate().filter(|(_, i)| f.present[**i as usize]) {
                mask[b * n + m] = 1.0;
                let row = self.scales[m].row(f.matrix.row(item as usize));
                x[b * width + start..][..dim].iter_mut().zip(row).for_each(|(x, v)| *x = v);
            }
        }
        Ok((x, mask))
    }

    /// One row a modality with `value(dim)` in its columns, `[n_modalities, width]`: a mask times
    /// it is a mask of columns.
    pub(crate) fn spread(&self, value: fn(usize) -> f32, device: &Device) -> Tensor<2> {
        let width = self.width();
        let mut data = vec![0.0; self.shape.len() * width];
        for (m, (start, dim)) in self.spans().into_iter().enumerate() {
            data[m * width + start..][..dim].fill(value(dim));
        }
        tensor(data, width, device)
    }

    /// The columns of `target` in rows `[batch, width]`, in the units of the features.
    pub(crate) fn restore(&self, target: Modality, rows: &[f32]) -> Matrix {
        let width = self.width();
        let Some(m) = self.shape.iter().position(|(m, _)| *m == target) else {
            return Matrix::default();
        };
        let (start, dim) = self.spans()[m];
        let mut out = Matrix::zeros(rows.len() / width, dim);
        let scale = &self.scales[m];
        for (r, row) in rows.chunks_exact(width).enumerate() {
            for (c, o) in out.row_mut(r).iter_mut().enumerate() {
                *o = row[start + c] * scale.std[c] + scale.mean[c];
            }
        }
        out
    }
}

/// Takes one present modality away, drawn evenly, with probability `rate`, from rows of a mask
/// `[batch, n]` that have two at least.
pub(crate) fn hide_one(mask: &[f32], n: usize, rate: f32, rng: &mut impl Rng) -> Vec<f32> {
    let mut out = mask.to_vec();
    for row in out.chunks_exact_mut(n) {
        let (chosen, draw) = (rng.random::<f32>(), rng.random::<f32>());
        let present: Vec<usize> = (0..n).filter(|&m| row[m] > 0.0).collect();
        if present.len() >= 2 && draw < rate {
            row[present[((chosen * present.len() as f32) as usize).min(present.len() - 1)]] = 0.0;
        }
    }
    out
}

/// Row-major numbers as `[n, width]`.
pub(crate) fn tensor(data: Vec<f32>, width: usize, device: &Device) -> Tensor<2> {
    let rows = data.len() / width;
    Tensor::from_data(TensorData::new(data, [rows, width]), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::SeedStream;

    #[test]
    fn one_of_two_is_hidden_and_never_the_last() {
        let mut rng = SeedStream::new(1).rng("test", 0);
        let mask = [1.0, 0.0, 1.0, 1.0, 1.0, 1.0];
        let all = hide_one(&mask, 3, 1.0, &mut rng);
        assert_eq!(all[..3].iter().sum::<f32>(), 1.0);
        assert_eq!(all[1], 0.0);
        assert_eq!(all[3..].iter().sum::<f32>(), 2.0);
        assert_eq!(hide_one(&[0.0, 1.0], 2, 1.0, &mut rng), [0.0, 1.0]);
        assert_eq!(hide_one(&mask, 3, 0.0, &mut rng), mask);
    }
}

//! Item features on the device, on one scale, rows on demand.

use burn::tensor::{Device, Tensor};
use quintet_core::{FeatureSet, Matrix, Modality, ModalityFeatures};
use quintet_tensor::{FitError, FusionShape, Views, index_tensor, matrix_to_tensor};

/// How many items go through a projection at once when the whole catalogue is scored.
const CHUNK: usize = 4096;

/// The features of the chosen modalities.
pub(crate) struct Content {
    modalities: Vec<(Modality, usize)>,
    blocks: Vec<Tensor<2>>,
    mask: Tensor<2>,
    n_items: usize,
}

impl Content {
    /// Takes the modalities named in `wanted` (all when `None`), scaled column by column to mean
    /// 0 and variance `1 / dim` over the items that have the modality, so that a row has a
    /// length of about 1 whatever the encoder's units are.
    pub(crate) fn new(
        model: &str,
        features: &FeatureSet,
        wanted: Option<&[Modality]>,
        device: &Device,
    ) -> Result<Self, FitError> {
        if let Some(missing) = wanted.and_then(|w| w.iter().find(|m| features.get(**m).is_none())) {
            let known: Vec<&str> = features.iter().map(|f| f.modality.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(FitError::MissingModality { model: model.into(), modality: *missing, known });
        }
        let chosen = wanted.map_or_else(|| features.clone(), |w| features.only(w));
        if chosen.is_empty() {
            return Err(FitError::Data {
                model: model.into(),
                reason: "it reads item content, and the dataset has no features of any modality; \
                         run `quintet encode` first"
                    .into(),
            });
        }
        let mut mask = Matrix::zeros(chosen.n_items(), chosen.len());
        let mut blocks = Vec::with_capacity(chosen.len());
        for (m, f) in chosen.iter().enumerate() {
            for item in (0..chosen.n_items()).filter(|&i| f.present[i]) {
                mask.row_mut(item)[m] = 1.0;
            }
            blocks.push(matrix_to_tensor(&standardise(f), device));
        }
        Ok(Self {
            modalities: chosen.iter().map(|f| (f.modality, f.dim())).collect(),
            mask: matrix_to_tensor(&mask, device),
            blocks,
            n_items: chosen.n_items(),
        })
    }

    /// The modalities in use.
    pub(crate) fn names(&self) -> Vec<Modality> {
        self.modalities.iter().map(|(m, _)| *m).collect()
    }

    /// What a fusion layer over this content is built for.
    pub(crate) fn shape(&self, d_out: usize) -> FusionShape {
        FusionShape { modalities: self.modalities.clone(), d_out }
    }

    /// The views of some items.
    pub(crate) fn views(&self, items: &[u32], device: &Device) -> Views {
        let rows = index_tensor(items, device);
        let blocks = self.blocks.iter().map(|b| b.clone().select(0, rows.clone())).collect();
        Views::new(self.names(), blocks, self.mask.clone().select(0, rows))
    }

    /// The whole catalogue in chunks of positions.
    pub(crate) fn chunks(&self) -> Vec<Vec<u32>> {
        let all: Vec<u32> = (0..self.n_items as u32).collect();
        all.chunks(CHUNK).map(<[u32]>::to_vec).collect()
    }
}

/// Column z-scores over the present rows, divided by `sqrt(dim)`; absent rows stay zero.
fn standardise(f: &ModalityFeatures) -> Matrix {
    let (n, dim) = (f.n_present().max(1) as f64, f.dim());
    let mut mean = vec![0.0f64; dim];
    let mut square = vec![0.0f64; dim];
    let present = || (0..f.matrix.rows()).filter(|&i| f.present[i]);
    for item in present() {
        for ((m, s), &v) in mean.iter_mut().zip(&mut square).zip(f.matrix.row(item)) {
            *m += f64::from(v) / n;
            *s += f64::from(v) * f64::from(v) / n;
        }
    }
    let scale: Vec<f64> = mean
        .iter()
        .zip(&square)
        .map(|(m, s)| {
            let sd = (s - m * m).max(0.0).sqrt();
            // A constant column says nothing.
            if sd > 1e-6 { 1.0 / (sd * (dim as f64).sqrt()) } else { 0.0 }
        })
        .collect();
    let mut out = Matrix::zeros(f.matrix.rows(), dim);
    for item in present() {
        for (((o, &v), m), s) in
            out.row_mut(item).iter_mut().zip(f.matrix.row(item)).zip(&mean).zip(&scale)
        {
            *o = ((f64::from(v) - m) * s) as f32;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_standardised_over_present_rows_only() {
        let matrix = Matrix::from_vec(3, 2, vec![1.0, 5.0, 3.0, 5.0, 99.0, 99.0]).unwrap();
        let f = ModalityFeatures::new(Modality::Text, matrix, vec![true, true, false]).unwrap();
        let out = standardise(&f);
        // Column 0: mean 2, deviation 1; column 1 is constant. Divided by sqrt(2).
        let r = 0.5f32.sqrt();
        let expected = [-r, 0.0, r, 0.0, 0.0, 0.0];
        for (a, b) in out.as_slice().iter().zip(expected) {
            assert!((a - b).abs() < 1e-6, "{:?}", out.as_slice());
        }
    }

    #[test]
    fn a_missing_modality_is_named() {
        let mut set = FeatureSet::new(1);
        set.push(ModalityFeatures::new(Modality::Text, Matrix::zeros(1, 2), vec![true]).unwrap())
            .unwrap();
        let device = Device::flex();
        let err = Content::new("vbpr", &set, Some(&[Modality::Image]), &device).err().unwrap();
        let text = err.to_string();
        assert!(text.contains("image") && text.contains("has: text"), "{text}");
    }
}

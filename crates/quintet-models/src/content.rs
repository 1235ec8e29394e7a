//! Item features on the device, on one scale, rows on demand.

use burn::tensor::{Device, Tensor};
use faer::{Mat, Side};
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
    /// Takes the modalities named in `wanted` (all when `None`), each reduced to at most
    /// `components` principal components (0 keeps the columns as they are) over the items that
    /// have the modality, and scaled to rows of mean length 1, whatever the encoder's units.
    ///
    /// A few hundred columns against a few hundred items would be learned by heart; the leading
    /// components hold what varies most between items, and are not whitened, so the weak ones
    /// stay weak.
    pub(crate) fn new(
        model: &str,
        features: &FeatureSet,
        wanted: Option<&[Modality]>,
        components: usize,
        device: &Device,
    ) -> Result<Self, FitError> {
        if let Some(missing) = wanted.and_then(|w| w.iter().find(|m| features.get(**m).is_none())) {
            let known: Vec<&str> = features.iter().map(|f| f.modality.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(FitError::MissingModality {
                model: model.into(),
                modality: *missing,
                known,
            });
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
        let mut modalities = Vec::with_capacity(chosen.len());
        for (m, f) in chosen.iter().enumerate() {
            for item in (0..chosen.n_items()).filter(|&i| f.present[i]) {
                mask.row_mut(item)[m] = 1.0;
            }
            let block = reduce(f, components)
                .map_err(|reason| FitError::Data { model: model.into(), reason })?;
            modalities.push((f.modality, block.cols()));
            blocks.push(matrix_to_tensor(&block, device));
        }
        Ok(Self {
            modalities,
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

/// Centred, reduced and scaled rows, `[n_items, min(components, dim)]`; absent rows stay zero.
fn reduce(f: &ModalityFeatures, components: usize) -> Result<Matrix, String> {
    let dim = f.dim();
    let present: Vec<usize> = (0..f.matrix.rows()).filter(|&i| f.present[i]).collect();
    let n = present.len().max(1) as f64;
    let mut mean = vec![0.0f64; dim];
    for &item in &present {
        mean.iter_mut().zip(f.matrix.row(item)).for_each(|(m, &v)| *m += f64::from(v) / n);
    }
    let centred =
        Mat::from_fn(present.len(), dim, |r, c| f64::from(f.matrix.row(present[r])[c]) - mean[c]);
    let keep = if components == 0 { dim } else { components.min(dim) };
    let rows = if keep < dim { &centred * principal(&centred, keep)? } else { centred };
    let square: f64 = (0..rows.nrows())
        .flat_map(|r| (0..keep).map(move |c| (r, c)))
        .map(|p| rows[p].powi(2))
        .sum();
    let length = (square / n).sqrt();
    let scale = if length > 1e-9 { 1.0 / length } else { 0.0 };
    let mut out = Matrix::zeros(f.matrix.rows(), keep);
    for (r, &item) in present.iter().enumerate() {
        for (c, o) in out.row_mut(item).iter_mut().enumerate() {
            *o = (rows[(r, c)] * scale) as f32;
        }
    }
    Ok(out)
}

/// The `keep` leading principal axes of centred rows, `[dim, keep]`. The largest entry of an
/// axis is positive, so that the sign does not depend on the solver. Cost `O(n dim² + dim³)`.
fn principal(centred: &Mat<f64>, keep: usize) -> Result<Mat<f64>, String> {
    let covariance = centred.transpose() * centred;
    let eigen = covariance
        .self_adjoint_eigen(Side::Lower)
        .map_err(|e| format!("principal components could not be computed: {e:?}"))?;
    let dim = covariance.nrows();
    let axes = eigen.U();
    // Eigenvalues ascend.
    Ok(Mat::from_fn(dim, keep, |r, c| {
        let column = dim - 1 - c;
        let largest = (0..dim)
            .map(|k| axes[(k, column)])
            .fold(0.0f64, |best, v| if v.abs() > best.abs() { v } else { best });
        axes[(r, column)] * if largest < 0.0 { -1.0 } else { 1.0 }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_centred_and_scaled_over_present_items_only() {
        let matrix = Matrix::from_vec(3, 2, vec![1.0, 5.0, 3.0, 5.0, 99.0, 99.0]).unwrap();
        let f = ModalityFeatures::new(Modality::Text, matrix, vec![true, true, false]).unwrap();
        // Mean (2, 5): rows (-1, 0) and (1, 0), of length 1 already.
        assert_eq!(reduce(&f, 0).unwrap().as_slice(), [-1.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
        // All variance lies on the first axis.
        let one = reduce(&f, 1).unwrap();
        for (a, b) in one.as_slice().iter().zip([-1.0, 1.0, 0.0]) {
            assert!((a - b).abs() < 1e-6, "{:?}", one.as_slice());
        }
    }

    #[test]
    fn a_missing_modality_is_named() {
        let mut set = FeatureSet::new(1);
        set.push(ModalityFeatures::new(Modality::Text, Matrix::zeros(1, 2), vec![true]).unwrap())
            .unwrap();
        let device = Device::flex();
        let err = Content::new("vbpr", &set, Some(&[Modality::Image]), 0, &device).err().unwrap();
        let text = err.to_string();
        assert!(text.contains("image") && text.contains("has: text"), "{text}");
    }
}

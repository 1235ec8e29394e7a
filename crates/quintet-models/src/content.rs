//! Item features on the device, on one scale, rows on demand.

use burn::tensor::{Device, Tensor};
use faer::{Mat, Side};
use quintet_core::{FeatureSet, Matrix, Modality, ModalityFeatures, ModelState, StateError};
use quintet_fusion::modality_dropout;
use quintet_tensor::{FitError, FusionShape, Views, index_tensor, matrix_to_tensor};
use rand::Rng;

/// How many items go through a projection at once when the whole catalogue is scored.
const CHUNK: usize = 4096;

/// The features of the chosen modalities.
#[derive(Clone)]
pub(crate) struct Content {
    modalities: Vec<(Modality, usize)>,
    blocks: Vec<Tensor<2>>,
    mask: Tensor<2>,
    n_items: usize,
    map: ContentMap,
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
        let map = ContentMap::fit(model, features, wanted, components)?;
        map.apply(features, device).map_err(|reason| FitError::Data { model: model.into(), reason })
    }

    /// The modalities in use.
    pub(crate) fn names(&self) -> Vec<Modality> {
        self.modalities.iter().map(|(m, _)| *m).collect()
    }

    /// What a fusion layer over this content is built for.
    pub(crate) fn shape(&self, d_out: usize) -> FusionShape {
        FusionShape { modalities: self.modalities.clone(), d_out }
    }

    /// How other features become content of the same meaning.
    pub(crate) fn map(&self) -> &ContentMap {
        &self.map
    }

    /// Number of items.
    pub(crate) fn n_items(&self) -> usize {
        self.n_items
    }

    /// The views of some items.
    pub(crate) fn views(&self, items: &[u32], device: &Device) -> Views {
        let rows = index_tensor(items, device);
        let blocks = self.blocks.iter().map(|b| b.clone().select(0, rows.clone())).collect();
        Views::new(self.names(), blocks, self.mask.clone().select(0, rows))
    }

    /// The views of some items in training: each modality of an item is hidden with probability
    /// `rate`, but never all that it has. A rate of 0 draws nothing.
    ///
    /// # Errors
    /// A rate outside `[0, 1)`.
    pub(crate) fn train_views(
        &self,
        items: &[u32],
        rate: f32,
        rng: &mut impl Rng,
        device: &Device,
    ) -> Result<Views, FitError> {
        let views = self.views(items, device);
        if rate == 0.0 {
            return Ok(views);
        }
        modality_dropout(&views, rate, false, rng)
    }

    /// The whole catalogue in chunks of positions.
    pub(crate) fn chunks(&self) -> Vec<Vec<u32>> {
        let all: Vec<u32> = (0..self.n_items as u32).collect();
        all.chunks(CHUNK).map(<[u32]>::to_vec).collect()
    }
}

fn names_of(features: &FeatureSet) -> String {
    let known: Vec<&str> = features.iter().map(|f| f.modality.as_str()).collect();
    if known.is_empty() { "none".to_owned() } else { known.join(", ") }
}

/// What was learned from the features of the fitted items, to read other features by.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ContentMap {
    reductions: Vec<Reduction>,
}

impl ContentMap {
    /// Learns from the modalities named in `wanted`, as [`Content::new`] says.
    pub(crate) fn fit(
        model: &str,
        features: &FeatureSet,
        wanted: Option<&[Modality]>,
        components: usize,
    ) -> Result<Self, FitError> {
        if let Some(missing) = wanted.and_then(|w| w.iter().find(|m| features.get(**m).is_none())) {
            return Err(FitError::MissingModality {
                model: model.into(),
                modality: *missing,
                known: names_of(features),
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
        let reductions = chosen.iter().map(|f| Reduction::fit(f, components));
        let reductions = reductions
            .collect::<Result<Vec<_>, _>>()
            .map_err(|reason| FitError::Data { model: model.into(), reason })?;
        Ok(Self { reductions })
    }

    /// Features as content; modalities that were not fitted are left out.
    ///
    /// # Errors
    /// A fitted modality is not there, or has another width.
    pub(crate) fn apply(&self, features: &FeatureSet, device: &Device) -> Result<Content, String> {
        let n_items = features.n_items();
        let host = self.host(features)?;
        let mut mask = Matrix::zeros(n_items, host.len());
        let mut blocks = Vec::with_capacity(host.len());
        let mut modalities = Vec::with_capacity(host.len());
        for (m, f) in host.iter().enumerate() {
            for item in (0..n_items).filter(|&i| f.present[i]) {
                mask.row_mut(item)[m] = 1.0;
            }
            modalities.push((f.modality, f.dim()));
            blocks.push(matrix_to_tensor(&f.matrix, device));
        }
        let mask = matrix_to_tensor(&mask, device);
        Ok(Content { modalities, blocks, mask, n_items, map: self.clone() })
    }

    /// As [`ContentMap::apply`], without a device.
    ///
    /// # Errors
    /// A fitted modality is not there, or has another width.
    pub(crate) fn host(&self, features: &FeatureSet) -> Result<Vec<ModalityFeatures>, String> {
        let one = |reduction: &Reduction| {
            let modality = reduction.modality;
            let f = features.get(modality).ok_or_else(|| {
                let known = names_of(features);
                format!("it was fitted on {modality} features; the given ones have: {known}")
            })?;
            if f.dim() != reduction.mean.len() {
                let (expected, found) = (reduction.mean.len(), f.dim());
                return Err(format!(
                    "{modality} features have width {found}; it was fitted on width {expected}"
                ));
            }
            let (matrix, present) = (reduction.apply(f), f.present.clone());
            Ok(ModalityFeatures { modality, matrix, present })
        };
        self.reductions.iter().map(one).collect()
    }

    /// The modalities that are read.
    pub(crate) fn modalities(&self) -> Vec<Modality> {
        self.reductions.iter().map(|r| r.modality).collect()
    }

    /// The modalities and widths of the content.
    pub(crate) fn shape(&self, d_out: usize) -> FusionShape {
        let modalities = self.reductions.iter().map(|r| (r.modality, r.keep())).collect();
        FusionShape { modalities, d_out }
    }

    /// Adds everything to `state`.
    pub(crate) fn save(&self, state: &mut ModelState) {
        let names: Vec<&str> = self.reductions.iter().map(|r| r.modality.as_str()).collect();
        state.meta.insert("content".into(), names.join(","));
        for r in &self.reductions {
            let key = |part: &str| format!("content.{}.{part}", r.modality);
            for (part, row) in [("mean", r.mean.clone()), ("scale", vec![r.scale])] {
                if let Ok(row) = Matrix::from_vec(1, row.len(), row) {
                    state.put(key(part), row);
                }
            }
            if let Some(axes) = &r.axes {
                state.put(key("axes"), axes.clone());
            }
        }
    }

    /// Reads back what [`ContentMap::save`] wrote.
    pub(crate) fn load(state: &ModelState) -> Result<Self, StateError> {
        let mut reductions = Vec::new();
        for name in state.text("content")?.split(',').filter(|n| !n.is_empty()) {
            let modality: Modality =
                name.parse().map_err(|_| state.mismatch("content", "names of modalities", name))?;
            let key = |part: &str| format!("content.{modality}.{part}");
            let mean = state.matrix(&key("mean"))?.as_slice().to_vec();
            let scale = state.shaped(&key("scale"), 1, 1)?.as_slice()[0];
            let axes = match state.tensors.contains_key(&key("axes")) {
                true => {
                    let axes = state.matrix(&key("axes"))?;
                    Some(state.shaped(&key("axes"), mean.len(), axes.cols())?.clone())
                }
                false => None,
            };
            reductions.push(Reduction { modality, mean, axes, scale });
        }
        Ok(Self { reductions })
    }
}

/// Features of one modality, centred, reduced and scaled.
#[derive(Debug, Clone, PartialEq)]
struct Reduction {
    modality: Modality,
    /// `[dim]`.
    mean: Vec<f32>,
    /// Principal axes, `[dim, keep]`; none keeps the columns as they are.
    axes: Option<Matrix>,
    scale: f32,
}

impl Reduction {
    /// Learns mean, axes and scale from the items that have the modality.
    fn fit(f: &ModalityFeatures, components: usize) -> Result<Self, String> {
        let dim = f.dim();
        let present: Vec<usize> = (0..f.matrix.rows()).filter(|&i| f.present[i]).collect();
        let n = present.len().max(1) as f64;
        let mut mean = vec![0.0f64; dim];
        for &item in &present {
            mean.iter_mut().zip(f.matrix.row(item)).for_each(|(m, &v)| *m += f64::from(v) / n);
        }
        let centred = Mat::from_fn(present.len(), dim, |r, c| {
            f64::from(f.matrix.row(present[r])[c]) - mean[c]
        });
        let (axes, rows) = if components > 0 && components < dim {
            let axes = principal(&centred, components)?;
            let rows = &centred * &axes;
            (Some(axes), rows)
        } else {
            (None, centred)
        };
        let square: f64 = (0..rows.ncols())
            .flat_map(|c| (0..rows.nrows()).map(move |r| (r, c)))
            .map(|place| rows[place].powi(2))
            .sum();
        let length = (square / n).sqrt();
        let scale = if length > 1e-9 { (1.0 / length) as f32 } else { 0.0 };
        let axes = axes.map(|axes| {
            let mut out = Matrix::zeros(dim, axes.ncols());
            for r in 0..dim {
                let row = out.row_mut(r).iter_mut().enumerate();
                row.for_each(|(c, o)| *o = axes[(r, c)] as f32);
            }
            out
        });
        let mean = mean.into_iter().map(|m| m as f32).collect();
        Ok(Self { modality: f.modality, mean, axes, scale })
    }

    /// Width of the rows.
    fn keep(&self) -> usize {
        self.axes.as_ref().map_or(self.mean.len(), Matrix::cols)
    }

    /// `[n_items, keep]`; absent rows are zero.
    fn apply(&self, f: &ModalityFeatures) -> Matrix {
        let mut out = Matrix::zeros(f.matrix.rows(), self.keep());
        let mut sums = vec![0.0f64; self.keep()];
        for item in (0..f.matrix.rows()).filter(|&i| f.present[i]) {
            let centred = f.matrix.row(item).iter().zip(&self.mean);
            let centred = centred.map(|(v, m)| f64::from(*v) - f64::from(*m));
            match &self.axes {
                None => sums.iter_mut().zip(centred).for_each(|(s, v)| *s = v),
                Some(axes) => {
                    sums.fill(0.0);
                    for (place, v) in centred.enumerate() {
                        let axis = axes.row(place);
                        sums.iter_mut().zip(axis).for_each(|(s, a)| *s += v * f64::from(*a));
                    }
                }
            }
            let scale = f64::from(self.scale);
            out.row_mut(item).iter_mut().zip(&sums).for_each(|(o, s)| *o = (s * scale) as f32);
        }
        out
    }
}

/// The `keep` leading principal axes of centred rows, `[dim, keep]`. The largest entry of an
/// axis is positive, so that the sign does not depend on the solver. Not `mapping::Pca`: features of
/// low rank, or of no variance at all, keep their width here. Cost `O(n dim² + dim³)`.
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
    use rand::RngExt;

    use super::*;

    fn reduced(f: &ModalityFeatures, components: usize) -> Matrix {
        Reduction::fit(f, components).unwrap().apply(f)
    }

    #[test]
    fn rows_are_centred_and_scaled_over_present_items_only() {
        let matrix = Matrix::from_vec(3, 2, vec![1.0, 5.0, 3.0, 5.0, 99.0, 99.0]).unwrap();
        let f = ModalityFeatures::new(Modality::Text, matrix, vec![true, true, false]).unwrap();
        // Mean (2, 5): rows (-1, 0) and (1, 0), of length 1 already.
        assert_eq!(reduced(&f, 0).as_slice(), [-1.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
        // All variance lies on the first axis.
        for (a, b) in reduced(&f, 1).as_slice().iter().zip([-1.0, 1.0, 0.0]) {
            assert!((a - b).abs() < 1e-6);
        }
    }

    #[test]
    fn what_was_learned_reads_other_features_and_is_kept() {
        let rows = Matrix::from_vec(2, 3, vec![1.0, 5.0, 0.0, 3.0, 5.0, 2.0]).unwrap();
        let f = ModalityFeatures::new(Modality::Text, rows, vec![true; 2]).unwrap();
        for components in [0, 1] {
            let map = ContentMap { reductions: vec![Reduction::fit(&f, components).unwrap()] };
            let mut state = ModelState::new("m");
            map.save(&mut state);
            assert_eq!(ContentMap::load(&state).unwrap(), map);
            let one = Matrix::from_vec(1, 3, vec![3.0, 5.0, 2.0]).unwrap();
            let one = ModalityFeatures::new(Modality::Text, one, vec![true]).unwrap();
            assert_eq!(map.reductions[0].apply(&one).row(0), reduced(&f, components).row(1));
        }
    }

    #[test]
    fn training_hides_modalities_but_never_all_of_an_item() {
        let n = 400;
        let mut set = FeatureSet::new(n);
        let ones = Matrix::from_vec(n, 2, (0..2 * n).map(|x| x as f32).collect()).unwrap();
        for (modality, every) in [(Modality::Text, 1), (Modality::Image, 2)] {
            let present = (0..n).map(|item| item.is_multiple_of(every)).collect();
            set.push(ModalityFeatures::new(modality, ones.clone(), present).unwrap()).unwrap();
        }
        let device = Device::flex();
        let content = Content::new("m", &set, None, 0, &device).unwrap();
        let items: Vec<u32> = (0..n as u32).collect();
        let seed = quintet_core::SeedStream::new(3);
        let mask = |rate: f32| {
            let mut rng = seed.rng("t", 0);
            let views = content.train_views(&items, rate, &mut rng, &device).unwrap();
            let mask = views.mask.into_data().try_to_vec::<f32>().unwrap();
            (mask, rng.random::<u64>())
        };
        let (whole, untouched) = mask(0.0);
        assert_eq!(untouched, seed.rng("t", 0).random::<u64>(), "nothing is drawn at 0");
        let (hidden, _) = mask(0.5);
        let rows = |mask: &[f32]| mask.chunks(2).map(<[f32]>::to_vec).collect::<Vec<_>>();
        let mut gone = 0;
        for (item, (before, after)) in rows(&whole).iter().zip(rows(&hidden)).enumerate() {
            assert!(after.iter().sum::<f32>() >= 1.0, "item {item} lost everything");
            assert!(before.iter().zip(&after).all(|(b, a)| a <= b), "item {item} got something");
            gone += (before.iter().sum::<f32>() - after.iter().sum::<f32>()) as usize;
        }
        // Of 200 items with two modalities, three in four lose one.
        assert!((130..170).contains(&gone), "{gone}");
        let refused = content.train_views(&items, 1.0, &mut seed.rng("t", 0), &device);
        assert!(refused.map(drop).unwrap_err().to_string().contains("rate is 1"));
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

//! What the fusion layers share: the way into the common width, the masked softmax and the
//! vector of an item with nothing present.

use burn::prelude::*;
use quintet_core::{Matrix, Modality, SeedStream};
use quintet_tensor::{FitError, FusionShape, Layer, LayerNorm, Linear, Views, Weight};

/// Counters of the generators of everything but the projections, which take the positions of
/// their modalities.
pub(crate) const OUTPUT_COUNTER: u64 = 100;

/// The name that errors use, such as `weighted fusion`.
pub(crate) fn title(name: &str) -> String {
    format!("{name} fusion")
}

/// Refuses shapes that no layer here can serve.
pub(crate) fn check_shape(name: &str, shape: &FusionShape) -> Result<(), FitError> {
    let config = |reason: String| FitError::Config { model: title(name), reason };
    if shape.d_out == 0 {
        return Err(config("the output width is 0, at least 1 is needed".into()));
    }
    if shape.modalities.is_empty() {
        return Err(FitError::Data {
            model: title(name),
            reason: "the dataset has no features in any modality, at least one is needed".into(),
        });
    }
    if let Some(w) = shape.modalities.windows(2).find(|w| w[0].0 >= w[1].0) {
        return Err(config(format!(
            "modalities must come once and in canonical order, found {} before {}",
            w[0].0, w[1].0
        )));
    }
    // A layer norm over one number gives zero whatever the number is.
    if let Some((modality, width)) = shape.modalities.iter().find(|(_, width)| *width < 2) {
        return Err(FitError::Data {
            model: title(name),
            reason: format!("{modality} features have width {width}, at least 2 is needed"),
        });
    }
    Ok(())
}

/// Layer norm, then a linear map to the common width, one pair a modality.
///
/// Feature scales differ 10 to 100 times between modalities; without the norm the largest one
/// would be the only one that is heard.
#[derive(Debug, Clone)]
pub(crate) struct Projections {
    blocks: Vec<Block>,
}

#[derive(Debug, Clone)]
struct Block {
    modality: Modality,
    width: usize,
    norm: LayerNorm,
    linear: Linear,
}

impl Block {
    /// `LN(x) W + b`, `[batch, width] → [batch, d_out]`, with the norm's gain and bias folded into
    /// the linear map: features are much wider than the output, and every pass over them that is
    /// saved, forward and backward, is most of the cost.
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let centred = x.clone() - x.mean_dim(1);
        let variance = centred.clone().powi_scalar(2).mean_dim(1);
        let weight = self.linear.weight.tensor();
        let bias = self.norm.bias.tensor().matmul(weight.clone()) + self.linear.bias.tensor();
        let folded = self.norm.gain.tensor().transpose() * weight;
        centred.matmul(folded) / (variance + 1e-5).sqrt() + bias
    }
}

impl Projections {
    pub(crate) fn new(shape: &FusionShape, seed: SeedStream, device: &Device) -> Self {
        let blocks = shape.modalities.iter().map(|&(modality, width)| {
            // The start of one modality does not depend on which others there are.
            let mut rng = seed.rng("fusion", modality as u64);
            Block {
                modality,
                width,
                norm: LayerNorm::new(width, device),
                linear: Linear::new(width, shape.d_out, &mut rng, device),
            }
        });
        Self { blocks: blocks.collect() }
    }

    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// One `[batch, d_out]` a modality, zero in absent rows.
    ///
    /// # Panics
    /// When the views have other modalities or widths than the layer was built for.
    pub(crate) fn forward(&self, views: &Views) -> Vec<Tensor<2>> {
        let built: Vec<Modality> = self.blocks.iter().map(|b| b.modality).collect();
        assert_eq!(views.modalities, built, "modalities of the views and of the fusion layer");
        let project = |(m, block): (usize, &Block)| {
            let x = views.masked(m);
            assert_eq!(x.dims()[1], block.width, "width of the {} features", block.modality);
            // Bias has put numbers into the absent rows; the mask takes them out.
            block.forward(x) * views.present(m)
        };
        self.blocks.iter().enumerate().map(project).collect()
    }
}

impl Layer for Projections {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = Vec::with_capacity(4 * self.blocks.len());
        for block in &self.blocks {
            all.extend(prefixed(&format!("{}.norm.", block.modality), &block.norm));
            all.extend(prefixed(&format!("{}.project.", block.modality), &block.linear));
        }
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = Vec::with_capacity(4 * self.blocks.len());
        for block in &mut self.blocks {
            all.extend(block.norm.weights_mut());
            all.extend(block.linear.weights_mut());
        }
        all
    }
}

/// The weights of `layer` with `prefix` before their names.
pub(crate) fn prefixed<'a>(prefix: &str, layer: &'a impl Layer) -> Vec<(String, &'a Weight)> {
    layer.weights().into_iter().map(|(name, w)| (format!("{prefix}{name}"), w)).collect()
}

/// The vector of an item with nothing present, learned, zero at the start.
#[derive(Debug, Clone)]
pub(crate) struct Prior {
    pub(crate) weight: Weight,
}

impl Prior {
    pub(crate) fn new(d_out: usize, device: &Device) -> Self {
        Self { weight: Weight::new(&Matrix::zeros(1, d_out), device) }
    }

    /// Replaces the rows of `fused`, `[batch, d_out]`, in which nothing is present.
    pub(crate) fn fill(&self, fused: Tensor<2>, views: &Views) -> Tensor<2> {
        let none = nothing_present(&views.mask); // [batch, 1]
        let kept = none.clone().neg() + 1.0;
        fused * kept + none.matmul(self.weight.tensor())
    }
}

/// 1 in the rows of a mask `[batch, n_modalities]` that are all zero, else 0: `[batch, 1]`.
pub(crate) fn nothing_present(mask: &Tensor<2>) -> Tensor<2> {
    mask.clone().max_dim(1).neg() + 1.0
}

/// Softmax over the modalities that are present, `[batch, n_modalities, k]`; zero for the others
/// and everywhere in rows with nothing present.
pub(crate) fn masked_softmax(logits: Tensor<3>, mask: &Tensor<2>) -> Tensor<3> {
    let [batch, n, k] = logits.dims();
    let mask3 = mask.clone().reshape([batch, n, 1]);
    let absent = mask3.clone().lower_elem(0.5).expand([batch, n, k]);
    // Finite, so that a row with nothing present is 0 / 1 and not NaN.
    let logits = logits.mask_fill(absent, -1e9);
    let largest = logits.clone().max_dim(1).detach();
    let powers = (logits - largest).exp() * mask3;
    let none = nothing_present(mask).reshape([batch, 1, 1]);
    let sum = powers.clone().sum_dim(1) + none;
    powers / sum
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use burn::tensor::TensorData;
    use quintet_tensor::tensor_to_vec;

    /// Two modalities of width 2 and four items: both, text only, image only, nothing. Layer
    /// norm turns every row into (-1, 1), up to its ε.
    pub(crate) fn four_items(device: &Device) -> Views {
        let text = [1.0, 3.0, 1.0, 3.0, f32::NAN, f32::NAN, 5.0, 5.0];
        let image = [10.0, 30.0, f32::NAN, 0.0, 10.0, 30.0, f32::INFINITY, 1.0];
        let mask = [1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0];
        let block =
            |v: [f32; 8]| Tensor::<2>::from_data(TensorData::new(v.to_vec(), [4, 2]), device);
        Views::new(
            vec![Modality::Text, Modality::Image],
            vec![block(text), block(image)],
            block(mask),
        )
    }

    pub(crate) fn two_modalities(d_out: usize) -> FusionShape {
        FusionShape { modalities: vec![(Modality::Text, 2), (Modality::Image, 2)], d_out }
    }

    /// Sets a weight by its name.
    pub(crate) fn set(layer: &mut impl Layer, name: &str, values: &[f32]) {
        let names: Vec<String> = layer.weights().into_iter().map(|(n, _)| n).collect();
        let place = names.iter().position(|n| n == name).unwrap_or_else(|| panic!("{names:?}"));
        let weight = layer.weights_mut().swap_remove(place);
        let [rows, cols] = weight.dims();
        let device = weight.tensor().device();
        let data = TensorData::new(values.to_vec(), [rows, cols]);
        weight.set(Tensor::from_data(data, &device));
    }

    /// `h_text = 2`, `h_image = 5` wherever they are present, prior 7; width 1.
    pub(crate) fn set_projections(layer: &mut impl Layer) {
        set(layer, "text.project.weight", &[0.0, 2.0]);
        set(layer, "image.project.weight", &[0.0, 4.0]);
        set(layer, "image.project.bias", &[1.0]);
        set(layer, "prior", &[7.0]);
    }

    pub(crate) fn assert_close(found: Tensor<2>, expected: &[f32]) {
        let found = tensor_to_vec(found).unwrap();
        assert_eq!(found.len(), expected.len());
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() < 1e-4, "expected {expected:?}, found {found:?}");
        }
    }

    #[test]
    fn softmax_runs_over_the_present_and_survives_their_absence() {
        let device = Device::flex();
        let logits =
            Tensor::<3>::from_data([[[0.0], [3f32.ln()]], [[9.0], [1.0]], [[1.0], [1.0]]], &device);
        let mask = Tensor::<2>::from_data([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]], &device);
        let w = masked_softmax(logits, &mask).reshape([3, 2]);
        // e^0 : e^ln3 = 1 : 3; then the second alone; then nothing.
        assert_close(w, &[0.25, 0.75, 0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn impossible_shapes_are_refused() {
        let shape = |modalities: Vec<(Modality, usize)>, d_out| FusionShape { modalities, d_out };
        let text = |s: &FusionShape| check_shape("x", s).unwrap_err().to_string();
        assert!(text(&shape(vec![], 4)).contains("no features"));
        assert!(text(&shape(vec![(Modality::Text, 3)], 0)).contains("output width"));
        assert!(text(&shape(vec![(Modality::Text, 1)], 4)).contains("text features have width 1"));
        let swapped = shape(vec![(Modality::Image, 3), (Modality::Text, 3)], 4);
        assert!(text(&swapped).contains("canonical order"));
        assert!(check_shape("x", &two_modalities(1)).is_ok());
    }
}

//! Everything of DMRS but the tables.

use burn::tensor::{Device, Tensor, activation};
use quintet_core::{Matrix, SeedStream};
use quintet_tensor::{
    Dropout, FitError, Fusion, FusionShape, Layer, LayerNorm, Linear, Views, Weight, normal_matrix,
};
use rand::Rng;

use super::DmrsConfig;
use crate::content::ContentMap;
use crate::content_model::{named_fusion, prefixed};

/// One modality on its way to the fusion layer.
struct Branch {
    linear: Linear,
    norm: LayerNorm,
    /// `n_m`, `[1, dim]`.
    missing: Weight,
}

/// A linear layer of He's start (variance `2 / d_in`, He et al., ICCV 2015), zero bias.
fn he_linear(d_in: usize, d_out: usize, rng: &mut impl Rng, device: &Device) -> Linear {
    let start = normal_matrix(d_in, d_out, (2.0 / d_in.max(1) as f32).sqrt(), rng);
    let bias = Weight::new(&Matrix::zeros(1, d_out), device);
    Linear { weight: Weight::new(&start, device), bias }
}

/// The network.
pub(super) struct DmrsNet {
    branches: Vec<Branch>,
    pub(super) fusion: Box<dyn Fusion>,
    /// In place of an id that is dropped or was never trained, `[1, dim]`.
    pub(super) unknown: Weight,
    /// The perceptron.
    pub(super) hidden: Vec<Linear>,
    pub(super) output: Linear,
}

/// Users and items side by side, a row a pair.
pub(super) struct Pairs {
    /// `[pairs, dim]`, as are the next two.
    pub(super) p: Tensor<2>,
    pub(super) q: Tensor<2>,
    pub(super) content: Tensor<2>,
    /// `[pairs, n_modalities]`.
    pub(super) flags: Tensor<2>,
}

impl DmrsNet {
    pub(super) fn new(
        config: &DmrsConfig,
        map: &ContentMap,
        seed: SeedStream,
        device: &Device,
    ) -> Result<Self, FitError> {
        let (dim, modalities) = (config.dim, map.shape(config.dim).modalities);
        let mut rng = seed.rng("dmrs-init", 0);
        let branches: Vec<Branch> = modalities
            .iter()
            .map(|&(_, width)| Branch {
                linear: he_linear(width, dim, &mut rng, device),
                norm: LayerNorm::new(dim, device),
                missing: Weight::new(&normal_matrix(1, dim, super::SMALL, &mut rng), device),
            })
            .collect();
        let mut widths = vec![5 * dim + modalities.len()];
        widths.extend(&config.layers);
        let hidden = widths.windows(2).map(|w| he_linear(w[0], w[1], &mut rng, device)).collect();
        let last = widths[widths.len() - 1];
        let shape = FusionShape {
            modalities: modalities.iter().map(|&(modality, _)| (modality, dim)).collect(),
            d_out: dim,
        };
        let named = (config.fusion.as_str(), &config.fusion_params);
        Ok(Self {
            branches,
            fusion: named_fusion(named, &shape, seed, device)?,
            unknown: Weight::new(&normal_matrix(1, dim, super::SMALL, &mut rng), device),
            hidden,
            output: he_linear(last, 1, &mut rng, device),
        })
    }

    /// `q_i`, or the shared vector where `keep`, `[n, 1]`, is 0.
    pub(super) fn ids(&self, ids: Tensor<2>, keep: Tensor<2>) -> Tensor<2> {
        let dropped = keep.clone().neg() + 1.0;
        ids * keep + dropped.matmul(self.unknown.tensor())
    }

    /// `h_m` of every modality, as views in which nothing is absent.
    pub(super) fn branches(&self, views: &Views) -> Views {
        let one = |(m, branch): (usize, &Branch)| {
            let present = views.present(m);
            let absent = present.clone().neg() + 1.0;
            let h = branch.norm.forward(branch.linear.forward(views.masked(m)));
            activation::relu(h) * present + absent.matmul(branch.missing.tensor())
        };
        let all = self.branches.iter().enumerate().map(one).collect();
        Views::new(views.modalities.clone(), all, views.mask.ones_like())
    }

    /// `ŷ`, `[pairs, 1]`.
    pub(super) fn logits(&self, pairs: Pairs, dropout: &mut Dropout) -> Tensor<2> {
        let Pairs { p, q, content, flags } = pairs;
        let z = vec![p.clone(), q.clone(), p.clone() * q, content.clone(), p * content, flags];
        let mut x = Tensor::cat(z, 1); // [pairs, 5 dim + n_modalities]
        for layer in &self.hidden {
            x = dropout.apply(activation::relu(layer.forward(x)));
        }
        self.output.forward(x)
    }
}

impl Layer for DmrsNet {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = Vec::new();
        for (m, branch) in self.branches.iter().enumerate() {
            all.extend(prefixed(&format!("branch.{m}.linear."), &branch.linear));
            all.extend(prefixed(&format!("branch.{m}.norm."), &branch.norm));
            all.push((format!("branch.{m}.missing"), &branch.missing));
        }
        all.extend(prefixed("fusion.", &*self.fusion));
        all.push(("unknown".into(), &self.unknown));
        for (l, layer) in self.hidden.iter().enumerate() {
            all.extend(prefixed(&format!("hidden.{l}."), layer));
        }
        all.extend(prefixed("output.", &self.output));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = Vec::new();
        for branch in &mut self.branches {
            all.extend(branch.linear.weights_mut());
            all.extend(branch.norm.weights_mut());
            all.push(&mut branch.missing);
        }
        all.extend(self.fusion.weights_mut());
        all.push(&mut self.unknown);
        all.extend(self.hidden.iter_mut().flat_map(Layer::weights_mut));
        all.extend(self.output.weights_mut());
        all
    }
}

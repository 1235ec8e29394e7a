//! A joint space of two or more modalities, by trained projections.
//!
//! `z_m = f_m(x_m) / ‖f_m(x_m)‖`, `f_m` linear or with one hidden layer, on standardised features.
//! Loss of a batch: for every two modalities, InfoNCE over the items that have both, with a
//! learned temperature, plus (by objective) `weight · CORAL` or `weight · MMD` between the two sets
//! of vectors; the adversarial objective adds a classifier of modalities, `dim → 128 → 64 → M`,
//! whose gradient reaches the projections times `-λ(p)`. Matching distributions alone could end in
//! a permutation, so the loss over pairs always stays.
//! Papers: see the losses ([`info_nce`], [`coral`], [`mmd`], [`reverse_gradient`]); Wang et al.,
//! "Adversarial Cross-Modal Retrieval", ACM MM 2017.
//! Difference: the gradient of the classifier is not clipped.
//! Parameters: `Σ (d_m + 1) dim`, or `Σ (d_m + 1) h + (h + 1) dim`, and 1; the classifier is thrown
//! away. Cost: `O(B² dim)` and the projections a step and pair of modalities.

use burn::prelude::*;
use burn::tensor::activation::log_softmax;
use quintet_core::{FeatureSet, Matrix, Modality, ModalityFeatures, SeedStream};
use quintet_tensor::{Adam, AdamConfig, Layer, Weight, index_tensor};
use serde::{Deserialize, Serialize};

use super::align_report::{AlignmentReport, retrieval, variance};
use super::error::check;
use super::trained::{Activation, Mlp, Scale, batches, host, training, value};
use super::{MappingError, coral, info_nce, mmd, reversal_schedule, reverse_gradient};

const METHOD: &str = "alignment";

/// The largest scale of the logits, as in CLIP.
const MAX_SCALE: f32 = 100.0;

/// Rows that are projected at once.
const CHUNK: usize = 4096;

/// What is added to the loss over pairs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Objective {
    /// Nothing.
    #[default]
    InfoNce,
    /// The distance of the covariances, times `weight`.
    Coral {
        /// Weight against the loss over pairs.
        weight: f32,
    },
    /// The maximum mean discrepancy, times `weight`.
    Mmd {
        /// Weight against the loss over pairs.
        weight: f32,
        /// The σ of the kernels; distances of unit vectors lie in `[0, 2]`.
        bandwidths: Vec<f32>,
    },
    /// A classifier of modalities behind a reversed gradient.
    Adversarial {
        /// λ at the end of its schedule, .1 to 1.
        lambda: f32,
        /// Step size of the classifier.
        lr: f32,
    },
}

/// Parameters of the joint space.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Alignment {
    /// What is added to the loss over pairs.
    pub objective: Objective,
    /// Width of the joint space.
    pub dim: usize,
    /// Width of a hidden layer; 0 for linear projections.
    pub hidden: usize,
    /// Passes over the training items.
    pub epochs: usize,
    /// Step size.
    pub lr: f32,
    /// Items a step.
    pub batch_size: usize,
    /// The temperature at the start.
    pub temperature: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
}

impl Default for Alignment {
    fn default() -> Self {
        Self {
            objective: Objective::InfoNce,
            dim: 64,
            hidden: 0,
            epochs: 50,
            lr: 1e-3,
            batch_size: 256,
            temperature: 0.07,
            weight_decay: 1e-4,
        }
    }
}

/// The projections and the scale of the logits.
struct Encoders {
    nets: Vec<Mlp>,
    log_scale: Weight,
}

impl Layer for Encoders {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = vec![("log_scale".to_owned(), &self.log_scale)];
        for (m, net) in self.nets.iter().enumerate() {
            all.extend(net.weights().into_iter().map(|(n, w)| (format!("{m}.{n}"), w)));
        }
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = vec![&mut self.log_scale];
        all.extend(self.nets.iter_mut().flat_map(Layer::weights_mut));
        all
    }
}

/// The vectors of one modality in a batch and the items that they belong to.
struct Part {
    m: usize,
    z: Tensor<2>,
    items: Vec<u32>,
}

/// A fitted joint space.
pub struct Aligned {
    modalities: Vec<Modality>,
    scales: Vec<Scale>,
    encoders: Encoders,
    dim: usize,
    device: Device,
}

impl Alignment {
    /// Trains on the items `train` and reports on `held_out`.
    ///
    /// # Errors
    /// Fewer than two modalities, fewer than two training items that have two, numbers that are
    /// not finite, parameters out of range, or a loss that is not finite.
    pub fn fit(
        &self,
        features: &FeatureSet,
        train: &[u32],
        held_out: &[u32],
        seed: SeedStream,
        device: &Device,
    ) -> Result<(Aligned, AlignmentReport), MappingError> {
        self.validate()?;
        let n = features.len();
        check(n >= 2, METHOD, "modalities", "at least 2", n)?;
        let device = training(device);
        let mut scales = Vec::with_capacity(n);
        for f in features.iter() {
            let items = present(f, train)?;
            scales.push(Scale::fit(METHOD, f.modality.as_str(), &f.matrix, &items)?);
        }
        let several = |&&i: &&u32| features.iter().filter(|f| f.present[i as usize]).count() >= 2;
        let pairs = train.iter().filter(several).count();
        if pairs < 2 {
            let what = "two modalities at once".to_owned();
            return Err(MappingError::TooFew { method: METHOD, what, needed: 2, found: pairs });
        }
        let encoders = self.encoders(features, seed, &device);
        let modalities = features.iter().map(|f| f.modality).collect();
        let mut aligned = Aligned { modalities, scales, encoders, dim: self.dim, device };
        let widths = [self.dim, 128, 64, n];
        let mut rng = seed.rng("alignment/classifier", 0);
        let mut judge = Mlp::new(&widths, Activation::LeakyRelu, &mut rng, &aligned.device);
        let losses = self.train(&mut aligned, &mut judge, (features, train), seed)?;
        let mut report = aligned.report(features, held_out)?;
        report.losses = losses;
        if matches!(self.objective, Objective::Adversarial { .. }) {
            report.classifier_accuracy = aligned.accuracy(&judge, features, held_out)?;
        }
        Ok((aligned, report))
    }

    fn validate(&self) -> Result<(), MappingError> {
        check(self.dim > 0, METHOD, "dim", "at least 1", self.dim)?;
        check(self.epochs > 0, METHOD, "epochs", "at least 1", self.epochs)?;
        check(self.batch_size > 1, METHOD, "batch_size", "at least 2", self.batch_size)?;
        let above = |name, v: f32| check(v > 0.0 && v.is_finite(), METHOD, name, "above 0", v);
        above("lr", self.lr)?;
        above("temperature", self.temperature)?;
        let decay = self.weight_decay;
        let good = decay >= 0.0 && decay.is_finite();
        check(good, METHOD, "weight_decay", "finite and not negative", decay)?;
        match &self.objective {
            Objective::InfoNce => Ok(()),
            Objective::Coral { weight } => above("weight", *weight),
            Objective::Mmd { weight, bandwidths } => {
                above("weight", *weight)?;
                check(!bandwidths.is_empty(), METHOD, "bandwidths", "at least one", "none")?;
                bandwidths.iter().try_for_each(|&b| above("bandwidths", b))
            }
            Objective::Adversarial { lambda, lr } => {
                above("lambda", *lambda)?;
                above("lr", *lr)
            }
        }
    }

    fn encoders(&self, features: &FeatureSet, seed: SeedStream, device: &Device) -> Encoders {
        let nets = features.iter().map(|f| {
            let mut widths = vec![f.dim(), self.dim];
            if self.hidden > 0 {
                widths.insert(1, self.hidden);
            }
            // The start of one modality does not depend on which others there are.
            let mut rng = seed.rng("alignment/init", f.modality as u64);
            Mlp::new(&widths, Activation::Relu, &mut rng, device)
        });
        let mut start = Matrix::zeros(1, 1);
        start.as_mut_slice().fill((1.0 / self.temperature).ln());
        Encoders { nets: nets.collect(), log_scale: Weight::new(&start, device) }
    }

    /// The mean loss of each epoch.
    fn train(
        &self,
        aligned: &mut Aligned,
        judge: &mut Mlp,
        (features, train): (&FeatureSet, &[u32]),
        seed: SeedStream,
    ) -> Result<Vec<f64>, MappingError> {
        let decay = AdamConfig { weight_decay: self.weight_decay, ..AdamConfig::new(self.lr) };
        let mut adam = Adam::new(decay);
        let (lambda, lr) = match self.objective {
            Objective::Adversarial { lambda, lr } => (lambda, lr),
            _ => (0.0, self.lr),
        };
        let mut adam_judge = Adam::new(AdamConfig { beta1: 0.5, ..AdamConfig::new(lr) });
        let mut losses = Vec::with_capacity(self.epochs);
        for epoch in 0..self.epochs {
            let (mut sum, mut steps) = (0.0, 0);
            let lambda = lambda * reversal_schedule(epoch as f32 / self.epochs as f32);
            let batches = batches(train, self.batch_size, seed, epoch);
            for (at, items) in batches.iter().enumerate() {
                let parts = aligned.parts(features, items)?;
                let Some(mut loss) = self.pair_loss(&parts, &aligned.encoders) else { continue };
                if matches!(self.objective, Objective::Adversarial { .. }) {
                    loss = loss + classifier_loss(judge, &parts, lambda);
                }
                sum += value(METHOD, &loss, (epoch, at))?;
                steps += 1;
                let mut grads = loss.backward();
                adam.step(&mut aligned.encoders, &mut grads);
                adam_judge.step(judge, &mut grads);
            }
            losses.push(sum / f64::from(steps.max(1)));
        }
        Ok(losses)
    }

    /// The loss over pairs of modalities; none when no two items of the batch have two.
    fn pair_loss(&self, parts: &[Part], encoders: &Encoders) -> Option<Tensor<1>> {
        let scale = encoders.log_scale.tensor().clamp_max(MAX_SCALE.ln()).exp();
        let mut total: Option<Tensor<1>> = None;
        for (i, a) in parts.iter().enumerate() {
            for b in &parts[i + 1..] {
                let (rows_a, rows_b) = common(&a.items, &b.items);
                if rows_a.len() < 2 {
                    continue;
                }
                let pick = |p: &Part, rows: &[u32]| {
                    p.z.clone().select(0, index_tensor(rows, &p.z.device()))
                };
                let (left, right) = (pick(a, &rows_a), pick(b, &rows_b));
                let mut loss = info_nce(left, right, scale.clone());
                loss = match &self.objective {
                    Objective::Coral { weight } => loss + coral(a.z.clone(), b.z.clone()) * *weight,
                    Objective::Mmd { weight, bandwidths } => {
                        loss + mmd(a.z.clone(), b.z.clone(), bandwidths) * *weight
                    }
                    Objective::InfoNce | Objective::Adversarial { .. } => loss,
                };
                total = Some(match total {
                    None => loss,
                    Some(t) => t + loss,
                });
            }
        }
        total
    }
}

/// Cross-entropy of the classifier over all vectors of the batch, gradient reversed.
fn classifier_loss(judge: &Mlp, parts: &[Part], lambda: f32) -> Tensor<1> {
    let z = Tensor::cat(parts.iter().map(|p| p.z.clone()).collect(), 0);
    let logits = log_softmax(judge.forward(reverse_gradient(z, lambda)), 1);
    let labels = labels(parts);
    let n = labels.len();
    let targets = index_tensor(&labels, &logits.device()).reshape([n, 1]);
    logits.gather(1, targets).mean().neg()
}

fn labels(parts: &[Part]) -> Vec<u32> {
    parts.iter().flat_map(|p| p.items.iter().map(|_| p.m as u32)).collect()
}

/// Positions in both lists of the items that both have; each list has an item once.
fn common(a: &[u32], b: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let place: std::collections::HashMap<u32, usize> =
        b.iter().enumerate().map(|(at, &item)| (item, at)).collect();
    let both =
        a.iter().enumerate().filter_map(|(i, item)| Some((i as u32, *place.get(item)? as u32)));
    both.unzip()
}

fn present(f: &ModalityFeatures, items: &[u32]) -> Result<Vec<u32>, MappingError> {
    let len = f.present.len();
    match items.iter().find(|&&i| i as usize >= len) {
        Some(&i) => {
            let index = i as usize;
            Err(quintet_core::CoreError::OutOfRange { what: "item", index, len }.into())
        }
        None => Ok(items.iter().copied().filter(|&i| f.present[i as usize]).collect()),
    }
}

impl Aligned {
    /// Width of the joint space.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Every modality in the joint space: rows `[n_items, dim]` of length 1, absent ones absent.
    /// Modalities that were not there in the fit are left out.
    ///
    /// # Errors
    /// Another width than in the fit, or the device failed.
    pub fn project(&self, features: &FeatureSet) -> Result<FeatureSet, MappingError> {
        let mut out = FeatureSet::new(features.n_items());
        for (m, &modality) in self.modalities.iter().enumerate() {
            let Some(f) = features.get(modality) else { continue };
            self.check_width(m, f)?;
            let all: Vec<u32> = (0..features.n_items() as u32).collect();
            let items = present(f, &all)?;
            let mut matrix = Matrix::zeros(features.n_items(), self.dim);
            for chunk in items.chunks(CHUNK) {
                let rows = host(self.encode(m, f, chunk).inner())?;
                for (row, &item) in rows.chunks_exact(self.dim).zip(chunk) {
                    matrix.row_mut(item as usize).copy_from_slice(row);
                }
            }
            out.push(ModalityFeatures::new(modality, matrix, f.present.clone())?)?;
        }
        Ok(out)
    }

    fn check_width(&self, m: usize, f: &ModalityFeatures) -> Result<(), MappingError> {
        let (expected, found) = (self.scales[m].mean.len(), f.dim());
        if expected == found {
            return Ok(());
        }
        let what = format!("width of {} features", f.modality);
        Err(quintet_core::CoreError::Shape { what, expected, found }.into())
    }

    /// Unit vectors of items that have the modality, `[items.len(), dim]`.
    fn encode(&self, m: usize, f: &ModalityFeatures, items: &[u32]) -> Tensor<2> {
        let x = self.scales[m].rows(&f.matrix, items, &self.device);
        let z = self.encoders.nets[m].forward(x);
        z.clone() / (z.powi_scalar(2).sum_dim(1) + 1e-12).sqrt()
    }

    /// The modalities of some items; those that none of them has are left out.
    fn parts(&self, features: &FeatureSet, items: &[u32]) -> Result<Vec<Part>, MappingError> {
        let mut parts = Vec::with_capacity(features.len());
        for (m, f) in features.iter().enumerate() {
            let items = present(f, items)?;
            if !items.is_empty() {
                parts.push(Part { m, z: self.encode(m, f, &items), items });
            }
        }
        Ok(parts)
    }

    fn report(
        &self,
        features: &FeatureSet,
        held_out: &[u32],
    ) -> Result<AlignmentReport, MappingError> {
        let projected = self.project(features)?;
        let mut report = AlignmentReport::default();
        for f in projected.iter() {
            report.variance.push((f.modality, variance(f, &present(f, held_out)?)));
            for g in projected.iter().filter(|g| g.modality != f.modality) {
                let pairs = present(g, &present(f, held_out)?)?;
                report.retrieval.push(retrieval(f, g, &pairs));
            }
        }
        Ok(report)
    }

    /// The share of held-out vectors of which the classifier knows the modality.
    fn accuracy(
        &self,
        judge: &Mlp,
        features: &FeatureSet,
        held_out: &[u32],
    ) -> Result<Option<f64>, MappingError> {
        let (mut right, mut total) = (0usize, 0usize);
        for items in held_out.chunks(CHUNK) {
            let parts = self.parts(features, items)?;
            for part in &parts {
                let scores = host(judge.forward(part.z.clone()).inner())?;
                for row in scores.chunks_exact(self.modalities.len()) {
                    let own = row[part.m];
                    right += usize::from((0..row.len()).all(|o| o == part.m || row[o] < own));
                    total += 1;
                }
            }
        }
        Ok((total > 0).then(|| right as f64 / total as f64))
    }
}

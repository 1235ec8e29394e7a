//! Training what others have trained: all of it, its last blocks, or small matrices beside it.
//!
//! A network is built from its arrays by name, so what learns is decided here, by name, and no
//! architecture knows of it: before every step the network is built anew from arrays of which
//! some are leaves of the graph. What comes out is saved under the same names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use burn::prelude::*;
use quintet_core::{Matrix, SeedStream};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde::{Deserialize, Serialize};

use super::params::{Init, Loader, Params, draw};
use crate::{Layer, Weight, WeightError, tensor_to_matrix};

/// Which arrays of a network learn. Means and variances of batch norms never do.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Tuning {
    /// None.
    Frozen,
    /// Those of so many blocks at the end, and those that come after the blocks.
    LastBlocks(usize),
    /// All.
    All,
    /// None, but to every matrix of a block a product of two small ones is added (LoRA, Hu et
    /// al., 2022): `W + α/r · B A`, `A` drawn, `B` 0 at first.
    Lora {
        /// The inner width of the product.
        rank: usize,
        /// α.
        alpha: f32,
    },
}

/// One array.
#[derive(Debug, Clone)]
struct Held {
    name: String,
    shape: Vec<usize>,
    value: Value,
}

#[derive(Debug, Clone)]
enum Value {
    /// `[n]`.
    Fixed(Tensor<1>),
    /// `[1, n]`.
    Learns(Weight),
    /// With a product of two small matrices beside it.
    LowRank(Box<LowRank>),
}

#[derive(Debug, Clone)]
struct LowRank {
    fixed: Tensor<1>,
    a: Weight,
    b: Weight,
    scale: f32,
}

impl Value {
    /// The numbers in order, as part of the graph.
    fn flat(&self) -> Tensor<1> {
        match self {
            Self::Fixed(fixed) => fixed.clone(),
            Self::Learns(weight) => weight.tensor().flatten(0, 1),
            Self::LowRank(part) => {
                let product = part.b.tensor().matmul(part.a.tensor()) * part.scale;
                part.fixed.clone() + product.flatten(0, 1)
            }
        }
    }
}

/// The arrays that a [`Loader`] gives out.
#[derive(Debug, Clone, Default)]
pub(super) struct Arrays(BTreeMap<String, Held>);

impl Arrays {
    /// The shape of an array, if it is there.
    pub(super) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.0.get(name).map(|held| held.shape.as_slice())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// None where there is no such array of this shape.
    pub(super) fn array<const D: usize>(&self, name: &str, shape: [usize; D]) -> Option<Tensor<D>> {
        let held = self.0.get(name).filter(|held| held.shape == shape)?;
        Some(held.value.flat().reshape(shape))
    }
}

/// The arrays of a network, some of which learn. [`crate::Adam`] moves them as any [`Layer`].
#[derive(Debug, Clone)]
pub struct Tuned {
    /// In the order in which the architecture asks for them.
    arrays: Vec<Held>,
    device: Device,
}

impl Tuned {
    /// Takes over all arrays that `build` asks for. `loader` has them, on a device with autodiff;
    /// `seed` is for what LoRA draws.
    ///
    /// # Errors
    /// An array cannot be read, or the device failed. What is missing, misshapen or unexpected is
    /// told by [`Loader::finish`], which is called with `architecture` and `ignored`.
    pub fn new<N>(
        loader: Loader,
        build: impl FnOnce(&Params) -> N,
        tuning: Tuning,
        seed: SeedStream,
        (architecture, ignored): (&str, &[&str]),
    ) -> Result<Self, WeightError> {
        build(&loader.root());
        let asked = loader.asked();
        let plan = Plan::new(&asked, tuning);
        let device = loader.device().clone();
        let mut arrays = Vec::new();
        let failed = loader.root().failed();
        for (name, shape, init) in asked.iter().filter(|_| !failed) {
            let Some(numbers) = loader.numbers(name, shape, *init) else { continue };
            let value = plan.value(name, shape, numbers, seed, &device);
            arrays.push(Held { name: name.clone(), shape: shape.clone(), value });
        }
        loader.finish(architecture, ignored)?;
        Ok(Self { arrays, device })
    }

    /// The arrays as they are now, to build the network from.
    pub fn loader(&self) -> Loader {
        let arrays = self.arrays.iter().map(|held| (held.name.clone(), held.clone()));
        Loader::held(Arrays(arrays.collect()), &self.device)
    }

    /// The arrays as they are now without a graph, on the device without autodiff: to build a
    /// network from that learns nothing and may use fused forms.
    pub fn plain_loader(&self) -> Loader {
        let plain = |held: &Held| {
            let value = Value::Fixed(held.value.flat().inner());
            (held.name.clone(), Held { value, ..held.clone() })
        };
        let arrays = self.arrays.iter().map(plain).collect();
        Loader::held(Arrays(arrays), &self.device.clone().inner())
    }

    /// Where the arrays are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Writes the arrays as safetensors of 32 bits under their names, what LoRA adds added in.
    ///
    /// # Errors
    /// The device failed, or the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), WeightError> {
        let failed = |reason: String| WeightError::Write { path: path.to_owned(), reason };
        let mut bytes = Vec::new();
        for held in &self.arrays {
            let flat = held.value.flat().inner().unsqueeze::<2>();
            let numbers = tensor_to_matrix(flat).map_err(|e| failed(e.to_string()))?;
            let le: Vec<u8> = numbers.as_slice().iter().flat_map(|x| x.to_le_bytes()).collect();
            bytes.push((held.name.as_str(), held.shape.clone(), le));
        }
        let mut views = Vec::new();
        for (name, shape, bytes) in &bytes {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
            views.push((name, view.map_err(|e| failed(e.to_string()))?));
        }
        safetensors::serialize_to_file(views, None, path).map_err(|e| failed(e.to_string()))
    }
}

impl Layer for Tuned {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut weights = Vec::new();
        for Held { name, value, .. } in &self.arrays {
            match value {
                Value::Fixed(_) => {}
                Value::Learns(weight) => weights.push((name.clone(), weight)),
                Value::LowRank(part) => {
                    weights.push((format!("{name}.lora_a"), &part.a));
                    weights.push((format!("{name}.lora_b"), &part.b));
                }
            }
        }
        weights
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut weights = Vec::new();
        for held in &mut self.arrays {
            match &mut held.value {
                Value::Fixed(_) => {}
                Value::Learns(weight) => weights.push(weight),
                Value::LowRank(part) => weights.extend([&mut part.a, &mut part.b]),
            }
        }
        weights
    }
}

/// What an architecture asked for: name, shape, and how it starts.
pub(super) type Asked = (String, Vec<usize>, Init);

/// What learns.
struct Plan<'a> {
    tuning: Tuning,
    /// Arrays of the last blocks and behind them.
    open: BTreeSet<&'a str>,
    /// Arrays of blocks.
    inside: BTreeSet<&'a str>,
}

impl<'a> Plan<'a> {
    fn new(asked: &'a [Asked], tuning: Tuning) -> Self {
        let mut blocks: Vec<&str> = Vec::new();
        for block in asked.iter().filter_map(|(name, ..)| block_of(name)) {
            if !blocks.contains(&block) {
                blocks.push(block);
            }
        }
        let open_blocks = match tuning {
            Tuning::LastBlocks(n) => &blocks[blocks.len().saturating_sub(n)..],
            _ => &[],
        };
        let last = asked.iter().rposition(|(name, ..)| block_of(name).is_some());
        let (mut open, mut inside) = (BTreeSet::new(), BTreeSet::new());
        for (at, (name, ..)) in asked.iter().enumerate() {
            match block_of(name) {
                Some(block) => {
                    inside.insert(name.as_str());
                    if open_blocks.contains(&block) {
                        open.insert(name.as_str());
                    }
                }
                None if last.is_none_or(|last| at > last) => {
                    open.insert(name.as_str());
                }
                None => {}
            }
        }
        Self { tuning, open, inside }
    }

    fn value(
        &self,
        name: &str,
        shape: &[usize],
        numbers: Vec<f32>,
        seed: SeedStream,
        device: &Device,
    ) -> Value {
        let n = numbers.len();
        let statistics = name.ends_with("running_mean") || name.ends_with("running_var");
        let learns = match self.tuning {
            Tuning::All => !statistics,
            Tuning::LastBlocks(_) => !statistics && self.open.contains(name),
            Tuning::Frozen | Tuning::Lora { .. } => false,
        };
        let fixed = |numbers| Tensor::from_data(TensorData::new(numbers, [n]), device);
        match (self.tuning, shape) {
            _ if learns => Value::Learns(weight(1, n, numbers, device)),
            (Tuning::Lora { rank, alpha }, &[rows, columns])
                if self.inside.contains(name) && rank > 0 && rank < rows.min(columns) =>
            {
                // As the authors' code: uniform within 1/√columns.
                let bound = Init::Uniform(1.0 / (columns as f32).sqrt());
                let a = draw(seed, &format!("{name}.lora_a"), rank * columns, bound);
                Value::LowRank(Box::new(LowRank {
                    fixed: fixed(numbers),
                    a: weight(rank, columns, a, device),
                    b: weight(rows, rank, vec![0.0; rows * rank], device),
                    scale: alpha / rank as f32,
                }))
            }
            _ => Value::Fixed(fixed(numbers)),
        }
    }
}

fn weight(rows: usize, columns: usize, numbers: Vec<f32>, device: &Device) -> Weight {
    let mut weight = Weight::new(&Matrix::zeros(rows, columns), device);
    weight.set(Tensor::from_data(TensorData::new(numbers, [rows, columns]), device));
    weight
}

/// The block that an array belongs to: its name up to the first part that ends in a number of its
/// own, and the number of a layer of a stage behind that (`encoder.layer.11`, `layer4.2`,
/// `encoder.stages.3.layers.0`).
fn block_of(name: &str) -> Option<&str> {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let counts = |part: &str| number(part.rsplit('_').next().unwrap_or(part));
    let mut end = 0;
    let mut parts = name.split('.').peekable();
    let mut found = false;
    while let Some(part) = parts.next() {
        end += part.len();
        if found && number(part) {
            return Some(&name[..end]);
        }
        if !found && counts(part) {
            found = true;
            if !parts.peek().is_some_and(|next| number(next) || *next == "layers") {
                return Some(&name[..end]);
            }
        }
        end += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Activation, Linear};
    use crate::{Adam, AdamConfig};

    #[test]
    fn blocks_are_found_in_the_names_of_every_architecture() {
        for (name, block) in [
            ("encoder.layer.11.attention.self.query.weight", Some("encoder.layer.11")),
            ("h.3.attn.c_attn.weight", Some("h.3")),
            ("encoder.layers.encoder_layer_7.ln_1.weight", Some("encoder.layers.encoder_layer_7")),
            ("layer4.2.downsample.0.weight", Some("layer4.2")),
            ("features.28.weight", Some("features.28")),
            ("features.5.1.block.0.weight", Some("features.5.1")),
            (
                "encoder.stages.3.layers.0.layer.2.convolution.weight",
                Some("encoder.stages.3.layers.0"),
            ),
            ("encoder.stages.3.downsampling_layer.1.weight", Some("encoder.stages.3")),
            ("embeddings.word_embeddings.weight", None),
            ("conv1.weight", None),
        ] {
            assert_eq!(block_of(name), block, "{name}");
        }
    }

    /// Three layers of 4, the last one outside of the blocks.
    struct Stack(Vec<Linear>);

    fn stack(params: &Params) -> Stack {
        let block = |n: usize| Linear::new(&params.at("layers").at(n), 4, 4);
        Stack(vec![block(0), block(1), Linear::new(&params.at("out"), 4, 1)])
    }

    fn tuned(tuning: Tuning) -> Tuned {
        let device = Device::flex().autodiff();
        let loader = Loader::random(SeedStream::new(3), &device);
        Tuned::new(loader, stack, tuning, SeedStream::new(4), ("stack", &[])).unwrap()
    }

    fn loss(tuned: &Tuned) -> Tensor<1> {
        let network = stack(&tuned.loader().root());
        let x =
            Tensor::<2>::from_floats([[1.0, -2.0, 0.5, 3.0], [0.0, 1.0, 1.0, -1.0]], &tuned.device);
        let y = network.0.iter().fold(x, |x, layer| layer.forward(x, Activation::Tanh));
        let want = Tensor::<2>::from_floats([[0.5], [-0.5]], &tuned.device);
        let off = y - want;
        (off.clone() * off).mean()
    }

    #[test]
    fn what_learns_is_what_was_asked_for_and_it_does() {
        let lora = Tuning::Lora { rank: 2, alpha: 4.0 };
        // The last layer, which is drawn small, does not learn beside LoRA.
        let cases = [
            (Tuning::All, 2 * 20 + 5, 0.1),
            (Tuning::LastBlocks(1), 20 + 5, 0.1),
            (lora, 2 * (8 + 8), 0.8),
            (Tuning::Frozen, 0, 1.0),
        ];
        for (tuning, numbers, share) in cases {
            let mut tuned = tuned(tuning);
            assert_eq!(tuned.n_parameters(), numbers, "{tuning:?}");
            let before = loss(&tuned).inner().into_scalar::<f32>();
            if numbers == 0 {
                continue;
            }
            let mut adam = Adam::new(AdamConfig::new(0.05));
            for _ in 0..200 {
                let mut grads = loss(&tuned).backward();
                adam.step(&mut tuned, &mut grads);
            }
            let after = loss(&tuned).inner().into_scalar::<f32>();
            assert!(after < share * before, "{tuning:?}: {before} to {after}");
        }
    }

    #[test]
    fn saved_arrays_make_the_same_network_and_frozen_ones_stay() {
        let lora = Tuning::Lora { rank: 1, alpha: 1.0 };
        let mut tuned = tuned(lora);
        let mut adam = Adam::new(AdamConfig::new(0.1));
        for _ in 0..5 {
            let mut grads = loss(&tuned).backward();
            adam.step(&mut tuned, &mut grads);
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        tuned.save(&path).unwrap();
        let device = Device::flex().autodiff();
        let open = || Loader::open(&path, &device).unwrap();
        let seed = SeedStream::new(9);
        let frozen = Tuning::Frozen;
        let again = Tuned::new(open(), stack, frozen, seed, ("stack", &[])).unwrap();
        let [a, b] = [&tuned, &again].map(|t| loss(t).inner().into_scalar::<f32>());
        assert!((a - b).abs() < 1e-6, "{a} and {b}");
        let wrong = |params: &Params| Linear::new(&params.at("other"), 2, 2);
        let refusal = Tuned::new(open(), wrong, frozen, seed, ("wrong", &[])).unwrap_err();
        let said = refusal.to_string();
        assert!(said.contains("missing other.weight") && said.contains("layers.0.bias"), "{said}");
    }
}

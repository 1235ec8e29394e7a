//! A small convolutional network to train from nothing, on the task itself.
//!
//! Four convolutions of 3 × 3 with a rectifier, each halving the maps and doubling the channels
//! (LeCun et al., "Gradient-based learning applied to document recognition", 1998, with what has
//! become usual since), their mean over the image, and a linear layer.
//! Arrays: `convolutions.N.weight`, `convolutions.N.bias`, `out.weight`, `out.bias`.

use burn::prelude::*;
use quintet_tensor::nn::{Activation, Conv2d, Linear, Maps, Params, Window};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::network::{Architecture, Built, Network, Request};
use crate::preprocess::{Filter, Preprocessing, Resize};

/// Sizes of the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CnnConfig {
    /// Channels of each convolution.
    pub channels: Vec<usize>,
    /// Width of the vectors.
    pub dim: usize,
}

impl Default for CnnConfig {
    fn default() -> Self {
        Self { channels: vec![32, 64, 128, 256], dim: 64 }
    }
}

impl CnnConfig {
    /// The sizes of a network from nothing.
    fn of_json(json: &Value) -> Result<Self, String> {
        let config = Self::deserialize(json).map_err(|e| format!("sizes: {e}"))?;
        let all = || config.channels.iter().chain([&config.dim]);
        match (1..=8).contains(&config.channels.len()) && all().all(|n| (1..=8192).contains(n)) {
            true => Ok(config),
            false => {
                Err(format!("sizes: expected 1 to 8 channels and dim of 1 to 8192, found {json}"))
            }
        }
    }

    /// The sizes of a file, by the shapes of its arrays.
    fn of_arrays(params: &Params) -> Result<Self, String> {
        let convolutions = params.at("convolutions");
        let width = |n: usize| convolutions.at(n).shape("weight").map(|[c_out, _, _, _]| c_out);
        let channels: Vec<usize> = (0..64).map_while(width).collect();
        match params.shape("out.weight") {
            Some([dim, _]) if !channels.is_empty() => Ok(Self { channels, dim }),
            _ => Err("expected arrays convolutions.N.weight and out.weight, found none".to_owned()),
        }
    }

    /// The network with its arrays, or new ones.
    pub fn init(&self, params: &Params) -> Cnn {
        let halving = Window { stride: 2, ..Window::same(3) };
        let mut c_in = 3;
        let mut convolutions = Vec::new();
        for (number, &c_out) in self.channels.iter().enumerate() {
            let at = params.at("convolutions").at(number);
            convolutions.push(Conv2d::new(&at, [c_in, c_out], halving, true));
            c_in = c_out;
        }
        Cnn { convolutions, out: Linear::new(&params.at("out"), c_in, self.dim) }
    }
}

/// The network.
#[derive(Debug, Clone)]
pub struct Cnn {
    convolutions: Vec<Conv2d>,
    out: Linear,
}

impl Network for Cnn {
    fn dim(&self) -> usize {
        self.out.weight().dims()[0]
    }

    fn forward(&self, images: Maps) -> Tensor<2> {
        let conv = |maps: Maps, conv: &Conv2d| conv.forward(&maps, Activation::Relu);
        let maps = self.convolutions.iter().fold(images, conv);
        self.out.forward(maps.mean(), Activation::None)
    }
}

fn open(request: &Request) -> Result<Built, String> {
    let usual = Preprocessing {
        resize: Resize::Shortest(64),
        filter: Filter::Bilinear,
        crop: 64,
        mean: [0.5; 3],
        std: [0.5; 3],
    };
    let config = match request.sizes {
        Some(sizes) => CnnConfig::of_json(sizes)?,
        None => CnnConfig::of_arrays(&request.params)?,
    };
    Ok(Built {
        network: Box::new(config.init(&request.params)),
        preprocessing: request.preprocessing(usual)?,
        ignored: &[],
    })
}

/// Any size.
pub(crate) static ARCHITECTURES: [Architecture; 1] = [Architecture {
    name: "cnn",
    summary: "a small CNN that was trained on the task",
    files: "model.safetensors of a training with this network",
    outputs: &["out"],
    open,
}];

//! A small convolutional network to train from nothing, on the task itself.
//!
//! Four convolutions of 3 × 3 with a rectifier, each halving the maps and doubling the channels
//! (LeCun et al., "Gradient-based learning applied to document recognition", 1998, with what has
//! become usual since), their mean over the image, and a linear layer.
//! Arrays: `convolutions.N.weight`, `convolutions.N.bias`, `out.weight`, `out.bias`.

use burn::prelude::*;
use quintet_tensor::nn::{Activation, Conv2d, Linear, Maps, Params, Window};

use crate::network::{Architecture, Built, Network, Request};
use crate::preprocess::{Filter, Preprocessing, Resize};

/// Sizes of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    Ok(Built {
        network: Box::new(CnnConfig::of_arrays(&request.params)?.init(&request.params)),
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

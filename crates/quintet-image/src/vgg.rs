//! VGG-16.
//!
//! Paper: Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
//! Recognition", ICLR 2015 (configuration D); with batch norm as in torchvision.
//! Arrays: torchvision's names.
//! Vector: the second hidden layer of the classifier (`fc7`, 4096 numbers, what much of the
//! literature on visual recommendation uses), the first one (`fc6`), or the mean of the last
//! maps (`pool`, 512 numbers, for which the 120 million numbers of the classifier are not read).

use burn::prelude::*;
use burn::tensor::module;
use quintet_tensor::nn::{Activation, BatchNorm, Conv2d, Linear, Maps, Params, Window};

use crate::network::{Architecture, Built, Network, Request};
use crate::preprocess::Preprocessing;

/// Sizes of a VGG; the published one is [`VggConfig::vgg16`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VggConfig {
    /// Channels of the convolutions between two poolings.
    pub stages: Vec<Vec<usize>>,
    /// Width of the hidden layers of the classifier.
    pub hidden: usize,
    /// Whether every convolution has a batch norm.
    pub batch_norm: bool,
    /// How much of the classifier belongs to the network.
    pub output: VggOutput,
}

/// Where the vector is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VggOutput {
    /// The second hidden layer of the classifier.
    Fc7,
    /// The first one.
    Fc6,
    /// The mean of the last maps.
    Pool,
}

/// Side of the maps that the classifier reads.
const GRID: usize = 7;

impl VggConfig {
    /// 138 million parameters.
    pub fn vgg16(batch_norm: bool, output: VggOutput) -> Self {
        let stages =
            [&[64, 64][..], &[128, 128], &[256, 256, 256], &[512, 512, 512], &[512, 512, 512]];
        let stages = stages.map(<[usize]>::to_vec).into();
        Self { stages, hidden: 4096, batch_norm, output }
    }

    /// The network with its arrays.
    pub fn init(&self, params: &Params) -> Vgg {
        let features = params.at("features");
        let (mut number, mut c_in) = (0, 3);
        let mut stages = Vec::new();
        for widths in &self.stages {
            let mut stage = Vec::new();
            for &c_out in widths {
                let at = features.at(number);
                let mut conv = Conv2d::new(&at, [c_in, c_out], Window::same(3), true);
                if self.batch_norm {
                    let norm = BatchNorm::new(&features.at(number + 1), c_out, 1e-5);
                    conv = conv.folded(norm, &at);
                }
                // Activations and poolings have numbers, too.
                number += if self.batch_norm { 3 } else { 2 };
                c_in = c_out;
                stage.push(conv);
            }
            number += 1;
            stages.push(stage);
        }
        let hidden = |number: usize, d_in| {
            Linear::new(&params.at("classifier").at(number), d_in, self.hidden)
        };
        let classifier = match self.output {
            VggOutput::Pool => Vec::new(),
            VggOutput::Fc6 => vec![hidden(0, c_in * GRID * GRID)],
            VggOutput::Fc7 => vec![hidden(0, c_in * GRID * GRID), hidden(3, self.hidden)],
        };
        let dim = if classifier.is_empty() { c_in } else { self.hidden };
        Vgg { stages, classifier, dim }
    }
}

/// The network.
#[derive(Debug, Clone)]
pub struct Vgg {
    stages: Vec<Vec<Conv2d>>,
    classifier: Vec<Linear>,
    dim: usize,
}

impl Vgg {
    /// The last maps.
    pub fn maps(&self, images: Maps) -> Maps {
        self.stages.iter().fold(images, |maps, stage| {
            let conv = |maps: Maps, conv: &Conv2d| conv.forward(&maps, Activation::Relu);
            stage.iter().fold(maps, conv).max_pool(2, 2, 0)
        })
    }
}

impl Network for Vgg {
    fn dim(&self) -> usize {
        self.dim
    }

    fn forward(&self, images: Maps) -> Tensor<2> {
        let maps = self.maps(images);
        let Some((first, rest)) = self.classifier.split_first() else { return maps.mean() };
        let x = module::adaptive_avg_pool2d(maps.channels_first(), [GRID; 2]);
        let x = x.flatten::<2>(1, 3);
        let x = first.forward(x, Activation::Relu);
        rest.iter().fold(x, |x, layer| layer.forward(x, Activation::Relu))
    }
}

fn open(request: &Request, batch_norm: bool) -> Result<Built, String> {
    let output = match request.output {
        "fc6" => VggOutput::Fc6,
        "pool" => VggOutput::Pool,
        _ => VggOutput::Fc7,
    };
    Ok(Built {
        network: Box::new(VggConfig::vgg16(batch_norm, output).init(&request.params)),
        preprocessing: request.preprocessing(Preprocessing::imagenet(256, 224))?,
        ignored: match output {
            VggOutput::Fc7 => &["classifier.6."],
            VggOutput::Fc6 => &["classifier.3.", "classifier.6."],
            VggOutput::Pool => &["classifier."],
        },
    })
}

const FILES: &str = "model.safetensors of torchvision";

/// With and without batch norm.
pub(crate) static ARCHITECTURES: [Architecture; 2] = [
    Architecture {
        name: "vgg16",
        summary: "VGG-16, vectors of 4096, or of 512 with output = \"pool\"",
        files: FILES,
        outputs: &["fc7", "fc6", "pool"],
        open: |request| open(request, false),
    },
    Architecture {
        name: "vgg16_bn",
        summary: "VGG-16 with batch norm",
        files: FILES,
        outputs: &["fc7", "fc6", "pool"],
        open: |request| open(request, true),
    },
];

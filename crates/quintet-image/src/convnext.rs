//! ConvNeXt.
//!
//! Paper: Liu et al., "A ConvNet for the 2020s", CVPR 2022.
//! Arrays: the names of torchvision or of Hugging Face.
//! Vector: the norm of the mean of the last maps.

use burn::prelude::*;
use quintet_tensor::nn::{
    Activation, Conv2d, Depthwise, Init, LayerNorm, Linear, Maps, Params, Window,
};
use serde_json::Value;

use crate::network::{Architecture, Built, Network, Request, expect_kind, stages_of};
use crate::preprocess::Preprocessing;

/// Sizes of a ConvNeXt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvNextConfig {
    /// Channels of each stage.
    pub widths: Vec<usize>,
    /// Blocks of each stage.
    pub depths: Vec<usize>,
}

impl ConvNextConfig {
    /// ConvNeXt-T, 28.6 million parameters, vectors of 768.
    pub fn tiny() -> Self {
        Self { widths: vec![96, 192, 384, 768], depths: vec![3, 3, 9, 3] }
    }

    /// From `config.json` of Hugging Face.
    ///
    /// # Errors
    /// The key whose value is missing or cannot be.
    pub fn of_json(json: &Value) -> Result<Self, String> {
        expect_kind(json, "convnext")?;
        let config =
            Self { widths: stages_of(json, "hidden_sizes")?, depths: stages_of(json, "depths")? };
        match config.widths.len() == config.depths.len() {
            true => Ok(config),
            false => Err("depths: expected as many as hidden_sizes".to_owned()),
        }
    }

    /// The network with its arrays.
    ///
    /// # Panics
    /// When there is no stage.
    pub fn init(&self, params: &Params) -> ConvNext {
        assert!(!self.widths.is_empty(), "a stage at least");
        let names = Names::of(params);
        let mut stages = Vec::new();
        for (stage, (&width, depth)) in self.widths.iter().zip(&self.depths).enumerate() {
            let block = |n| Block::new(&names.block(params, stage, n), names, width);
            stages.push(Stage {
                entry: names.entry(params, stage, &self.widths),
                blocks: (0..*depth).map(block).collect(),
            });
        }
        let dim = self.widths[self.widths.len() - 1];
        let last = params.at(names.last_norm());
        ConvNext { stages, norm: LayerNorm::new(&last, dim, names.last_epsilon()), dim }
    }
}

const EPSILON: f32 = 1e-6;

/// Whose names the arrays have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    Torchvision,
    HuggingFace,
}

impl Names {
    fn of(params: &Params) -> Self {
        let torchvision = params.has("features.0.0.weight");
        let other = params.has("embeddings.patch_embeddings.weight");
        if other && !torchvision { Self::HuggingFace } else { Self::Torchvision }
    }

    /// What makes the maps smaller before a stage; the norm of the first one comes after it.
    fn entry(self, params: &Params, stage: usize, widths: &[usize]) -> Entry {
        let (conv, norm) = match (self, stage) {
            (Self::Torchvision, 0) => ("features.0.0".to_owned(), "features.0.1".to_owned()),
            (Self::HuggingFace, 0) => {
                ("embeddings.patch_embeddings".to_owned(), "embeddings.layernorm".to_owned())
            }
            (Self::Torchvision, stage) => {
                (format!("features.{}.1", 2 * stage), format!("features.{}.0", 2 * stage))
            }
            (Self::HuggingFace, stage) => {
                let at = format!("encoder.stages.{stage}.downsampling_layer");
                (format!("{at}.1"), format!("{at}.0"))
            }
        };
        let (c_out, conv, norm) = (widths[stage], params.at(conv), params.at(norm));
        match stage {
            0 => Entry {
                conv: Conv2d::new(&conv, [3, c_out], Window::patches(4), true),
                norm: LayerNorm::new(&norm, c_out, EPSILON),
                norm_first: false,
            },
            _ => Entry {
                conv: Conv2d::new(&conv, [widths[stage - 1], c_out], Window::patches(2), true),
                norm: LayerNorm::new(&norm, widths[stage - 1], EPSILON),
                norm_first: true,
            },
        }
    }

    fn block<'a>(self, params: &Params<'a>, stage: usize, number: usize) -> Params<'a> {
        match self {
            Self::Torchvision => params.at(format_args!("features.{}.{number}", 2 * stage + 1)),
            Self::HuggingFace => params.at(format_args!("encoder.stages.{stage}.layers.{number}")),
        }
    }

    /// Of a block: convolution, norm, both layers, scale.
    fn parts(self) -> [&'static str; 5] {
        match self {
            Self::Torchvision => ["block.0", "block.2", "block.3", "block.5", "layer_scale"],
            Self::HuggingFace => {
                ["dwconv", "layernorm", "pwconv1", "pwconv2", "layer_scale_parameter"]
            }
        }
    }

    fn last_norm(self) -> &'static str {
        match self {
            Self::Torchvision => "classifier.0",
            Self::HuggingFace => "layernorm",
        }
    }

    fn last_epsilon(self) -> f32 {
        match self {
            Self::Torchvision => EPSILON,
            Self::HuggingFace => 1e-12,
        }
    }
}

#[derive(Debug, Clone)]
struct Entry {
    conv: Conv2d,
    norm: LayerNorm,
    norm_first: bool,
}

impl Entry {
    fn forward(&self, maps: &Maps) -> Maps {
        if self.norm_first {
            let maps = maps.with(self.norm.forward(maps.x.clone()));
            return self.conv.forward(&maps, Activation::None);
        }
        let maps = self.conv.forward(maps, Activation::None);
        maps.with(self.norm.forward(maps.x.clone()))
    }
}

#[derive(Debug, Clone)]
struct Stage {
    entry: Entry,
    blocks: Vec<Block>,
}

/// Every channel over its neighbourhood, then every pixel over its channels.
#[derive(Debug, Clone)]
struct Block {
    depthwise: Depthwise,
    norm: LayerNorm,
    wide: Linear,
    narrow: Linear,
}

impl Block {
    fn new(params: &Params, names: Names, dim: usize) -> Self {
        let [depthwise, norm, wide, narrow, scale] = names.parts();
        let narrow = Linear::new(&params.at(narrow), 4 * dim, dim);
        let scale = match names {
            Names::Torchvision => {
                params.array(scale, [dim, 1, 1], Init::Ones).squeeze_dims(&[1, 2])
            }
            Names::HuggingFace => params.array(scale, [dim], Init::Ones),
        };
        Self {
            depthwise: Depthwise::new(&params.at(depthwise), dim, 7),
            norm: LayerNorm::new(&params.at(norm), dim, EPSILON),
            wide: Linear::new(&params.at(wide), dim, 4 * dim),
            narrow: narrow.scaled(scale, params),
        }
    }

    fn forward(&self, maps: Maps) -> Maps {
        let x = self.norm.forward(self.depthwise.forward(&maps).x);
        let x = self.wide.forward(x, Activation::Gelu);
        maps.with(self.narrow.forward_sum(x, maps.x.clone(), Activation::None))
    }
}

/// The network.
#[derive(Debug, Clone)]
pub struct ConvNext {
    stages: Vec<Stage>,
    norm: LayerNorm,
    dim: usize,
}

impl ConvNext {
    /// The last maps.
    pub fn maps(&self, images: Maps) -> Maps {
        self.stages.iter().fold(images, |maps, stage| {
            let maps = stage.entry.forward(&maps);
            stage.blocks.iter().fold(maps, |maps, block| block.forward(maps))
        })
    }
}

impl Network for ConvNext {
    fn dim(&self) -> usize {
        self.dim
    }

    fn forward(&self, images: Maps) -> Tensor<2> {
        self.norm.forward(self.maps(images).mean())
    }
}

fn open(request: &Request, config: &ConvNextConfig) -> Result<Built, String> {
    let params = request.below("convnext", "embeddings");
    Ok(Built {
        network: Box::new(config.init(&params)),
        preprocessing: request.preprocessing(Preprocessing::imagenet(236, 224))?,
        ignored: &["classifier.2.", "classifier.weight", "classifier.bias"],
    })
}

/// The published size, and any other.
pub(crate) static ARCHITECTURES: [Architecture; 2] = [
    Architecture {
        name: "convnext_tiny",
        summary: "ConvNeXt-T, vectors of 768",
        files: "model.safetensors of torchvision, or a folder of Hugging Face",
        outputs: &["pool"],
        open: |request| open(request, &ConvNextConfig::tiny()),
    },
    Architecture {
        name: "convnext",
        summary: "ConvNeXt of any size",
        files: "a folder of Hugging Face with config.json and model.safetensors",
        outputs: &["pool"],
        open: |request| open(request, &ConvNextConfig::of_json(request.config()?)?),
    },
];

//! ResNet.
//!
//! Paper: He, Zhang, Ren & Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, with
//! the stride of a bottleneck in its middle convolution, as in torchvision ("v1.5").
//! Arrays: torchvision's names (timm's are the same), or those of Hugging Face.
//! Vector: the mean of the last maps over the image.

use burn::prelude::*;
use quintet_tensor::nn::{Activation, BatchNorm, Conv2d, Maps, Params, Window};
use serde_json::Value;

use crate::network::{Architecture, Built, Network, Request, expect_kind, stages_of};
use crate::preprocess::Preprocessing;

/// Which of the published depths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResNetConfig {
    /// Blocks of each stage.
    pub depths: Vec<usize>,
    /// Channels of the first stage inside its blocks, doubled by every further one.
    pub width: usize,
    /// Whether a block has three convolutions, the last four times as wide, or two.
    pub bottleneck: bool,
}

impl ResNetConfig {
    fn of(depths: [usize; 4], bottleneck: bool) -> Self {
        Self { depths: depths.into(), width: 64, bottleneck }
    }

    /// 11.7 million parameters, vectors of 512.
    pub fn resnet18() -> Self {
        Self::of([2, 2, 2, 2], false)
    }

    /// 21.8 million parameters, vectors of 512.
    pub fn resnet34() -> Self {
        Self::of([3, 4, 6, 3], false)
    }

    /// 25.6 million parameters, vectors of 2048.
    pub fn resnet50() -> Self {
        Self::of([3, 4, 6, 3], true)
    }

    /// 44.5 million parameters, vectors of 2048.
    pub fn resnet101() -> Self {
        Self::of([3, 4, 23, 3], true)
    }

    /// From `config.json` of Hugging Face.
    ///
    /// # Errors
    /// The key whose value is missing, or is not one that was published.
    pub fn of_json(json: &Value) -> Result<Self, String> {
        expect_kind(json, "resnet")?;
        let (depths, widths) = (stages_of(json, "depths")?, stages_of(json, "hidden_sizes")?);
        let bottleneck = json.get("layer_type").and_then(Value::as_str) != Some("basic");
        let width = if bottleneck { widths[0] / 4 } else { widths[0] };
        let config = Self { depths, width, bottleneck };
        let doubled = (0..widths.len()).all(|s| widths[s] == config.channels(s));
        let stem = json.get("embedding_size").and_then(Value::as_u64);
        let flags = ["downsample_in_first_stage", "downsample_in_bottleneck"];
        let plain = flags.iter().all(|key| json.get(key).and_then(Value::as_bool) != Some(true));
        if !doubled || config.depths.len() != widths.len() || stem != Some(width as u64) || !plain {
            let expected = "stages that double, a stem as wide as the first one inside, and no \
                            downsampling elsewhere";
            return Err(format!("expected {expected}, found {json}"));
        }
        Ok(config)
    }

    /// Channels after a stage.
    fn channels(&self, stage: usize) -> usize {
        let inside = self.width << stage;
        if self.bottleneck { 4 * inside } else { inside }
    }

    /// Width of the vectors.
    pub fn dim(&self) -> usize {
        self.channels(self.depths.len().saturating_sub(1))
    }

    /// The network with its arrays.
    pub fn init(&self, params: &Params) -> ResNet {
        let names = Names::of(params);
        let window = Window { kernel: 7, stride: 2, padding: 3 };
        let stem = names.conv(params, Part::Stem, [3, self.width], window);
        let mut blocks = Vec::new();
        let mut c_in = self.width;
        for (stage, depth) in self.depths.iter().enumerate() {
            for number in 0..*depth {
                let stride = if stage > 0 && number == 0 { 2 } else { 1 };
                let params = names.block(params, stage, number);
                let shape = BlockShape { c_in, width: self.width << stage, stride };
                let block = Block::new(&params, names, shape, self.bottleneck);
                c_in = block.channels;
                blocks.push(block);
            }
        }
        ResNet { stem, blocks, dim: c_in }
    }
}

/// What the parts are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    Torchvision,
    HuggingFace,
}

/// A convolution with its norm.
#[derive(Debug, Clone, Copy)]
enum Part {
    Stem,
    Shortcut,
    /// Of a block, from 1.
    Number(usize),
}

impl Names {
    fn of(params: &Params) -> Self {
        let torchvision = params.has("conv1.weight");
        let other = params.has("embedder.embedder.convolution.weight");
        if other && !torchvision { Self::HuggingFace } else { Self::Torchvision }
    }

    fn block<'a>(self, params: &Params<'a>, stage: usize, number: usize) -> Params<'a> {
        match self {
            Self::Torchvision => params.at(format_args!("layer{}.{number}", stage + 1)),
            Self::HuggingFace => params.at(format_args!("encoder.stages.{stage}.layers.{number}")),
        }
    }

    fn part(self, part: Part) -> [String; 2] {
        match (self, part) {
            (Self::Torchvision, Part::Stem) => ["conv1", "bn1"].map(str::to_owned),
            (Self::Torchvision, Part::Shortcut) => {
                ["downsample.0", "downsample.1"].map(str::to_owned)
            }
            (Self::Torchvision, Part::Number(n)) => [format!("conv{n}"), format!("bn{n}")],
            (Self::HuggingFace, part) => {
                let at = match part {
                    Part::Stem => "embedder.embedder".to_owned(),
                    Part::Shortcut => "shortcut".to_owned(),
                    Part::Number(n) => format!("layer.{}", n - 1),
                };
                [format!("{at}.convolution"), format!("{at}.normalization")]
            }
        }
    }

    /// A convolution with its norm folded in.
    fn conv(self, params: &Params, part: Part, channels: [usize; 2], window: Window) -> Conv2d {
        let [conv, norm] = self.part(part);
        let norm = BatchNorm::new(&params.at(norm), channels[1], 1e-5);
        Conv2d::new(&params.at(conv), channels, window, false).folded(norm, params)
    }
}

/// Sizes of a block.
#[derive(Debug, Clone, Copy)]
struct BlockShape {
    c_in: usize,
    width: usize,
    stride: usize,
}

/// Convolutions one after the other, added to what came.
#[derive(Debug, Clone)]
struct Block {
    convs: Vec<Conv2d>,
    shortcut: Option<Conv2d>,
    channels: usize,
}

impl Block {
    fn new(params: &Params, names: Names, shape: BlockShape, bottleneck: bool) -> Self {
        let BlockShape { c_in, width, stride } = shape;
        let three = Window { stride, ..Window::same(3) };
        let plan = match bottleneck {
            true => vec![
                ([c_in, width], Window::same(1)),
                ([width, width], three),
                ([width, 4 * width], Window::same(1)),
            ],
            false => vec![([c_in, width], three), ([width, width], Window::same(3))],
        };
        let channels = if bottleneck { 4 * width } else { width };
        let conv =
            |(at, (channels, window))| names.conv(params, Part::Number(at + 1), channels, window);
        let convs = plan.into_iter().enumerate().map(conv).collect();
        let shortcut = (stride > 1 || c_in != channels).then(|| {
            let window = Window { stride, ..Window::same(1) };
            names.conv(params, Part::Shortcut, [c_in, channels], window)
        });
        Self { convs, shortcut, channels }
    }

    fn forward(&self, maps: Maps) -> Maps {
        let Some((last, first)) = self.convs.split_last() else { return maps };
        let shortcut = match &self.shortcut {
            Some(conv) => conv.forward(&maps, Activation::None),
            None => maps.clone(),
        };
        let inner = first.iter().fold(maps, |maps, conv| conv.forward(&maps, Activation::Relu));
        last.forward_sum(&inner, &shortcut, Activation::Relu)
    }
}

/// The network.
#[derive(Debug, Clone)]
pub struct ResNet {
    stem: Conv2d,
    blocks: Vec<Block>,
    dim: usize,
}

impl ResNet {
    /// The last maps, before the mean.
    pub fn maps(&self, images: Maps) -> Maps {
        let maps = self.stem.forward(&images, Activation::Relu).max_pool(3, 2, 1);
        self.blocks.iter().fold(maps, |maps, block| block.forward(maps))
    }
}

impl Network for ResNet {
    fn dim(&self) -> usize {
        self.dim
    }

    fn forward(&self, images: Maps) -> Tensor<2> {
        self.maps(images).mean()
    }
}

fn open(request: &Request, config: &ResNetConfig) -> Result<Built, String> {
    Ok(Built {
        network: Box::new(config.init(&request.below("resnet", "embedder"))),
        preprocessing: request.preprocessing(Preprocessing::imagenet(256, 224))?,
        ignored: &["fc.", "classifier."],
    })
}

const FILES: &str = "model.safetensors of torchvision, timm or Hugging Face";

/// The published depths, and any other.
pub(crate) static ARCHITECTURES: [Architecture; 5] = [
    Architecture {
        name: "resnet",
        summary: "ResNet of any depth",
        files: "a folder of Hugging Face with config.json and model.safetensors",
        outputs: &["pool"],
        open: |request| open(request, &ResNetConfig::of_json(request.config()?)?),
    },
    Architecture {
        name: "resnet18",
        summary: "ResNet-18, vectors of 512",
        files: FILES,
        outputs: &["pool"],
        open: |request| open(request, &ResNetConfig::resnet18()),
    },
    Architecture {
        name: "resnet34",
        summary: "ResNet-34, vectors of 512",
        files: FILES,
        outputs: &["pool"],
        open: |request| open(request, &ResNetConfig::resnet34()),
    },
    Architecture {
        name: "resnet50",
        summary: "ResNet-50, vectors of 2048",
        files: FILES,
        outputs: &["pool"],
        open: |request| open(request, &ResNetConfig::resnet50()),
    },
    Architecture {
        name: "resnet101",
        summary: "ResNet-101, vectors of 2048",
        files: FILES,
        outputs: &["pool"],
        open: |request| open(request, &ResNetConfig::resnet101()),
    },
];

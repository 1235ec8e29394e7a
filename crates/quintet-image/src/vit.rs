//! Vision transformers: ViT and DINOv2.
//!
//! Papers: Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021; Oquab et al., "DINOv2:
//! Learning Robust Visual Features without Supervision", TMLR 2024 (the same network with a scale
//! after each part).
//! Arrays: the names of Hugging Face (`vit`, `deit`, `dinov2`), of torchvision or of timm.
//! Vector: the class token after the last norm, or the mean of the patches (`mean`).

use burn::prelude::*;
use quintet_tensor::nn::{
    Activation, AttentionMask, Conv2d, Init, LayerNorm, Linear, Maps, Params, PreNormLayer, Window,
};
use serde_json::Value;

use crate::network::{Architecture, Built, Network, Request};
use crate::positions::resampled;
use crate::preprocess::{Preprocessing, Resize};

/// Sizes of a vision transformer.
#[derive(Debug, Clone, PartialEq)]
pub struct VitConfig {
    /// Width of a token.
    pub dim: usize,
    /// Layers.
    pub layers: usize,
    /// Heads of the attention.
    pub heads: usize,
    /// Inner width of the feed-forward part.
    pub inner: usize,
    /// Pixels of a side of a patch.
    pub patch: usize,
    /// Patches of a side at which the positions were learned.
    pub grid: usize,
    /// What keeps the norms from dividing by 0.
    pub epsilon: f32,
    /// Between the layers of the feed-forward part.
    pub activation: Activation,
    /// Whose names the arrays have.
    pub layout: VitLayout,
    /// Whether the vector is the mean of the patches and not the class token.
    pub mean: bool,
}

/// Whose names the arrays have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VitLayout {
    /// `vit` and `deit` of Hugging Face.
    HuggingFace,
    /// `dinov2` of Hugging Face.
    Dinov2,
    /// torchvision.
    Torchvision,
    /// timm, and DINOv2 as its authors published it.
    Timm,
}

impl VitConfig {
    /// Patches of 16 pixels of an image of 224, with the names of Hugging Face.
    fn of_16(dim: usize, layers: usize, heads: usize) -> Self {
        Self {
            dim,
            layers,
            heads,
            inner: 4 * dim,
            patch: 16,
            grid: 14,
            epsilon: 1e-12,
            activation: Activation::Gelu,
            layout: VitLayout::HuggingFace,
            mean: false,
        }
    }

    /// ViT-B/16, 86 million parameters, vectors of 768.
    pub fn base16() -> Self {
        Self::of_16(768, 12, 12)
    }

    /// ViT-S/16, 22 million parameters, vectors of 384.
    pub fn small16() -> Self {
        Self::of_16(384, 12, 6)
    }

    /// ViT-Ti/16, 5.7 million parameters, vectors of 192.
    pub fn tiny16() -> Self {
        Self::of_16(192, 12, 3)
    }

    /// From `config.json` of Hugging Face.
    ///
    /// # Errors
    /// The key whose value is missing or cannot be.
    pub fn of_json(json: &Value) -> Result<Self, String> {
        let number = |key: &str| {
            let found = json.get(key).and_then(Value::as_u64).map(|n| n as usize);
            found.ok_or_else(|| format!("{key}: expected a whole number, found none"))
        };
        let layout = match json.get("model_type").and_then(Value::as_str) {
            Some("vit" | "deit") => VitLayout::HuggingFace,
            Some("dinov2") => VitLayout::Dinov2,
            other => {
                return Err(format!("model_type: expected vit, deit or dinov2, found {other:?}"));
            }
        };
        if json.get("use_swiglu_ffn").and_then(Value::as_bool).unwrap_or(false) {
            return Err("use_swiglu_ffn: expected false; the giant DINOv2 is not read".to_owned());
        }
        let act = json.get("hidden_act").and_then(Value::as_str).unwrap_or("gelu");
        let [dim, patch] = [number("hidden_size")?, number("patch_size")?];
        let config = Self {
            dim,
            layers: number("num_hidden_layers")?,
            heads: number("num_attention_heads")?,
            inner: match layout {
                VitLayout::Dinov2 => dim.saturating_mul(number("mlp_ratio")?),
                _ => number("intermediate_size")?,
            },
            patch,
            grid: number("image_size")? / patch.max(1),
            epsilon: json.get("layer_norm_eps").and_then(Value::as_f64).unwrap_or(1e-12) as f32,
            activation: Activation::by_name(act).map_err(|e| format!("hidden_act: {e}"))?,
            layout,
            mean: false,
        };
        config.validate()?;
        Ok(config)
    }

    /// From the shapes of the arrays of torchvision or timm, whose heads have 64 numbers each.
    fn of_arrays(params: &Params) -> Result<Self, String> {
        let (layout, patch, positions) = match params.has("conv_proj.weight") {
            true => (VitLayout::Torchvision, "conv_proj.weight", "encoder.pos_embedding"),
            false => (VitLayout::Timm, "patch_embed.proj.weight", "pos_embed"),
        };
        let expected = "expected config.json of Hugging Face beside the weights, or the arrays of \
                        torchvision or timm, found neither";
        let (Some([dim, _, _, side]), Some([_, tokens, _])) =
            (params.shape(patch), params.shape(positions))
        else {
            return Err(expected.to_owned());
        };
        let names = Names::of(layout);
        let layer = |n| params.at(names.layer(n));
        let layers = (0..).take_while(|n| layer(*n).has(names.first_norm)).count();
        let wide = names.feed_forward(&layer(0))[0];
        let inner = layer(0).shape(&format!("{wide}.weight")).map_or(0, |[inner, _]| inner);
        let config = Self {
            dim,
            layers,
            heads: (dim / 64).max(1),
            inner,
            patch: side,
            grid: (tokens.saturating_sub(1) as f64).sqrt().round() as usize,
            epsilon: 1e-6,
            activation: Activation::Gelu,
            layout,
            mean: false,
        };
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), String> {
        let Self { dim, layers, heads, inner, patch, grid, .. } = *self;
        if [dim, layers, heads, inner, patch, grid].contains(&0) || !dim.is_multiple_of(heads) {
            let expected = "sizes above 0, the width a multiple of the heads";
            return Err(format!("expected {expected}, found {self:?}"));
        }
        // A stranger's word; the largest published one has 48 layers of 1408 with 6144 inside.
        if layers > 256 || dim > 16_384 || inner > 131_072 || patch > 512 || grid > 1024 {
            return Err(format!("expected sizes of a network that can be, found {self:?}"));
        }
        Ok(())
    }

    /// The network with its arrays, for images of `grid` patches a side.
    pub fn init(&self, params: &Params, grid: usize) -> Vit {
        let names = Names::of(self.layout);
        let channels = [3, self.dim];
        let patches = &params.at(names.patches);
        let tokens = 1 + self.grid * self.grid;
        let positions =
            params.array(names.positions, [1, tokens, self.dim], Init::Normal(0.02)).squeeze_dim(0);
        let class = params.array(names.class, [1, 1, self.dim], Init::Normal(0.02));
        Vit {
            patches: Conv2d::new(patches, channels, Window::patches(self.patch), true),
            class: class.squeeze_dim(0),
            positions: match params.failed() {
                true => positions,
                false => resampled(positions, 1, self.grid, grid),
            },
            layers: (0..self.layers)
                .map(|n| names.layer_of(&params.at(names.layer(n)), self))
                .collect(),
            norm: LayerNorm::new(&params.at(names.norm), self.dim, self.epsilon),
            heads: self.heads,
            mean: self.mean,
        }
    }
}

/// What the parts are called.
struct Names {
    layout: VitLayout,
    class: &'static str,
    positions: &'static str,
    patches: &'static str,
    norm: &'static str,
    /// The first array of a layer.
    first_norm: &'static str,
}

impl Names {
    fn of(layout: VitLayout) -> Self {
        let [class, positions, patches, norm, first_norm] = match layout {
            VitLayout::HuggingFace | VitLayout::Dinov2 => [
                "embeddings.cls_token",
                "embeddings.position_embeddings",
                "embeddings.patch_embeddings.projection",
                "layernorm",
                "layernorm_before.weight",
            ],
            VitLayout::Torchvision => {
                ["class_token", "encoder.pos_embedding", "conv_proj", "encoder.ln", "ln_1.weight"]
            }
            VitLayout::Timm => {
                ["cls_token", "pos_embed", "patch_embed.proj", "norm", "norm1.weight"]
            }
        };
        Self { layout, class, positions, patches, norm, first_norm }
    }

    fn layer(&self, number: usize) -> String {
        match self.layout {
            VitLayout::HuggingFace | VitLayout::Dinov2 => format!("encoder.layer.{number}"),
            VitLayout::Torchvision => format!("encoder.layers.encoder_layer_{number}"),
            VitLayout::Timm => format!("blocks.{number}"),
        }
    }

    /// The two layers of the feed-forward part.
    fn feed_forward(&self, layer: &Params) -> [&'static str; 2] {
        match self.layout {
            VitLayout::HuggingFace => ["intermediate.dense", "output.dense"],
            // The files that torchvision gives out were written before it renamed these.
            VitLayout::Torchvision if layer.has_stored("mlp.linear_1.weight") => {
                ["mlp.linear_1", "mlp.linear_2"]
            }
            VitLayout::Torchvision => ["mlp.0", "mlp.3"],
            VitLayout::Dinov2 | VitLayout::Timm => ["mlp.fc1", "mlp.fc2"],
        }
    }

    fn layer_of(&self, params: &Params, config: &VitConfig) -> PreNormLayer {
        let dim = config.dim;
        let [first, second] = match self.layout {
            VitLayout::HuggingFace => ["layernorm_before", "layernorm_after"],
            VitLayout::Torchvision => ["ln_1", "ln_2"],
            VitLayout::Dinov2 | VitLayout::Timm => ["norm1", "norm2"],
        };
        let norm = |name| LayerNorm::new(&params.at(name), dim, config.epsilon);
        let out = match self.layout {
            VitLayout::HuggingFace | VitLayout::Dinov2 => "attention.output.dense",
            VitLayout::Torchvision => "self_attention.out_proj",
            VitLayout::Timm => "attn.proj",
        };
        let [wide, narrow] = self.feed_forward(params);
        let scale = |linear: Linear, number: usize| {
            let name = match self.layout {
                VitLayout::Dinov2 => format!("layer_scale{number}.lambda1"),
                VitLayout::Timm => format!("ls{number}.gamma"),
                _ => return linear,
            };
            // Not every network with timm's names has one.
            if self.layout == VitLayout::Timm && !params.has_stored(&name) {
                return linear;
            }
            linear.scaled(params.array(&name, [dim], Init::Ones), params)
        };
        PreNormLayer {
            attention_norm: norm(first),
            qkv: self.qkv(params, dim),
            attention_out: scale(Linear::new(&params.at(out), dim, dim), 1),
            norm: norm(second),
            wide: Linear::new(&params.at(wide), dim, config.inner),
            narrow: scale(Linear::new(&params.at(narrow), config.inner, dim), 2),
            activation: config.activation,
        }
    }

    fn qkv(&self, params: &Params, dim: usize) -> Linear {
        match self.layout {
            VitLayout::HuggingFace | VitLayout::Dinov2 => {
                let names = ["query", "key", "value"];
                Linear::joined(&params.at("attention.attention"), &names, dim, dim)
            }
            VitLayout::Torchvision => {
                let at = params.at("self_attention");
                Linear::named(&at, "in_proj_weight", Some("in_proj_bias"), [dim, 3 * dim])
            }
            VitLayout::Timm => Linear::new(&params.at("attn.qkv"), dim, 3 * dim),
        }
    }
}

/// The network.
#[derive(Debug, Clone)]
pub struct Vit {
    patches: Conv2d,
    /// `[1, dim]`.
    class: Tensor<2>,
    /// `[1 + patches, dim]`.
    positions: Tensor<2>,
    layers: Vec<PreNormLayer>,
    norm: LayerNorm,
    heads: usize,
    mean: bool,
}

impl Vit {
    /// The last hidden state of every token, image by image, the class token first,
    /// `[batch · (1 + patches), dim]`.
    pub fn tokens(&self, images: &Maps) -> Tensor<2> {
        let x = with_class(&self.patches, &self.class, &self.positions, images);
        let lengths = vec![self.positions.dims()[0]; images.batch];
        let x = self
            .layers
            .iter()
            .fold(x, |x, layer| layer.forward(x, &lengths, self.heads, AttentionMask::Full));
        self.norm.forward(x)
    }
}

/// The tokens of the patches behind a class token, all with their positions.
pub(crate) fn with_class(
    patches: &Conv2d,
    class: &Tensor<2>,
    positions: &Tensor<2>,
    images: &Maps,
) -> Tensor<2> {
    let [tokens, dim] = positions.dims();
    let batch = images.batch;
    let patches = patches.forward(images, Activation::None).x;
    let patches: Tensor<3> = patches.reshape([batch, tokens - 1, dim]);
    let class: Tensor<3> = class.clone().unsqueeze::<3>().expand([batch, 1, dim]);
    let x = Tensor::cat(vec![class, patches], 1) + positions.clone().unsqueeze::<3>();
    x.reshape([batch * tokens, dim])
}

impl Network for Vit {
    fn dim(&self) -> usize {
        self.class.dims()[1]
    }

    fn forward(&self, images: Maps) -> Tensor<2> {
        let [tokens, dim] = self.positions.dims();
        let x: Tensor<3> = self.tokens(&images).reshape([images.batch, tokens, dim]);
        let x = match self.mean {
            true => x.narrow(1, 1, tokens - 1).mean_dim(1),
            false => x.narrow(1, 0, 1),
        };
        x.squeeze_dim(1)
    }
}

fn open(request: &Request) -> Result<Built, String> {
    let published = request.config.as_ref().filter(|c| c.get("model_type").is_some());
    let mut config = match published {
        Some(json) => VitConfig::of_json(json)?,
        None => VitConfig::of_arrays(&request.params)?,
    };
    config.mean = request.output == "mean";
    let mut usual = Preprocessing::imagenet(256, 224);
    if config.layout == VitLayout::HuggingFace {
        let side = config.grid * config.patch;
        usual = Preprocessing { mean: [0.5; 3], std: [0.5; 3], ..usual };
        (usual.resize, usual.crop) = (Resize::Square(side), side);
    }
    let preprocessing = request.preprocessing(usual)?;
    let side = preprocessing.crop;
    if side == 0 || !side.is_multiple_of(config.patch) {
        let patch = config.patch;
        return Err(format!("crop: expected a multiple of the patch of {patch}, found {side}"));
    }
    let prefix = match request.params.has_any("deit") {
        true => "deit",
        false if request.params.has_any("dinov2") => "dinov2",
        false => "vit",
    };
    Ok(Built {
        network: Box::new(config.init(&request.below(prefix, "embeddings"), side / config.patch)),
        preprocessing,
        ignored: IGNORED,
    })
}

/// Heads of other tasks, and what only training needs.
const IGNORED: &[&str] = &[
    "pooler.",
    "vit.pooler.",
    "deit.pooler.",
    "classifier.",
    "heads.",
    "head.",
    "embeddings.mask_token",
    "dinov2.embeddings.mask_token",
    "mask_token",
];

/// One entry: the files say which sizes.
pub(crate) static ARCHITECTURES: [Architecture; 1] = [Architecture {
    name: "vit",
    summary: "ViT, DeiT and DINOv2 of any size",
    files: "a folder of Hugging Face (vit, deit, dinov2) or model.safetensors of torchvision or \
            timm",
    outputs: &["cls", "mean"],
    open,
}];

//! The image tower of CLIP; the text tower is `quintet_text`'s.
//!
//! Paper: Radford et al., "Learning Transferable Visual Models From Natural Language
//! Supervision", ICML 2021.
//! Arrays: the names of Hugging Face, in a file of both towers or of this one.
//! Vector: in the space that both towers share (`joint`), or the class token before the
//! projection (`pooled`).

use burn::prelude::*;
use quintet_tensor::nn::{
    Activation, AttentionMask, Conv2d, Init, LayerNorm, Linear, Maps, Params, PreNormLayer, Window,
};
use serde::Deserialize;
use serde_json::Value;

use crate::network::{Architecture, Built, Network, Request};
use crate::positions::resampled;
use crate::preprocess::{CLIP, Filter, Preprocessing, Resize};
use crate::vit::with_class;

/// `vision_config` of `config.json`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct ClipVisionConfig {
    /// Width of a token.
    pub hidden_size: usize,
    /// Inner width of the feed-forward part.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Heads of the attention.
    pub num_attention_heads: usize,
    /// Pixels of a side of the images at which the positions were learned.
    pub image_size: usize,
    /// Pixels of a side of a patch.
    pub patch_size: usize,
    /// Between the layers of the feed-forward part.
    pub hidden_act: String,
    /// What keeps the norms from dividing by 0.
    pub layer_norm_eps: f32,
    /// Width of the shared space.
    pub projection_dim: usize,
}

impl Default for ClipVisionConfig {
    /// CLIP ViT-B/32, as Hugging Face leaves out what is so.
    fn default() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            image_size: 224,
            patch_size: 32,
            hidden_act: "quick_gelu".to_owned(),
            layer_norm_eps: 1e-5,
            projection_dim: 512,
        }
    }
}

impl ClipVisionConfig {
    /// From `config.json`, of both towers or of this one.
    ///
    /// # Errors
    /// The key whose value cannot be.
    pub fn of_json(json: &Value) -> Result<Self, String> {
        let (part, shared) = match json.get("model_type").and_then(Value::as_str) {
            Some("clip") => (json.get("vision_config"), json.get("projection_dim")),
            Some("clip_vision_model") => (Some(json), None),
            other => {
                return Err(format!(
                    "model_type: expected clip or clip_vision_model, found {other:?}"
                ));
            }
        };
        let part = part.cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        let mut config: Self = serde_json::from_value(part).map_err(|e| e.to_string())?;
        if let Some(dim) = shared.and_then(Value::as_u64) {
            config.projection_dim = dim as usize;
        }
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), String> {
        let sizes = [
            ("hidden_size", self.hidden_size, 16_384),
            ("intermediate_size", self.intermediate_size, 131_072),
            ("num_hidden_layers", self.num_hidden_layers, 256),
            ("num_attention_heads", self.num_attention_heads, 1024),
            ("image_size", self.image_size, 2048),
            ("patch_size", self.patch_size, 512),
            ("projection_dim", self.projection_dim, 16_384),
        ];
        if let Some((key, found, most)) = sizes.iter().find(|(_, n, most)| *n == 0 || n > most) {
            return Err(format!("{key}: expected 1 to {most}, found {found}"));
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads)
            || self.image_size < self.patch_size
        {
            return Err(format!(
                "expected heads that divide the width and a patch at least, found {self:?}"
            ));
        }
        Activation::by_name(&self.hidden_act).map(|_| ()).map_err(|e| format!("hidden_act: {e}"))
    }

    /// The network with its arrays, for images of `grid` patches a side; with the projection to
    /// the shared space where `joint`.
    pub fn init(&self, params: &Params, grid: usize, joint: bool) -> ClipVision {
        let dim = self.hidden_size;
        let tower = params.at("vision_model");
        let embeddings = tower.at("embeddings");
        let norm = |name| LayerNorm::new(&tower.at(name), dim, self.layer_norm_eps);
        let learned = self.image_size / self.patch_size;
        let tokens = 1 + learned * learned;
        let positions = embeddings.at("position_embedding");
        let positions = positions.array("weight", [tokens, dim], Init::Normal(0.02));
        let patches = &embeddings.at("patch_embedding");
        let layers = tower.at("encoder.layers");
        ClipVision {
            patches: Conv2d::new(patches, [3, dim], Window::patches(self.patch_size), false),
            class: embeddings.array("class_embedding", [dim], Init::Normal(0.02)).unsqueeze(),
            positions: match params.failed() {
                true => positions,
                false => resampled(positions, 1, learned, grid),
            },
            first_norm: norm("pre_layrnorm"),
            layers: (0..self.num_hidden_layers).map(|n| self.layer(&layers.at(n))).collect(),
            norm: norm("post_layernorm"),
            projection: joint.then(|| {
                let channels = [dim, self.projection_dim];
                Linear::named(&params.at("visual_projection"), "weight", None, channels)
            }),
            heads: self.num_attention_heads,
        }
    }

    fn layer(&self, params: &Params) -> PreNormLayer {
        // `validate` lets no other through.
        let activation = Activation::by_name(&self.hidden_act).unwrap_or(Activation::QuickGelu);
        let widths = [self.hidden_size, self.intermediate_size];
        PreNormLayer::of_clip(params, widths, self.layer_norm_eps, activation)
    }
}

/// The image tower.
#[derive(Debug, Clone)]
pub struct ClipVision {
    patches: Conv2d,
    /// `[1, hidden_size]`.
    class: Tensor<2>,
    /// `[1 + patches, hidden_size]`.
    positions: Tensor<2>,
    first_norm: LayerNorm,
    layers: Vec<PreNormLayer>,
    norm: LayerNorm,
    projection: Option<Linear>,
    heads: usize,
}

impl Network for ClipVision {
    fn dim(&self) -> usize {
        match &self.projection {
            Some(projection) => projection.weight().dims()[0],
            None => self.class.dims()[1],
        }
    }

    fn forward(&self, images: Maps) -> Tensor<2> {
        let [tokens, dim] = self.positions.dims();
        let x = with_class(&self.patches, &self.class, &self.positions, &images);
        let lengths = vec![tokens; images.batch];
        let x = self.layers.iter().fold(self.first_norm.forward(x), |x, layer| {
            layer.forward(x, &lengths, self.heads, AttentionMask::Full)
        });
        let x: Tensor<3> = x.reshape([images.batch, tokens, dim]);
        let x = self.norm.forward(x.narrow(1, 0, 1).squeeze_dim(1));
        match &self.projection {
            Some(projection) => projection.forward(x, Activation::None),
            None => x,
        }
    }
}

fn open(request: &Request) -> Result<Built, String> {
    let config = ClipVisionConfig::of_json(request.config()?)?;
    let (side, [mean, std]) = (config.image_size, CLIP);
    let (resize, filter) = (Resize::Shortest(side), Filter::Bicubic);
    let usual = Preprocessing { resize, filter, crop: side, mean, std };
    let preprocessing = request.preprocessing(usual)?;
    let side = preprocessing.crop;
    if side == 0 || !side.is_multiple_of(config.patch_size) {
        let patch = config.patch_size;
        return Err(format!("crop: expected a multiple of the patch of {patch}, found {side}"));
    }
    let grid = side / config.patch_size;
    let joint = request.output == "joint";
    Ok(Built {
        network: Box::new(config.init(&request.params, grid, joint)),
        preprocessing,
        ignored: match joint {
            true => &["text_model.", "text_projection.", "logit_scale"],
            false => &["text_model.", "text_projection.", "logit_scale", "visual_projection."],
        },
    })
}

/// The image tower.
pub(crate) static ARCHITECTURES: [Architecture; 1] = [Architecture {
    name: "clip",
    summary: "the image tower of CLIP, in one space with the texts of clip-text",
    files: "a folder of Hugging Face with config.json and model.safetensors",
    outputs: &["joint", "pooled"],
    open,
}];

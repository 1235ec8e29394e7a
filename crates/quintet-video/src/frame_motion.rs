//! Frame-motion: pooled features of frames, and statistics of what moves between them.
//!
//! Paper: the pooling over evenly spaced frames follows Wang et al., "Temporal Segment Networks:
//! Towards Good Practices for Deep Action Recognition", ECCV 2016; frames are taken from the
//! middle of each segment, so that nothing is drawn at random.
//! Reference code: none. The motion part is described in `motion.rs`.
//! Cost: that of the frame encoder on at most `frames` frames, and one sequential decode.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use image::DynamicImage;
use quintet_core::{Modality, Registry, RegistryError, SeedStream};
use quintet_tensor::{
    EncodeError, Encoder, EncoderEntry, EncoderFace, EncoderInfo, EncoderSpec, MediaEncoder,
    RawMedia,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ClipSource;
use crate::motion::{MOTION, grey, motion};
use crate::sample::{distinct, slots};

const NAME: &str = "frame-motion";
const MAX_SLOTS: usize = 64;
/// Clips a forward pass: 128 frames with the defaults.
const MICRO_BATCH: usize = 8;

/// Parameters of [`FrameMotion`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FrameMotionConfig {
    /// Places in time, evenly spread, whose frames stand for the clip, 2 to 64.
    pub frames: usize,
}

impl Default for FrameMotionConfig {
    fn default() -> Self {
        Self { frames: 16 }
    }
}

impl FrameMotionConfig {
    /// The encoder over the frame encoder `inner`.
    ///
    /// # Errors
    /// [`EncodeError::Config`] when `frames` is not from 2 to 64.
    pub fn init<F: Encoder>(&self, inner: F) -> Result<FrameMotion<F>, EncodeError> {
        if !(2..=MAX_SLOTS).contains(&self.frames) {
            let reason = format!("frames is {}, allowed: 2 to {MAX_SLOTS}", self.frames);
            return Err(EncodeError::Config { encoder: NAME.to_owned(), reason });
        }
        let limits = format!(
            "at most 64 megapixels a frame, 256 MiB a file, the first 4,096 frames; frames by {}",
            inner.info().name
        );
        let dim = 3 * inner.info().dim + MOTION;
        let info = EncoderInfo { name: NAME.to_owned(), modality: Modality::Video, dim, limits };
        Ok(FrameMotion { info, slots: self.frames, inner })
    }
}

/// Turns a clip into one vector of width `3 · d + 32` over a frame encoder of width `d`.
///
/// `frames` places in time, the middles of equal spans, choose the frames (one may stand for
/// several places; it is then encoded once and counts as often). In this order the vector holds:
///
/// | width | what |
/// |---|---|
/// | d | mean of the frames' features over time |
/// | d | standard deviation |
/// | d | last minus first |
/// | 3 | square root of: mean, standard deviation, maximum of the mean absolute difference between neighbouring places (grey, 32 × 32) |
/// | 16 | square root of its mean in a grid of 4 × 4, row by row |
/// | 2 | where motion lies (x, y), −1 to 1 |
/// | 2 | how far that place travels from the first to the last motion (x, y) |
/// | 2 | how far the thing that stands out from the background travels (x, y) |
/// | 4 | amplitude of 1, 2, 3, 4 periods of the mean brightness |
/// | 1 | ln(1 + frames) / ln 4,097 |
/// | 1 | ln(1 + seconds) / ln 601 |
/// | 1 | share of the steps that are cuts |
///
/// A clip of one frame has zeros for spread, difference and motion.
#[derive(Debug, Clone)]
pub struct FrameMotion<F> {
    info: EncoderInfo,
    slots: usize,
    inner: F,
}

/// A clip as [`FrameMotion`] takes it to the device.
#[derive(Debug, Clone)]
pub struct PreparedClip<P> {
    /// The distinct frames, in order.
    frames: Vec<P>,
    /// Share of the time that each stands for; they sum to 1.
    weights: Vec<f32>,
    motion: Vec<f32>,
}

impl<F> Encoder for FrameMotion<F>
where
    F: Encoder<Raw = DynamicImage>,
    F::Prepared: Clone,
{
    type Raw = ClipSource;
    type Prepared = PreparedClip<F::Prepared>;

    fn info(&self) -> &EncoderInfo {
        &self.info
    }

    fn prepare(&self, raw: &ClipSource) -> Result<Self::Prepared, EncodeError> {
        let (wanted, places) = distinct(&slots(raw.delays(), self.slots));
        let mut frames = Vec::with_capacity(wanted.len());
        let mut greys = Vec::with_capacity(wanted.len());
        raw.frames(&wanted, &mut |picture| {
            greys.push(grey(&picture));
            let prepared = self.inner.prepare(&DynamicImage::ImageRgb8(picture));
            frames.push(prepared.map_err(|e| of_frame(e, raw, wanted[frames.len()]))?);
            Ok(())
        })?;
        let mut weights = vec![0.0; frames.len()];
        for &place in &places {
            weights[place] += 1.0 / places.len() as f32;
        }
        let motion = motion(&greys, &places, raw.n_frames(), raw.seconds());
        Ok(PreparedClip { frames, weights, motion })
    }

    fn forward(&self, batch: &[Self::Prepared], device: &Device) -> Result<Tensor<2>, EncodeError> {
        if batch.is_empty() {
            return Ok(Tensor::zeros([0, self.info.dim], device));
        }
        let frames: Vec<F::Prepared> =
            batch.iter().flat_map(|clip| clip.frames.iter().cloned()).collect();
        let features = self.inner.forward(&frames, device)?; // [frames, d]
        let mut start = 0;
        let pooled = batch
            .iter()
            .map(|clip| {
                let end = start + clip.frames.len();
                // Each clip by itself, so that its numbers cannot depend on its batch mates.
                let own = features.clone().narrow(0, start, end - start); // [own, d]
                start = end;
                pool(own, clip, device)
            })
            .collect();
        Ok(Tensor::cat(pooled, 0)) // [batch, 3 d + 32]
    }
}

/// One row: mean, deviation and difference of the frames' features, `own`: `[own, d]`, and the
/// motion.
fn pool<P>(own: Tensor<2>, clip: &PreparedClip<P>, device: &Device) -> Tensor<2> {
    let n = clip.frames.len();
    let weights = Tensor::from_data(TensorData::new(clip.weights.clone(), [n, 1]), device);
    let mean = (own.clone() * weights.clone()).sum_dim(0); // [1, d]
    let off = own.clone() - mean.clone();
    let spread = (off.clone() * off * weights).sum_dim(0).sqrt();
    let way = own.clone().narrow(0, n - 1, 1) - own.narrow(0, 0, 1);
    let motion = Tensor::from_data(TensorData::new(clip.motion.clone(), [1, MOTION]), device);
    // A single frame has no spread, not even that of rounding.
    let spread = if n == 1 { spread.zeros_like() } else { spread };
    Tensor::cat(vec![mean, spread, way, motion], 1)
}

/// The frame encoder does not know the file: names it.
fn of_frame(error: EncodeError, clip: &ClipSource, frame: usize) -> EncodeError {
    let at = format!("{}, frame {}", clip.path().display(), frame + 1);
    match error {
        EncodeError::Decode { kind, expected, found, .. } => {
            EncodeError::Decode { origin: at, kind, expected, found }
        }
        EncodeError::TooLarge { what, limit, found, .. } => {
            EncodeError::TooLarge { origin: at, what, limit, found }
        }
        other => other,
    }
}

/// Opens what the catalogue holds.
fn open(media: &RawMedia) -> Result<ClipSource, EncodeError> {
    match media {
        RawMedia::File(path) => ClipSource::open(path),
        RawMedia::Text(_) => Err(EncodeError::WrongMedia {
            encoder: NAME.to_owned(),
            expected: "a file or a folder of frames",
            found: media.kind(),
        }),
    }
}

struct FrameMotionSpec<F> {
    config: FrameMotionConfig,
    frames: fn() -> F,
}

impl<F> EncoderSpec for FrameMotionSpec<F>
where
    F: Encoder<Raw = DynamicImage> + 'static,
    F::Prepared: Clone,
{
    fn config(&self) -> Value {
        serde_json::json!(self.config)
    }

    fn reads_corpus(&self) -> bool {
        false
    }

    fn fit(
        &self,
        _: &[&RawMedia],
        _: SeedStream,
        _: &Device,
    ) -> Result<Box<dyn MediaEncoder>, EncodeError> {
        let encoder = self.config.init((self.frames)())?;
        Ok(Box::new(EncoderFace::new(encoder, open, MICRO_BATCH)))
    }
}

fn build<F>(params: &Value, frames: fn() -> F) -> Result<Box<dyn EncoderSpec>, EncodeError>
where
    F: Encoder<Raw = DynamicImage> + 'static,
    F::Prepared: Clone,
{
    let config = match params {
        Value::Null => FrameMotionConfig::default(),
        given => FrameMotionConfig::deserialize(given)
            .map_err(|e| EncodeError::Config { encoder: NAME.to_owned(), reason: e.to_string() })?,
    };
    // Wrong values are found here, before any file is opened.
    config.init(frames())?;
    Ok(Box::new(FrameMotionSpec { config, frames }))
}

/// Adds the encoder, over frame encoders that `frames` makes, to a registry.
pub(crate) fn register<F>(
    r: &mut Registry<EncoderEntry>,
    frames: fn() -> F,
) -> Result<(), RegistryError>
where
    F: Encoder<Raw = DynamicImage> + 'static,
    F::Prepared: Clone,
{
    r.add(EncoderEntry {
        name: NAME,
        modality: Modality::Video,
        summary: "pooled frame features and motion of GIF, animated WebP and frame folders",
        weights: None,
        learn: None,
        build: Arc::new(move |params| build(params, frames)),
    })
}

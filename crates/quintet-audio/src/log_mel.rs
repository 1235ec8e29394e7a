//! Log-mel: statistics of mel bands, cepstral coefficients and spectral descriptors.
//!
//! Papers: Davis and Mermelstein, "Comparison of Parametric Representations for Monosyllabic Word
//! Recognition in Continuously Spoken Sentences", IEEE TASSP 28(4), 1980 (cepstral coefficients);
//! Tzanetakis and Cook, "Musical Genre Classification of Audio Signals", IEEE TSAP 10(5), 2002
//! (statistics of spectral descriptors over time).
//! Reference code: librosa 0.11.0 for filters, bands, coefficients and descriptors. Differences:
//! the power is divided by the squared sum of the window, so that rates compare; descriptors see
//! 0–8 kHz only, for the same reason; logarithms are scaled to levels.
//! Cost: no parameters; time O(seconds · log rate), memory constant.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use quintet_core::{Modality, Registry, RegistryError, SeedStream};
use quintet_tensor::{
    EncodeError, Encoder, EncoderEntry, EncoderFace, EncoderInfo, EncoderSpec, MediaEncoder,
    RawMedia,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::WavSource;
use crate::features::{Analyser, DIM};

/// Registry name.
const NAME: &str = "log-mel";
/// Longest part of a file that can be analysed, seconds.
const MAX_SECONDS: u32 = 600;
const MICRO_BATCH: usize = 256;

/// Parameters of [`LogMel`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogMelConfig {
    /// How much of the beginning of a file is analysed, seconds, 1 to 600; the rest is left out.
    pub max_seconds: u32,
}

impl Default for LogMelConfig {
    fn default() -> Self {
        Self { max_seconds: MAX_SECONDS }
    }
}

impl LogMelConfig {
    /// The encoder.
    ///
    /// # Errors
    /// [`EncodeError::Config`] when `max_seconds` is not from 1 to 600.
    pub fn init(&self) -> Result<LogMel, EncodeError> {
        if !(1..=MAX_SECONDS).contains(&self.max_seconds) {
            let reason =
                format!("max_seconds is {}, allowed: 1 to {MAX_SECONDS}", self.max_seconds);
            return Err(EncodeError::Config { encoder: NAME.to_owned(), reason });
        }
        let limits =
            format!("WAV of at most 256 MiB, 1 to 384 kHz, the first {} seconds", self.max_seconds);
        Ok(LogMel {
            info: EncoderInfo {
                name: NAME.to_owned(),
                modality: Modality::Audio,
                dim: DIM,
                limits,
            },
            max_seconds: self.max_seconds,
        })
    }
}

/// Turns a WAV file into one vector of width 198.
///
/// The mean of the channels is cut into Hann windows of 25 ms every 10 ms, without padding (a
/// sound shorter than one window is padded with zeros to one). Each window gives 64 mel bands
/// from 0 to 8,000 Hz (Slaney), whose edges in Hz are the same at every rate: nothing is
/// resampled, and bands above half the rate are empty. Over all windows the vector holds, in
/// this order:
///
/// | width | what |
/// |---|---|
/// | 64 | mean of the band levels |
/// | 64 | standard deviation of the band levels |
/// | 20 | mean of the cepstral coefficients (orthonormal DCT-II of the levels) |
/// | 20 | their standard deviation |
/// | 20 | mean absolute change of them from window to window |
/// | 5 | mean of: zero crossings (of 16,000 a second), loudness, spectral centroid and 85 % rolloff (of 8,000 Hz), flatness |
/// | 5 | standard deviation of these |
///
/// A level is `1 + ln(max(energy, 1e-10)) / ln(1e10)`: 0 at the floor, 1 at an energy of one, so
/// that digital silence is the origin.
#[derive(Debug, Clone)]
pub struct LogMel {
    info: EncoderInfo,
    max_seconds: u32,
}

impl Encoder for LogMel {
    type Raw = WavSource;
    type Prepared = Vec<f32>;

    fn info(&self) -> &EncoderInfo {
        &self.info
    }

    fn prepare(&self, raw: &WavSource) -> Result<Vec<f32>, EncodeError> {
        let mut analyser = Analyser::new(raw.rate());
        let most = u64::from(self.max_seconds) * u64::from(raw.rate());
        raw.mono(most, |block| analyser.push(block))?;
        Ok(analyser.finish())
    }

    fn forward(&self, batch: &[Vec<f32>], device: &Device) -> Result<Tensor<2>, EncodeError> {
        if batch.is_empty() {
            return Ok(Tensor::zeros([0, DIM], device));
        }
        let flat: Vec<f32> = batch.concat();
        Ok(Tensor::from_data(TensorData::new(flat, [batch.len(), DIM]), device)) // [batch, dim]
    }
}

/// Opens what the catalogue holds.
fn open(media: &RawMedia) -> Result<WavSource, EncodeError> {
    match media {
        RawMedia::File(path) => WavSource::open(path),
        RawMedia::Text(_) => Err(EncodeError::WrongMedia {
            encoder: NAME.to_owned(),
            expected: "a WAV file",
            found: media.kind(),
        }),
    }
}

struct LogMelSpec {
    config: LogMelConfig,
    encoder: LogMel,
}

impl EncoderSpec for LogMelSpec {
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
        Ok(Box::new(EncoderFace::new(self.encoder.clone(), open, MICRO_BATCH)))
    }
}

fn build(params: &Value) -> Result<Box<dyn EncoderSpec>, EncodeError> {
    let config = match params {
        Value::Null => LogMelConfig::default(),
        given => LogMelConfig::deserialize(given)
            .map_err(|e| EncodeError::Config { encoder: NAME.to_owned(), reason: e.to_string() })?,
    };
    let encoder = config.init()?;
    Ok(Box::new(LogMelSpec { config, encoder }))
}

/// Adds the encoder to a registry.
pub(crate) fn register(r: &mut Registry<EncoderEntry>) -> Result<(), RegistryError> {
    r.add(EncoderEntry {
        name: NAME,
        modality: Modality::Audio,
        summary: "statistics of log-mel bands, MFCC and spectral descriptors of WAV files",
        weights: None,
        learn: None,
        build: Arc::new(build),
    })
}

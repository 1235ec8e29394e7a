//! Errors of encoding, fitting and devices.

use quintet_core::{CoreError, Modality, RegistryError, ScoreError, StateError};
use thiserror::Error;

/// What is wrong with a media file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DecodeKind {
    /// Nothing is in it.
    Empty,
    /// It ends too early.
    Truncated,
    /// Its bytes contradict its format.
    Corrupt,
    /// A format, or a variant of one, that this encoder does not read.
    Unsupported,
}

impl DecodeKind {
    /// The word used in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            DecodeKind::Empty => "empty",
            DecodeKind::Truncated => "truncated",
            DecodeKind::Corrupt => "corrupt",
            DecodeKind::Unsupported => "unsupported",
        }
    }
}

/// Why an item could not be encoded. It costs that item, never the run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The file cannot be read.
    #[error("{path}: cannot be read: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file's content cannot be decoded.
    #[error("{origin}: {}: expected {expected}, found {found}", kind.as_str())]
    Decode {
        /// The file, or `text` for text held in memory.
        origin: String,
        /// What is wrong.
        kind: DecodeKind,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// The content is larger than the encoder takes.
    #[error("{origin}: {what} is {found}, the limit is {limit}")]
    TooLarge {
        /// The file.
        origin: String,
        /// What was measured, such as `width × height`.
        what: &'static str,
        /// The limit.
        limit: u64,
        /// The size that came.
        found: u64,
    },
    /// A text came where a file was expected, or the reverse.
    #[error("encoder {encoder} reads {expected}, found {found}")]
    WrongMedia {
        /// The encoder.
        encoder: String,
        /// What it reads.
        expected: &'static str,
        /// What came.
        found: &'static str,
    },
    /// The corpus is not enough to fit the encoder on.
    #[error("encoder {encoder} cannot be fitted: {reason}")]
    Corpus {
        /// The encoder.
        encoder: String,
        /// Why.
        reason: String,
    },
    /// The parameters do not fit the encoder.
    #[error("encoder {encoder}: {reason}")]
    Config {
        /// The encoder.
        encoder: String,
        /// Why.
        reason: String,
    },
    /// The encoder gave a vector with a number that is not finite.
    #[error("{origin}: encoder {encoder} gave a vector that is not finite")]
    NotFinite {
        /// The encoder.
        encoder: String,
        /// The item's file.
        origin: String,
    },
    /// Trained weights cannot be used.
    #[error(transparent)]
    Weights(#[from] crate::WeightError),
    /// The device failed.
    #[error("the device failed: {0}")]
    Device(String),
}

impl EncodeError {
    /// The same error with the medium it came from, for errors of steps that see the content and
    /// not the file. One that already names the file, or a file inside that folder, stays.
    pub(crate) fn of(mut self, medium: &str) -> Self {
        if let EncodeError::Decode { origin, .. } | EncodeError::TooLarge { origin, .. } = &mut self
            && !origin.starts_with(medium)
        {
            *origin = medium.to_owned();
        }
        self
    }

    /// A short stable code for reports, such as `truncated`.
    pub fn code(&self) -> &'static str {
        match self {
            EncodeError::Read { .. } => "unreadable",
            EncodeError::Decode { kind, .. } => kind.as_str(),
            EncodeError::TooLarge { .. } => "too_large",
            EncodeError::WrongMedia { .. } => "wrong_media",
            EncodeError::Corpus { .. } => "corpus",
            EncodeError::Config { .. } => "config",
            EncodeError::NotFinite { .. } => "not_finite",
            EncodeError::Weights(_) => "weights",
            EncodeError::Device(_) => "device",
        }
    }
}

/// Why a model could not be fitted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FitError {
    /// The parameters do not fit the model.
    #[error("model {model}: {reason}")]
    Config {
        /// The model.
        model: String,
        /// Why.
        reason: String,
    },
    /// The data is not enough for the model.
    #[error("model {model} cannot be fitted: {reason}")]
    Data {
        /// The model.
        model: String,
        /// Why.
        reason: String,
    },
    /// A modality that the model needs has no features.
    #[error("model {model} asks for {modality} features; the dataset has: {known}")]
    MissingModality {
        /// The model.
        model: String,
        /// The modality.
        modality: Modality,
        /// The modalities that are there.
        known: String,
    },
    /// The loss is NaN or infinite.
    #[error(
        "model {model}: the loss is {loss} in epoch {epoch}, batch {batch}; lower the learning rate or check the features"
    )]
    Diverged {
        /// The model.
        model: String,
        /// Epoch, from 1.
        epoch: usize,
        /// Batch, from 1.
        batch: usize,
        /// The loss.
        loss: f64,
    },
    /// A name is unknown.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A saved state does not fit.
    #[error(transparent)]
    State(#[from] StateError),
    /// An index or shape does not fit.
    #[error(transparent)]
    Core(#[from] CoreError),
    /// Scoring failed.
    #[error(transparent)]
    Score(#[from] ScoreError),
    /// The device failed.
    #[error("the device failed: {0}")]
    Device(String),
}

/// Why a device cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// No device has this name.
    #[error("unknown device {name:?}; known: auto, flex, ndarray, wgpu, vulkan, cuda")]
    Unknown {
        /// The name that came.
        name: String,
    },
    /// The backend is not in this binary.
    #[error(
        "device {name} is not compiled into this binary; build with `--features {feature}` (compiled: {compiled})"
    )]
    NotCompiled {
        /// The device.
        name: &'static str,
        /// The Cargo feature that brings it.
        feature: &'static str,
        /// What is compiled.
        compiled: String,
    },
    /// The backend is there, a device for it is not.
    #[error("no usable {name} device: {reason}")]
    Absent {
        /// The device.
        name: &'static str,
        /// What was found instead.
        reason: String,
    },
    /// The device computes wrongly.
    #[error("device {name} failed the self-check and is not used: {reason}")]
    Untrusted {
        /// The device.
        name: String,
        /// Which step gave what.
        reason: String,
    },
}

//! Encoders while their weights learn from what people do.
//!
//! An [`Encoder`] is inference alone. Here its arrays are leaves of a graph ([`Tuned`]), and before
//! every step the encoder is built anew from them: what the architecture computes is written once.

use std::borrow::Borrow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use quintet_core::SeedStream;
use rayon::prelude::*;
use serde_json::Value;

use crate::nn::{Loader, Params, Tuned, Tuning};
use crate::{EncodeError, Encoder, Open, RawMedia, WeightError};

/// The arrays of a folder of weights.
const ARRAYS: &str = "model.safetensors";

/// What a learner begins with.
#[derive(Debug, Clone, Copy)]
pub struct LearnerStart<'a> {
    /// Parameters of the encoder; without `weights` the network begins from nothing.
    pub params: &'a Value,
    /// Sizes of a network that begins from nothing; null or empty for the usual ones.
    pub sizes: &'a Value,
    /// Which arrays learn.
    pub tuning: Tuning,
    /// All media, for what an encoder has to know of them before, such as their words.
    pub corpus: &'a [&'a RawMedia],
    /// Where the weights are written at the end; a new network may put small files there before.
    pub folder: &'a Path,
    /// What new arrays are drawn from.
    pub seed: SeedStream,
    /// A device with autodiff.
    pub device: &'a Device,
}

impl LearnerStart<'_> {
    /// For encoders that begin from weights, which say their own sizes.
    ///
    /// # Errors
    /// Sizes were given; names the encoder.
    pub fn without_sizes(&self, encoder: &str) -> Result<(), EncodeError> {
        if self.sizes.is_null() || self.sizes.as_object().is_some_and(|sizes| sizes.is_empty()) {
            return Ok(());
        }
        let reason = "sizes: the weights say them; leave sizes out".to_owned();
        Err(EncodeError::Config { encoder: encoder.to_owned(), reason })
    }
}

/// An encoder whose weights learn. What it has read it keeps, prepared, in the memory of the host.
pub trait EncoderLearner: Send {
    /// Width of the vectors.
    fn dim(&self) -> usize;

    /// Decodes and prepares inputs on all cores and keeps them; the places that
    /// [`EncoderLearner::forward`] takes count on from those that were read before. One result an
    /// input; one that cannot be read has its place all the same.
    fn read(&mut self, media: &[&RawMedia]) -> Vec<Result<(), EncodeError>>;

    /// Vectors of inputs that were read, `[places, dim]`, without a graph: from the weights as
    /// they are now.
    ///
    /// # Errors
    /// As [`EncoderLearner::forward`].
    fn encode(&self, places: &[u32]) -> Result<Tensor<2>, EncodeError>;

    /// Vectors of inputs that were read, `[places, dim]`, as part of the graph, which has to go
    /// through `backward`.
    ///
    /// # Errors
    /// The device failed, or a place holds nothing.
    fn forward(&self, places: &[u32]) -> Result<Tensor<2>, EncodeError>;

    /// The arrays.
    fn tuned(&self) -> &Tuned;

    /// The arrays, to be moved.
    fn tuned_mut(&mut self) -> &mut Tuned;

    /// Writes the weights: a folder that the encoder's parameter `weights` takes.
    ///
    /// # Errors
    /// A file cannot be written, or the device failed.
    fn save(&self) -> Result<(), EncodeError>;
}

/// Begins to learn.
pub type StartLearner =
    Arc<dyn Fn(&LearnerStart<'_>) -> Result<Box<dyn EncoderLearner>, EncodeError> + Send + Sync>;

/// Builds an encoder from the arrays as they are now, on their device.
pub type BuildTuned<E> = Box<dyn Fn(&Params<'_>) -> Result<E, EncodeError> + Send>;

/// Any [`Encoder`] as a learner.
pub struct TunedEncoder<E: Encoder, O> {
    tuned: Tuned,
    build: BuildTuned<E>,
    /// As it was built at first; prepares inputs.
    encoder: E,
    open: Open<O>,
    read: Vec<Option<E::Prepared>>,
    folder: PathBuf,
    /// Files that belong to the weights, by their names in the folder.
    beside: Vec<(PathBuf, String)>,
}

impl<E, O> TunedEncoder<E, O>
where
    E: Encoder,
    E::Prepared: Clone,
    O: Borrow<E::Raw>,
{
    /// Takes the arrays of `loader` that `build` asks for. `architecture` and `ignored` are for
    /// [`Loader::finish`], `open` decodes the media.
    ///
    /// # Errors
    /// The encoder cannot be built, or the arrays do not fit.
    pub fn new(
        start: &LearnerStart<'_>,
        loader: Loader,
        build: BuildTuned<E>,
        (architecture, ignored): (&str, &[&str]),
        open: Open<O>,
    ) -> Result<Self, EncodeError> {
        let mut built = None;
        let asked = |params: &Params<'_>| built = Some(build(params));
        let tuned = Tuned::new(loader, asked, start.tuning, start.seed, (architecture, ignored));
        // What an architecture says of its files comes before what it did not ask for then.
        if let Some(Err(refusal)) = built {
            return Err(refusal);
        }
        let tuned = tuned?;
        let encoder = build(&tuned.plain_loader().root())?;
        Ok(Self {
            tuned,
            build,
            encoder,
            open,
            read: Vec::new(),
            folder: start.folder.to_owned(),
            beside: Vec::new(),
        })
    }

    /// Saves these files with the weights: where they are, and their names in the folder.
    #[must_use]
    pub fn with_files(mut self, beside: Vec<(PathBuf, String)>) -> Self {
        self.beside = beside;
        self
    }

    /// Vectors by the arrays of a loader.
    fn with(&self, loader: &Loader, places: &[u32]) -> Result<Tensor<2>, EncodeError> {
        let at = |place: &u32| self.read.get(*place as usize).cloned().flatten();
        let batch: Option<Vec<E::Prepared>> = places.iter().map(at).collect();
        let batch = batch.ok_or_else(|| EncodeError::Config {
            encoder: self.encoder.info().name.clone(),
            reason: format!("a place of {places:?} holds no input that could be read"),
        })?;
        let arrays = loader.root();
        (self.build)(&arrays)?.forward(&batch, arrays.device())
    }

    fn write(&self) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        for (from, name) in &self.beside {
            let to = self.folder.join(name);
            if let Some(parent) = to.parent() {
                std::fs::create_dir_all(parent)?;
            }
            if *from != to {
                std::fs::copy(from, to)?;
            }
        }
        Ok(())
    }
}

impl<E, O> EncoderLearner for TunedEncoder<E, O>
where
    E: Encoder,
    E::Prepared: Clone,
    O: Borrow<E::Raw>,
{
    fn dim(&self) -> usize {
        self.encoder.info().dim
    }

    fn read(&mut self, media: &[&RawMedia]) -> Vec<Result<(), EncodeError>> {
        let (encoder, open) = (&self.encoder, self.open);
        let prepare = |media: &&RawMedia| {
            let raw = open(media)?;
            encoder.prepare(raw.borrow()).map_err(|e| e.of(&media.origin()))
        };
        let prepared: Vec<_> = media.par_iter().map(prepare).collect();
        let keep = |result: Result<E::Prepared, EncodeError>| {
            let (kept, result) = match result {
                Ok(prepared) => (Some(prepared), Ok(())),
                Err(e) => (None, Err(e)),
            };
            self.read.push(kept);
            result
        };
        prepared.into_iter().map(keep).collect()
    }

    fn encode(&self, places: &[u32]) -> Result<Tensor<2>, EncodeError> {
        self.with(&self.tuned.plain_loader(), places)
    }

    fn forward(&self, places: &[u32]) -> Result<Tensor<2>, EncodeError> {
        self.with(&self.tuned.loader(), places)
    }

    fn tuned(&self) -> &Tuned {
        &self.tuned
    }

    fn tuned_mut(&mut self) -> &mut Tuned {
        &mut self.tuned
    }

    /// The arrays come last, under their name at once: where they are, the rest is.
    fn save(&self) -> Result<(), EncodeError> {
        self.write().map_err(|e| unwritten(&self.folder, &e))?;
        let (at, new) = (self.folder.join(ARRAYS), self.folder.join(format!(".{ARRAYS}")));
        self.tuned.save(&new)?;
        std::fs::rename(&new, &at).map_err(|e| unwritten(&at, &e))
    }
}

/// The error of a file or folder of weights that cannot be written.
pub fn unwritten(path: &Path, error: &std::io::Error) -> EncodeError {
    WeightError::Write { path: path.to_owned(), reason: error.to_string() }.into()
}

/// The small files of a folder of weights and of the folders in it: what belongs to
/// `model.safetensors` for an encoder that reads it.
///
/// # Errors
/// The folder cannot be read.
pub fn files_beside(folder: &Path) -> Result<Vec<(PathBuf, String)>, EncodeError> {
    let unreadable = |source| EncodeError::Read { path: folder.display().to_string(), source };
    let mut files = Vec::new();
    let mut folders = vec![(folder.to_owned(), String::new())];
    while let Some((at, prefix)) = folders.pop() {
        for entry in std::fs::read_dir(&at).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
            let arrays = extension == "safetensors" && !prefix.is_empty();
            let inside = format!("{prefix}{name}");
            if name.starts_with('.') {
                continue;
            }
            if path.is_dir() && prefix.is_empty() {
                folders.push((path, format!("{inside}/")));
            } else if path.is_file() && (arrays || ["json", "txt"].contains(&extension.as_str())) {
                files.push((path, inside));
            }
        }
    }
    files.sort();
    Ok(files)
}

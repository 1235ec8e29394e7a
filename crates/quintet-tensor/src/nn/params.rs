//! The arrays of an architecture, by name: from a file, or drawn.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use burn::prelude::*;
use quintet_core::SeedStream;
use rand_distr::{Distribution, Normal, Uniform};
use serde::{Deserialize, Serialize};

use super::tune::{Arrays, Asked};
use crate::{WeightError, WeightFile};

/// How an array starts that is not read from a file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// All 0.
    Zeros,
    /// All 1.
    Ones,
    /// Normal with mean 0 and this standard deviation.
    Normal(f32),
    /// Uniform between minus and plus this bound.
    Uniform(f32),
}

/// In what precision the weights of a network are kept and its products computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// Weights of linear layers in 16 bits, of which 5 are the exponent; products in 32 bits. Half
    /// the memory and nearly the same vectors; on the CPU alone.
    F16,
    /// The same with 8 bits of exponent, as weights are often published: wider and coarser.
    Bf16,
    /// 8 bits for weights and, as they come, for what they are multiplied by; on the CPU alone.
    /// A quarter of the memory, and rounded: measure what it costs.
    Int8,
}

/// Where arrays come from.
#[derive(Debug)]
enum Source {
    File(WeightFile),
    Drawn(SeedStream),
    Held(Arrays),
}

impl Source {
    /// The shape of an array; drawn ones have the one that is asked for.
    fn shape(&self, name: &str) -> Option<&[usize]> {
        match self {
            Self::File(file) => file.shape(name),
            Self::Held(arrays) => arrays.shape(name),
            Self::Drawn(_) => None,
        }
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Self::File(file) => Box::new(file.names()),
            Self::Held(arrays) => Box::new(arrays.names()),
            Self::Drawn(_) => Box::new(std::iter::empty()),
        }
    }
}

/// What was asked for and not found, so that one error can name everything.
#[derive(Debug, Default)]
struct Account {
    /// In the order of asking.
    asked: Vec<Asked>,
    used: BTreeSet<String>,
    missing: Vec<String>,
    misshapen: Vec<String>,
    failed: Option<WeightError>,
}

/// Gives an architecture its arrays and keeps the account.
#[derive(Debug)]
pub struct Loader {
    source: Source,
    device: Device,
    precision: Precision,
    account: Mutex<Account>,
}

impl Loader {
    fn of(source: Source, device: &Device) -> Self {
        let (device, precision) = (device.clone(), Precision::F32);
        Self { source, device, precision, account: Mutex::default() }
    }

    /// Linear layers compute in this precision.
    #[must_use]
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// Arrays of a safetensors file.
    ///
    /// # Errors
    /// The file cannot be read, or is not a whole safetensors file.
    pub fn open(path: &Path, device: &Device) -> Result<Self, WeightError> {
        let source = Source::File(WeightFile::open(path)?);
        Ok(Self::of(source, device))
    }

    /// Arrays drawn from a seed. The draw of an array depends on its name alone, not on the
    /// order of asking.
    pub fn random(seed: SeedStream, device: &Device) -> Self {
        Self::of(Source::Drawn(seed), device)
    }

    /// Arrays that are in memory.
    pub(super) fn held(arrays: Arrays, device: &Device) -> Self {
        Self::of(Source::Held(arrays), device)
    }

    /// Where the arrays are put.
    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    /// What has been asked for, once each.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.account().asked.clone()
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The names without a prefix.
    pub fn root(&self) -> Params<'_> {
        Params { loader: self, prefix: String::new() }
    }

    /// Closes the account: every array of the file has to be one that was asked for, but for
    /// whole numbers and those whose name begins with one of `ignored` (the head of another
    /// task).
    ///
    /// # Errors
    /// One error that lists what is missing, misshapen and unexpected.
    pub fn finish(self, architecture: &str, ignored: &[&str]) -> Result<(), WeightError> {
        let Source::File(file) = &self.source else { return Ok(()) };
        let account = self.account.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(failed) = account.failed {
            return Err(failed);
        }
        let extra = |name: &&str| {
            file.is_float(name)
                && !account.used.contains(*name)
                && !ignored.iter().any(|prefix| name.starts_with(prefix))
        };
        let unexpected: Vec<String> = file.names().filter(extra).map(str::to_owned).collect();
        if account.missing.is_empty() && account.misshapen.is_empty() && unexpected.is_empty() {
            return Ok(());
        }
        Err(WeightError::Keys {
            path: file.path().to_owned(),
            architecture: architecture.to_owned(),
            missing: account.missing,
            misshapen: account.misshapen,
            unexpected,
        })
    }

    /// None where an array of the file is not as it should be, which is noted.
    pub(super) fn numbers(&self, name: &str, shape: &[usize], init: Init) -> Option<Vec<f32>> {
        match &self.source {
            Source::Drawn(seed) => Some(draw(*seed, name, shape.iter().product(), init)),
            Source::File(file) => self.of_file(file, name, shape),
            Source::Held(_) => None,
        }
    }

    fn note(&self, name: &str, shape: &[usize], init: Init) {
        let mut account = self.account();
        if account.used.insert(name.to_owned()) {
            account.asked.push((name.to_owned(), shape.to_vec(), init));
        }
    }

    fn of_file(&self, file: &WeightFile, name: &str, shape: &[usize]) -> Option<Vec<f32>> {
        let mut account = self.account();
        match file.shape(name) {
            None => account.missing.push(name.to_owned()),
            Some(found) if found != shape || !file.is_float(name) => {
                account.misshapen.push(format!("{name} (expected {shape:?}, found {found:?})"));
            }
            Some(_) => match file.read(name) {
                Ok(numbers) => return Some(numbers),
                Err(error) => {
                    account.failed.get_or_insert(error);
                }
            },
        }
        None
    }
}

pub(super) fn draw(seed: SeedStream, name: &str, n: usize, init: Init) -> Vec<f32> {
    let mut rng = seed.rng(name, 0);
    match init {
        Init::Zeros => vec![0.0; n],
        Init::Ones => vec![1.0; n],
        // A deviation or bound that is no number draws zeros.
        Init::Normal(deviation) => match Normal::new(0.0, deviation) {
            Ok(normal) => normal.sample_iter(&mut rng).take(n).collect(),
            Err(_) => vec![0.0; n],
        },
        Init::Uniform(bound) => match Uniform::new_inclusive(-bound, bound) {
            Ok(uniform) => uniform.sample_iter(&mut rng).take(n).collect(),
            Err(_) => vec![0.0; n],
        },
    }
}

/// The arrays below a prefix.
#[derive(Debug, Clone)]
pub struct Params<'a> {
    loader: &'a Loader,
    prefix: String,
}

impl Params<'_> {
    /// The arrays below `name` here.
    #[must_use]
    pub fn at(&self, name: impl Display) -> Self {
        Self { loader: self.loader, prefix: self.name(name) }
    }

    fn name(&self, name: impl Display) -> String {
        if self.prefix.is_empty() { name.to_string() } else { format!("{}.{name}", self.prefix) }
    }

    /// Where the arrays are.
    pub fn device(&self) -> &Device {
        &self.loader.device
    }

    /// In what precision linear layers are to compute.
    pub fn precision(&self) -> Precision {
        self.loader.precision
    }

    /// Whether there is an array of this name. Drawn ones are always there.
    pub fn has(&self, name: &str) -> bool {
        matches!(self.loader.source, Source::Drawn(_)) || self.has_stored(name)
    }

    /// Whether an array of this name is stored. Drawn ones are not.
    pub fn has_stored(&self, name: &str) -> bool {
        self.loader.source.shape(&self.name(name)).is_some()
    }

    /// Whether arrays below this name are stored.
    pub fn has_any(&self, name: &str) -> bool {
        let below = format!("{}.", self.name(name));
        self.loader.source.names().any(|name| name.starts_with(&below))
    }

    /// The shape of a stored array, where it has so many axes.
    pub fn shape<const D: usize>(&self, name: &str) -> Option<[usize; D]> {
        self.loader.source.shape(&self.name(name))?.try_into().ok()
    }

    /// Whether an array was missing or misshapen so far: what is built will be refused.
    pub fn failed(&self) -> bool {
        let account = self.loader.account();
        !account.missing.is_empty() || !account.misshapen.is_empty() || account.failed.is_some()
    }

    /// An array. One that is missing or misshapen is noted for [`Loader::finish`]; until then one
    /// zero stands for all of its numbers, because its size is the word of a stranger.
    pub fn array<const D: usize>(&self, name: &str, shape: [usize; D], init: Init) -> Tensor<D> {
        let (name, device) = (self.name(name), &self.loader.device);
        self.loader.note(&name, &shape, init);
        if let Source::Held(arrays) = &self.loader.source
            && let Some(array) = arrays.array(&name, shape)
        {
            return array;
        }
        match self.loader.numbers(&name, &shape, init) {
            Some(numbers) => Tensor::from_data(TensorData::new(numbers, shape), device),
            None => Tensor::<D>::zeros([1; D], device).expand(shape),
        }
    }
}

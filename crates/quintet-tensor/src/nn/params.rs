//! The arrays of an architecture, by name: from a file, or drawn.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::Path;
use std::sync::Mutex;

use burn::prelude::*;
use quintet_core::SeedStream;
use rand_distr::{Distribution, Normal, Uniform};

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

/// What was asked for and not found, so that one error can name everything.
#[derive(Debug, Default)]
struct Account {
    used: BTreeSet<String>,
    missing: Vec<String>,
    misshapen: Vec<String>,
    failed: Option<WeightError>,
}

/// Gives an architecture its arrays and keeps the account.
#[derive(Debug)]
pub struct Loader {
    source: Result<WeightFile, SeedStream>,
    device: Device,
    account: Mutex<Account>,
}

impl Loader {
    /// Arrays of a safetensors file.
    ///
    /// # Errors
    /// The file cannot be read, or is not a whole safetensors file.
    pub fn open(path: &Path, device: &Device) -> Result<Self, WeightError> {
        let source = Ok(WeightFile::open(path)?);
        Ok(Self { source, device: device.clone(), account: Mutex::default() })
    }

    /// Arrays drawn from a seed. The draw of an array depends on its name alone, not on the
    /// order of asking.
    pub fn random(seed: SeedStream, device: &Device) -> Self {
        Self { source: Err(seed), device: device.clone(), account: Mutex::default() }
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
        let Ok(file) = &self.source else { return Ok(()) };
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
    fn numbers(&self, name: &str, shape: &[usize], init: Init) -> Option<Vec<f32>> {
        match &self.source {
            Err(seed) => Some(draw(*seed, name, shape.iter().product(), init)),
            Ok(file) => self.of_file(file, name, shape),
        }
    }

    fn of_file(&self, file: &WeightFile, name: &str, shape: &[usize]) -> Option<Vec<f32>> {
        let mut account = self.account.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        account.used.insert(name.to_owned());
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

fn draw(seed: SeedStream, name: &str, n: usize, init: Init) -> Vec<f32> {
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

    /// Whether there is an array of this name. Drawn ones are always there.
    pub fn has(&self, name: &str) -> bool {
        match &self.loader.source {
            Ok(file) => file.shape(&self.name(name)).is_some(),
            Err(_) => true,
        }
    }

    /// Whether an array was missing or misshapen so far: what is built will be refused.
    pub fn failed(&self) -> bool {
        let account = &self.loader.account;
        let account = account.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        !account.missing.is_empty() || !account.misshapen.is_empty() || account.failed.is_some()
    }

    /// An array. One that is missing or misshapen is noted for [`Loader::finish`]; until then one
    /// zero stands for all of its numbers, because its size is the word of a stranger.
    pub fn array<const D: usize>(&self, name: &str, shape: [usize; D], init: Init) -> Tensor<D> {
        let device = &self.loader.device;
        match self.loader.numbers(&self.name(name), &shape, init) {
            Some(numbers) => Tensor::from_data(TensorData::new(numbers, shape), device),
            None => Tensor::<D>::zeros([1; D], device).expand(shape),
        }
    }
}

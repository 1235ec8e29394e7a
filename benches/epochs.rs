//! Epochs of one model, timed, for `peers/graph_models.py`.
//!
//! ```sh
//! epochs DATA.inter MODEL PARAMS EPOCHS THREADS [MODALITY=FILE.npy]...
//! ```
//!
//! Trains and validates (Recall@20 of all items, full ranking) every epoch. Prints a line of JSON:
//! seconds and loss of each epoch, seconds and value of each validation, seconds of the start, and
//! the most memory that the process held.
#![allow(clippy::print_stdout)] // a program that talks to its script

#[path = "../crates/quintet-cli/src/allocator.rs"]
mod allocator;
#[path = "shared/split.rs"]
mod split;

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use quintet::Registries;
use quintet::core::{Held, SeedStream, Valid};
use quintet::metrics::{EvalConfig, evaluate};
use quintet::tensor::{DeviceChoice, FitContext, Fitting, TrainingData, open_device};
use serde_json::json;

fn main() -> Result<()> {
    allocator::keep_freed_memory();
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let [data, model, params, epochs, threads, features @ ..] = &args[..] else {
        bail!("usage: epochs DATA.inter MODEL PARAMS EPOCHS THREADS [MODALITY=FILE.npy]...")
    };
    rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build_global()?;
    let ([train, valid, _], features) = split::read(data, features)?;
    let valid: Held<Valid> = Held::new(valid);
    let device = open_device(DeviceChoice::Flex)?.device;
    let context = FitContext { device, seed: SeedStream::new(1) };
    let known = Registries::new()?;
    let fit = (known.models.get(model)?.build)(&serde_json::from_str(params)?)?;
    let begun = Instant::now();
    let data = TrainingData::new(&train, &features);
    let Fitting::Epochs(mut trainer) = fit.start(data, &context)? else {
        bail!("{model} has no epochs")
    };
    let start = begun.elapsed().as_secs_f64();
    let config = EvalConfig { cutoffs: vec![20], metrics: vec!["recall".into()] };
    let (mut seconds, mut valid_seconds, mut losses, mut values) = (vec![], vec![], vec![], vec![]);
    for epoch in 1..=epochs.parse()? {
        let begun = Instant::now();
        losses.push(trainer.epoch(epoch)?.loss);
        seconds.push(begun.elapsed().as_secs_f64());
        let begun = Instant::now();
        let fitted = trainer.model()?;
        let found = evaluate(&*fitted, &valid, &train, &config)?;
        values.push(found.get("recall@20").context("recall@20")?);
        valid_seconds.push(begun.elapsed().as_secs_f64());
    }
    let result = json!({
        "start": start, "train": seconds, "valid": valid_seconds, "losses": losses, "values": values,
        "peak_mb": peak()?,
    });
    println!("{result}");
    Ok(())
}

/// The most memory that the process held so far, in MB.
fn peak() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|l| l.starts_with("VmHWM")).context("no VmHWM")?;
    let kib: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kib * 1024.0 / 1e6)
}

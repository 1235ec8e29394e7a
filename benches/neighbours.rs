//! One fit of a model of neighbours or a linear one, timed, for `peers/neighbours.py`.
//!
//! ```sh
//! neighbours FOLDER MODEL PARAMS THREADS [LISTS]
//! ```
//!
//! `FOLDER` holds `shape.txt` (users and items), `indptr.bin` (64 bits) and `indices.bin` (32 bits,
//! little-endian): interactions by user, of value 1 or as `values.bin` (32 bits) says. Prints a
//! line of JSON with the seconds of the fit, without reading, on the clock and of the processor,
//! and the most memory that the process held; with `LISTS`, the ten best unseen items of every
//! user named in `users.bin` are written there, 32 bits each.
#![allow(clippy::print_stdout)] // a program that talks to its script

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use quintet::Registries;
use quintet::core::{FeatureSet, Interactions, ItemIdx, SeedStream, Triplet, UserIdx};
use quintet::metrics::{RankOptions, rank_users};
use quintet::tensor::{DeviceChoice, FitContext, Fitting, TrainingData, open_device};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let [folder, model, params, threads, rest @ ..] = &args[..] else {
        bail!("usage: neighbours FOLDER MODEL PARAMS THREADS [LISTS]")
    };
    rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build_global()?;
    let train = read(folder)?;
    let features = FeatureSet::new(train.n_items());
    let device = open_device(DeviceChoice::Flex)?.device;
    let context = FitContext { device, seed: SeedStream::new(1) };
    let known = Registries::new()?;
    let fit = (known.models.get(model)?.build)(&serde_json::from_str(params)?)?;
    let (begin, cpu) = (Instant::now(), cpu()?);
    let Fitting::Fitted(fitted) = fit.start(TrainingData::new(&train, &features), &context)? else {
        bail!("{model} has epochs")
    };
    let seconds = begin.elapsed().as_secs_f64();
    let cpu = self::cpu()? - cpu;
    let peak_mb = peak()?;
    if let Some(path) = rest.first() {
        let users: Vec<UserIdx> = words(&format!("{folder}/users.bin"))?.map(UserIdx).collect();
        let lists = rank_users(&*fitted, &users, &train, &RankOptions::new(10))?;
        let mut bytes = Vec::with_capacity(users.len() * 40);
        for list in lists {
            for place in 0..10 {
                let item = list.get(place).map_or(u32::MAX, |scored| scored.item.0);
                bytes.extend(item.to_le_bytes());
            }
        }
        fs::write(path, bytes)?;
    }
    println!("{}", serde_json::json!({ "seconds": seconds, "cpu": cpu, "peak_mb": peak_mb }));
    Ok(())
}

fn words(path: &str) -> Result<impl Iterator<Item = u32> + use<>> {
    let bytes = fs::read(path).with_context(|| path.to_owned())?;
    Ok((0..bytes.len() / 4).map(move |i| {
        u32::from_le_bytes([bytes[4 * i], bytes[4 * i + 1], bytes[4 * i + 2], bytes[4 * i + 3]])
    }))
}

fn read(folder: &str) -> Result<Interactions> {
    let shape = fs::read_to_string(format!("{folder}/shape.txt"))?;
    let shape: Vec<usize> = shape.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let &[n_users, n_items] = &shape[..] else { bail!("shape.txt: expected users and items") };
    let bytes = fs::read(format!("{folder}/indptr.bin"))?;
    let indptr: Vec<usize> = bytes
        .chunks_exact(8)
        .map(|c| usize::from_le_bytes([c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]]))
        .collect();
    let mut items = words(&format!("{folder}/indices.bin"))?;
    let path = format!("{folder}/values.bin");
    let mut values: Box<dyn Iterator<Item = f32>> = match fs::exists(&path)? {
        true => Box::new(words(&path)?.map(f32::from_bits)),
        false => Box::new(std::iter::repeat(1.0)),
    };
    let nnz = indptr.last().copied().unwrap_or(0);
    let cells = indptr.windows(2).enumerate().flat_map(|(u, w)| {
        let row: Vec<(u32, f32)> = items.by_ref().zip(&mut values).take(w[1] - w[0]).collect();
        let user = UserIdx::new(u);
        row.into_iter().map(move |(item, value)| Triplet { user, item: ItemIdx(item), value })
    });
    Ok(Interactions::from_sorted(n_users, n_items, nnz, cells)?)
}

/// Seconds that the processor worked for this process, all threads together.
fn cpu() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The name of the program, in brackets, may hold blanks.
    let (_, fields) = stat.rsplit_once(')').context("no name")?;
    let ticks: Vec<f64> =
        fields.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

/// The most memory that the process held so far, in MB.
fn peak() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|l| l.starts_with("VmHWM")).context("no VmHWM")?;
    let kib: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kib * 1024.0 / 1e6)
}

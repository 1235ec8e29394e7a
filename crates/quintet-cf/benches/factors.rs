//! Fits a factor model on cells in a plain binary file, and says how long each epoch took and how
//! much memory the process held. `benches/peers/factors.py` starts it beside other libraries.
//!
//!     cargo bench --profile dev -p quintet-cf --bench factors -- MODEL PARAMS CELLS EPOCHS SEED OUT [START]
//!
//! CELLS holds, as little-endian numbers, users, items and cells (64 bits each), where each user's
//! cells begin (users + 1, 64 bits) and the items of all users (32 bits). OUT gets the factors of
//! users, then of items, then the item bias, row by row in 32 bits; START, in the same order, what
//! factors are before the first epoch. One line of JSON is printed.

// A program for people at a terminal.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::time::Instant;

use quintet_core::{
    FeatureSet, Interactions, ItemIdx, Matrix, ModelState, Registry, SeedStream, Triplet, UserIdx,
};
use quintet_tensor::{Device, FitContext, Fitting, TrainingData};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn number(reader: &mut impl Read) -> Result<u64> {
    let mut bytes = [0; 8];
    reader.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn read_cells(path: &str) -> Result<Interactions> {
    let mut reader = BufReader::with_capacity(1 << 20, File::open(path)?);
    let n_users = number(&mut reader)? as usize;
    let n_items = number(&mut reader)? as usize;
    let nnz = number(&mut reader)? as usize;
    let mut indptr = Vec::with_capacity(n_users + 1);
    for _ in 0..=n_users {
        indptr.push(number(&mut reader)? as usize);
    }
    let mut failed = None;
    let users = indptr.windows(2).enumerate().flat_map(|(u, w)| (w[0]..w[1]).map(move |_| u));
    let cells = users.map_while(|u| {
        let mut bytes = [0; 4];
        failed = reader.read_exact(&mut bytes).err();
        let item = ItemIdx(u32::from_le_bytes(bytes));
        failed.is_none().then_some(Triplet { user: UserIdx::new(u), item, value: 1.0 })
    });
    let train = Interactions::from_sorted(n_users, n_items, nnz, cells)?;
    match failed {
        Some(e) => Err(e.into()),
        None => Ok(train),
    }
}

fn read_start(path: &str, kind: &str, rows: [usize; 2]) -> Result<ModelState> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    let (words, _) = bytes.as_chunks::<4>();
    let numbers: Vec<f32> = words.iter().map(|w| f32::from_le_bytes(*w)).collect();
    let dim = numbers.len() / (rows[0] + rows[1]);
    let (users, items) = numbers.split_at(rows[0] * dim);
    let mut state = ModelState::new(kind);
    state.put("users", Matrix::from_vec(rows[0], dim, users.to_vec())?);
    state.put("items", Matrix::from_vec(rows[1], dim, items.to_vec())?);
    Ok(state)
}

/// Most memory that the process held, in bytes; 0 where the system does not say.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// Processor time of all threads so far, in seconds: what other programs do meanwhile disturbs it
/// less than the time on the clock. 0 where the system does not say.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name in parentheses: user and system time are the 12th and 13th field, in ticks
    // of 1/100 s.
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let [model, params, cells, epochs, seed, out, start @ ..] = &args[..] else {
        println!("usage: factors MODEL PARAMS CELLS EPOCHS SEED OUT [START]");
        return Ok(());
    };
    let train = read_cells(cells)?;
    let mut registry = Registry::new("model");
    quintet_cf::register(&mut registry)?;
    let fit = (registry.get(model)?.build)(&serde_json::from_str(params)?)?;
    let features = FeatureSet::new(train.n_items());
    let context = FitContext { device: Device::flex(), seed: SeedStream::new(seed.parse()?) };
    let began = Instant::now();
    let Fitting::Epochs(mut trainer) = fit.start(TrainingData::new(&train, &features), &context)?
    else {
        return Err("this bench is for models that are trained in epochs".into());
    };
    if let [start] = start {
        trainer.load(&read_start(start, model, [train.n_users(), train.n_items()])?)?;
    }
    let begun = began.elapsed().as_secs_f64();
    let (mut seconds, mut losses) = (Vec::new(), Vec::new());
    let before = processor_time();
    for epoch in 1..=epochs.parse()? {
        let began = Instant::now();
        losses.push(trainer.epoch(epoch)?.loss);
        seconds.push(began.elapsed().as_secs_f64());
    }
    let processor = (processor_time() - before) / seconds.len().max(1) as f64;
    let peak = peak_memory();
    let fitted = trainer.model()?;
    let mut dim = 0;
    if let Some(factors) = fitted.factors() {
        dim = factors.users.cols();
        let mut writer = BufWriter::new(File::create(out)?);
        for numbers in [factors.users.as_slice(), factors.items.as_slice(), factors.bias] {
            for number in numbers {
                writer.write_all(&number.to_le_bytes())?;
            }
        }
        writer.flush()?;
    }
    let report = serde_json::json!({"seconds": seconds, "processor": processor, "begin": begun, "losses": losses,
        "peak": peak, "dim": dim});
    println!("{report}");
    Ok(())
}

//! Epochs of LightGCN on a file of interactions, timed one by one; `benches/peers/lightgcn.py` starts it.
//!
//! `lightgcn FILE DIM LAYERS BATCH EPOCHS`: a table with a header whose first three columns are
//! user, item and part (0 is training), numbers all, tab-separated. Prints one line of JSON.
//! Without arguments it does nothing, so that `cargo bench` passes over it.

use std::time::Instant;

use quintet_core::{FeatureSet, Interactions, Registry, SeedStream};
use quintet_tensor::{DeviceChoice, FitContext, Fitting, TrainingData, open_device};
use serde_json::json;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let [path, dim, layers, batch, epochs] = arguments.as_slice() else {
        return Ok(());
    };
    let train = read(path)?;
    let features = FeatureSet::new(train.n_items());
    let device = open_device(DeviceChoice::Flex)?.device;
    let context = FitContext { device, seed: SeedStream::new(1) };
    let params = json!({
        "dim": dim.parse::<usize>()?, "layers": layers.parse::<usize>()?,
        "batch_size": batch.parse::<usize>()?, "lr": 1e-3, "l2": 1e-5,
    });
    let mut models = Registry::new("model");
    quintet_cf::register(&mut models)?;
    let fit = (models.get("lightgcn")?.build)(&params)?;
    let start = Instant::now();
    let Fitting::Epochs(mut trainer) = fit.start(TrainingData::new(&train, &features), &context)?
    else {
        return Err("LightGCN has epochs".into());
    };
    let prepare = start.elapsed().as_secs_f64();
    let (mut seconds, mut cpu, mut losses) = (Vec::new(), Vec::new(), Vec::new());
    for epoch in 1..=epochs.parse()? {
        let (start, busy) = (Instant::now(), cpu_seconds());
        losses.push(trainer.epoch(epoch)?.loss);
        seconds.push(start.elapsed().as_secs_f64());
        cpu.push(cpu_seconds() - busy);
    }
    let report = json!({
        "tool": "quintet", "prepare": prepare, "seconds": seconds, "cpu": cpu,
        "losses": losses,
        "pairs": train.nnz(), "peak_mb": peak_mb(),
    });
    #[allow(clippy::print_stdout)]
    {
        println!("{report}");
    }
    Ok(())
}

fn read(path: &str) -> Result<Interactions, Failure> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("reading {path}: {e}"))?;
    let (mut pairs, mut n_users, mut n_items) = (Vec::new(), 0, 0);
    for line in text.lines().skip(1) {
        let mut fields = line.split('\t').map(str::parse::<f64>);
        let (Some(Ok(user)), Some(Ok(item)), Some(Ok(part))) =
            (fields.next(), fields.next(), fields.next())
        else {
            return Err(format!("{path}: not three numbers: {line:?}").into());
        };
        n_users = n_users.max(user as usize + 1);
        n_items = n_items.max(item as usize + 1);
        if part == 0.0 {
            pairs.push((user as u32, item as u32));
        }
    }
    Ok(Interactions::from_pairs(n_users, n_items, pairs)?)
}

/// Time that the processor spent on all threads of this process, in hundredths of a second; 0
/// where the system does not say.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program, in brackets, may hold spaces; times are fields 14 and 15.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11);
    fields.take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Most memory that this process held, in MB; 0 where the system does not say.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|l| l.trim().trim_end_matches(" kB").trim().parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) / 1000.0
}

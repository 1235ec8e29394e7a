//! Cross-validation of one rating model, as one process, for comparison with other tools.
//!
//! ```text
//! rating cv FILE MODEL PARAMS SEED [PREDICTIONS]
//! ```
//!
//! FILE has a line a rating, by user, then item: the positions of both, the rating, and its fold,
//! separated by tabs. Prints one JSON object: errors and seconds of every fold, and peak memory;
//! writes the predictions, a line each, where a file for them is named. Seconds are processor
//! time of all threads where the system tells it (Linux), so that what else the machine does
//! counts for little.
//! `benches/peers/surprise_models.py` runs it beside Surprise.

// The output of a program.
#![allow(clippy::print_stdout)]

use std::fmt::Write;
use std::time::Instant;

use quintet_cf::rating::{cross_validate_by, deal_folds};
use quintet_core::{Interactions, ItemIdx, Registry, SeedStream, Triplet, UserIdx};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["cv", file, model, params, seed] => run(file, model, params, seed.parse()?, None),
        ["cv", file, model, params, seed, out] => {
            run(file, model, params, seed.parse()?, Some(out))
        }
        // `cargo bench` without arguments: a small one, to see that it works.
        _ => {
            let pairs = (0..200u32).flat_map(|u| (0..100).map(move |i| (u, i)));
            let cell = |(u, i): (u32, u32)| Triplet {
                user: UserIdx(u),
                item: ItemIdx(i),
                value: ((u % 3 + i % 3) % 5 + 1) as f32,
            };
            let pairs = pairs.filter(|(u, i)| (7 * u + 3 * i) % 4 > 0);
            let ratings = Interactions::from_triplets(200, 100, pairs.map(cell))?;
            let folds = deal_folds(&ratings, 5, SeedStream::new(1));
            cross(&ratings, &folds, ("svd", "null", 1), None)
        }
    }
}

fn run(file: &str, model: &str, params: &str, seed: u64, out: Option<&str>) -> Result<(), Failure> {
    let (mut cells, mut folds) = (Vec::new(), Vec::new());
    let (mut n_users, mut n_items) = (0, 0);
    for (line, text) in std::fs::read_to_string(file)?.lines().enumerate() {
        let fields: Vec<&str> = text.split('\t').collect();
        let &[user, item, value, fold] = fields.as_slice() else {
            return Err(format!("{file}, line {}: expected 4 fields", line + 1).into());
        };
        let (user, item) = (UserIdx(user.parse()?), ItemIdx(item.parse()?));
        n_users = n_users.max(user.index() + 1);
        n_items = n_items.max(item.index() + 1);
        cells.push(Triplet { user, item, value: value.parse()? });
        folds.push(fold.parse()?);
    }
    let ratings = Interactions::from_sorted(n_users, n_items, cells.len(), cells)?;
    cross(&ratings, &folds, (model, params, seed), out)
}

fn cross(
    ratings: &Interactions,
    folds: &[u32],
    (model, params, seed): (&str, &str, u64),
    out: Option<&str>,
) -> Result<(), Failure> {
    let mut registry = Registry::new("rating model");
    quintet_cf::register_rating(&mut registry)?;
    let fit = (registry.get(model)?.build)(&serde_json::from_str(params)?)?;
    let begin = Instant::now();
    let clock = || processor_seconds().unwrap_or_else(|| begin.elapsed().as_secs_f64());
    let found = cross_validate_by(&*fit, ratings, folds, SeedStream::new(seed), &clock)?;
    if let Some(out) = out {
        let mut text = String::new();
        for p in &found.predictions {
            writeln!(text, "{}", p.value)?;
        }
        std::fs::write(out, text)?;
    }
    let mut printed = serde_json::to_value(&found)?;
    printed["peak_mb"] = peak_mb().into();
    println!("{printed}");
    Ok(())
}

/// Peak resident memory, where the system tells it.
fn peak_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1000.0)
}

/// Processor time of all threads, in steps of a hundredth of a second.
fn processor_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold spaces; user and system time are 12 and 13 fields behind.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / 100.0)
}

//! Fusion where the truth is known: every strategy on every world, against the best possible.
//!
//! ```sh
//! cargo bench --profile dev --bench fusion -- [--seeds N] [--only TEXT] [--json FILE] [--plot FILE.svg] [--done LOG]
//! cargo bench --profile dev --bench fusion -- --speed FILE.json [--only TEXT]
//! ```
//!
//! The worlds are in `worlds.rs`, what is trained and how in `learn.rs`. A cell is the R² on items
//! that are new to the model, as a share of the R² of somebody who knows the world and sees the
//! same features: 100 is all there is, 0 is the mean. `±` is the standard deviation over seeds;
//! seeds draw another world, another start and another order. The same settings for all: nothing
//! is tuned. Cells go to standard error as they end; `--done` takes those of an earlier run from
//! such a file instead of computing them again. `--speed` writes the time of a forward and a
//! backward pass of each layer instead, for `benches/peers/fusion.py`.
#![allow(clippy::print_stdout, clippy::print_stderr)] // a program that talks to its user

#[path = "../../crates/quintet-cli/src/allocator.rs"]
mod allocator;
mod decide;
mod learn;
mod plot;
mod speed;
mod strategies;
mod worlds;

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use quintet::core::SeedStream;
use rayon::prelude::*;
use serde_json::json;

use learn::{Parts, r2, rows};
use strategies::Strategy;
use worlds::{Kind, World, draw};

#[derive(Debug, Default)]
struct Options {
    seeds: u64,
    only: Option<String>,
    json: Option<PathBuf>,
    plot: Option<PathBuf>,
    speed: Option<PathBuf>,
    done: Option<PathBuf>,
}

impl Options {
    fn parse() -> Result<Self> {
        let mut options = Self { seeds: 5, ..Self::default() };
        let mut words = std::env::args().skip(1).filter(|w| w != "--bench");
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value"));
            match word.as_str() {
                "--seeds" => options.seeds = value()?.parse()?,
                "--only" => options.only = Some(value()?),
                "--json" => options.json = Some(value()?.into()),
                "--plot" => options.plot = Some(value()?.into()),
                "--done" => options.done = Some(value()?.into()),
                "--speed" => options.speed = Some(value()?.into()),
                _ => bail!("unknown option {word}"),
            }
        }
        Ok(options)
    }
}

/// The table: a row a strategy, a column a world, a number a seed.
pub(crate) struct Table {
    /// Names of the strategies.
    pub(crate) strategies: Vec<String>,
    /// Trained numbers of each, in the first world.
    pub(crate) parameters: Vec<Option<usize>>,
    /// `[strategy][world][seed]`, percent of the best; empty where a strategy says nothing.
    pub(crate) cells: Vec<Vec<Vec<f64>>>,
    /// `[world]`: mean R² of the best.
    pub(crate) best: Vec<f64>,
}

fn main() -> Result<()> {
    allocator::keep_freed_memory();
    let options = Options::parse()?;
    if let Some(path) = &options.speed {
        return speed::measure(path, options.only.as_deref());
    }
    let table = run(&options)?;
    print!("{}", markdown(&table));
    if let Some(path) = &options.json {
        let worlds: Vec<String> = Kind::ALL.into_iter().map(Kind::title).collect();
        let all = json!({
            "worlds": worlds, "best": table.best, "strategies": table.strategies,
            "parameters": table.parameters, "percent": table.cells,
        });
        std::fs::write(path, serde_json::to_vec_pretty(&all)?)?;
    }
    if let Some(path) = &options.plot {
        plot::draw(&table, path)?;
    }
    Ok(())
}

fn run(options: &Options) -> Result<Table> {
    let chosen: Vec<Strategy> = strategies::all()?
        .into_iter()
        .filter(|s| options.only.as_ref().is_none_or(|text| s.name().contains(text.as_str())))
        .collect();
    let worlds: Vec<Vec<World>> = Kind::ALL
        .iter()
        .map(|&kind| {
            (0..options.seeds).map(|s| draw(kind, Parts::ITEMS, SeedStream::new(100 + s))).collect()
        })
        .collect::<Result<_>>()?;
    let jobs: Vec<(usize, usize, usize)> = (0..chosen.len())
        .flat_map(|s| (0..Kind::ALL.len()).map(move |w| (s, w)))
        .filter(|&(s, w)| chosen[s].suits(Kind::ALL[w]))
        .flat_map(|(s, w)| (0..options.seeds as usize).map(move |seed| (s, w, seed)))
        .collect();
    let parts = Parts::new();
    let done = match &options.done {
        Some(path) => std::fs::read_to_string(path)?,
        None => String::new(),
    };
    let known = |head: &str| -> Option<f64> {
        done.lines().find_map(|line| line.strip_prefix(head)?.trim().parse().ok())
    };
    let run =
        |&(s, w, seed): &(usize, usize, usize)| -> Result<(usize, usize, f64, Option<usize>)> {
            let world = &worlds[w][seed];
            let head = format!("{}, {}, seed {seed}:", chosen[s].name(), Kind::ALL[w].title());
            if let Some(percent) = known(&head) {
                return Ok((s, w, percent, None));
            }
            let learned = chosen[s]
                .learn(world, &parts, SeedStream::new(7 + seed as u64))
                .with_context(|| format!("{} in {}", chosen[s].name(), Kind::ALL[w].title()))?;
            let truth = rows(&world.targets, &parts.test)?;
            let percent = 100.0 * r2(&rows(&learned.0, &parts.test)?, &truth)
                / r2(&rows(&world.best, &parts.test)?, &truth);
            eprintln!("{head} {percent:.1}");
            std::io::stderr().flush()?;
            Ok((s, w, percent, learned.1))
        };
    let results: Vec<_> = jobs.par_iter().map(run).collect::<Result<_>>()?;
    let mut cells = vec![vec![Vec::new(); Kind::ALL.len()]; chosen.len()];
    let mut parameters = vec![None; chosen.len()];
    for (s, w, percent, count) in results {
        cells[s][w].push(percent);
        parameters[s] = parameters[s].or(count);
    }
    let best =
        worlds.iter().map(|of| mean(&of.iter().map(|w| ceiling(w, &parts)).collect::<Vec<_>>()));
    let best = best.collect();
    Ok(Table { strategies: chosen.iter().map(Strategy::name).collect(), parameters, cells, best })
}

fn ceiling(world: &World, parts: &Parts) -> f64 {
    match (rows(&world.best, &parts.test), rows(&world.targets, &parts.test)) {
        (Ok(best), Ok(truth)) => r2(&best, &truth),
        _ => f64::NAN,
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn spread(values: &[f64]) -> f64 {
    let m = mean(values);
    (values.iter().map(|v| (v - m).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0).max(1.0))
        .sqrt()
}

/// The table as Markdown; the best of a column and what lies within its spread is bold.
fn markdown(table: &Table) -> String {
    let n = Kind::ALL.len();
    let top = |w: usize| -> f64 {
        let of = table.cells.iter().filter(|row| !row[w].is_empty());
        of.map(|row| mean(&row[w]) - spread(&row[w])).fold(f64::NEG_INFINITY, f64::max)
    };
    let tops: Vec<f64> = (0..n).map(top).collect();
    let mut text = String::from("| strategy | parameters |");
    Kind::ALL.iter().for_each(|k| text += &format!(" {} |", k.title()));
    text += &format!("\n|{}\n", "---|".repeat(n + 2));
    for ((name, count), row) in table.strategies.iter().zip(&table.parameters).zip(&table.cells) {
        let count = count.map_or_else(String::new, |c| c.to_string());
        text += &format!("| {name} | {count} |");
        for (cell, top) in row.iter().zip(&tops) {
            if cell.is_empty() {
                text += " |";
                continue;
            }
            let (m, s) = (mean(cell), spread(cell));
            let bold = if m >= *top { "**" } else { "" };
            text += &format!(" {bold}{m:.1}{bold} ±{s:.1} |");
        }
        text.push('\n');
    }
    text += "| R² of the best | |";
    table.best.iter().for_each(|b| text += &format!(" {b:.3} |"));
    text.push('\n');
    text
}

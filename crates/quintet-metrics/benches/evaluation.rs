//! The evaluator on data from a folder: a factor model, or given lists.
//!
//! `benches/peers/evaluation.py` at the root of the repository writes the folder and runs this
//! program beside other libraries:
//!
//! ```sh
//! cargo bench --profile dev -p quintet-metrics --bench evaluation -- scores DIR METRICS REPEATS
//! ```
//!
//! `DIR` holds `shape` (users, items, width of the factors, length of the lists) and little-endian
//! numbers: `users.f32` and `items.f32`, row by row, `seen.u32` and `truth.u32`, pairs of user and
//! item, and `lists.u32`, a list for each user. `METRICS` are names with commas between. One line
//! of JSON comes out: the seconds of each call and those of all its threads on a processor, the peak
//! memory of the whole process in MB (Linux) and the means.

#![allow(clippy::print_stdout, reason = "the script reads it")]

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

use quintet_core::{
    Capability, Factors, Held, Interactions, ItemIdx, Matrix, ModelState, Recommender, ScoreError,
    Test, UserIdx,
};
use quintet_metrics::{EvalConfig, Evaluation, Evaluator, registry};

const CUTOFFS: [usize; 3] = [5, 10, 20];

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().filter(|arg| arg != "--bench").skip(1).collect();
    let [what, dir, metrics, repeats] = &args[..] else {
        println!("usage: evaluation scores|lists DIR METRICS REPEATS");
        return Ok(());
    };
    let dir = Path::new(dir);
    let shape: Vec<usize> = fs::read_to_string(dir.join("shape"))?
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let [n_users, n_items, dim, width] = shape[..] else { return Err("shape: 4 numbers".into()) };
    let metrics = metrics.split(',').map(str::to_owned).collect();
    let evaluator =
        Evaluator::new(&EvalConfig { cutoffs: CUTOFFS.to_vec(), metrics }, &registry()?)?;
    let held = Held::<Test>::new(interactions(&dir.join("truth.u32"), n_users, n_items)?);
    let (mut seconds, mut busy) = (Vec::new(), Vec::new());
    let mut result = None;
    if what == "scores" {
        let model = Model {
            users: matrix(&dir.join("users.f32"), n_users, dim)?,
            items: matrix(&dir.join("items.f32"), n_items, dim)?,
            bias: vec![0.0; n_items],
        };
        let seen = interactions(&dir.join("seen.u32"), n_users, n_items)?;
        for _ in 0..repeats.parse::<usize>()? {
            let (start, before) = (Instant::now(), cpu_seconds());
            result = Some(evaluator.evaluate(&model, &held, &seen)?);
            seconds.push(start.elapsed().as_secs_f64());
            busy.push(cpu_seconds() - before);
        }
    } else {
        let lists = words(&dir.join("lists.u32"))?;
        let lists: Vec<Vec<ItemIdx>> = lists
            .chunks_exact(width)
            .map(|list| list.iter().copied().map(ItemIdx).collect())
            .collect();
        for _ in 0..repeats.parse::<usize>()? {
            let (start, before) = (Instant::now(), cpu_seconds());
            result = Some(evaluator.evaluate_lists(&lists, &held)?);
            seconds.push(start.elapsed().as_secs_f64());
            busy.push(cpu_seconds() - before);
        }
    }
    let means = result.as_ref().map(Evaluation::means);
    let line = serde_json::json!({
        "seconds": seconds, "cpu": busy, "peak_mb": peak_mb(), "means": means
    });
    println!("{line}");
    Ok(())
}

struct Model {
    users: Matrix,
    items: Matrix,
    bias: Vec<f32>,
}

impl Recommender for Model {
    fn name(&self) -> &str {
        "factors"
    }

    fn n_users(&self) -> usize {
        self.users.rows()
    }

    fn n_items(&self) -> usize {
        self.items.rows()
    }

    fn capability(&self) -> Capability {
        Capability::personal()
    }

    fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError> {
        out.reset(users.len(), self.n_items());
        for (row, user) in users.iter().enumerate() {
            for (item, score) in out.row_mut(row).iter_mut().enumerate() {
                let pairs = self.users.row(user.index()).iter().zip(self.items.row(item));
                *score = pairs.map(|(x, y)| x * y).sum();
            }
        }
        Ok(())
    }

    fn state(&self) -> ModelState {
        ModelState::new("factors")
    }

    fn factors(&self) -> Option<Factors<'_>> {
        Some(Factors { users: &self.users, items: &self.items, bias: &self.bias })
    }
}

fn words(path: &Path) -> Result<Vec<u32>, Box<dyn Error>> {
    let bytes = fs::read(path)?;
    let (words, _) = bytes.as_chunks::<4>();
    Ok(words.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect())
}

fn matrix(path: &Path, rows: usize, cols: usize) -> Result<Matrix, Box<dyn Error>> {
    let numbers = words(path)?.into_iter().map(f32::from_bits).collect();
    Ok(Matrix::from_vec(rows, cols, numbers)?)
}

fn interactions(
    path: &Path,
    n_users: usize,
    n_items: usize,
) -> Result<Interactions, Box<dyn Error>> {
    let words = words(path)?;
    let (pairs, _) = words.as_chunks::<2>();
    Ok(Interactions::from_pairs(n_users, n_items, pairs.iter().map(|[user, item]| (*user, *item)))?)
}

/// How long the threads of this process have been on a processor; 0 where nobody says.
fn cpu_seconds() -> f64 {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return 0.0 };
    let nanoseconds = tasks.flatten().filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1e9
}

/// The most memory that the process ever held.
fn peak_mb() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / 1000.0)
}

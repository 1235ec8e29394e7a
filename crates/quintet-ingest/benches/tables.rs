//! From a table of interactions to a split, as one process, for comparison with other tools.
//!
//! ```text
//! tables generate DIR ROWS     writes DIR/ROWS.csv and DIR/ROWS.parquet
//! tables run FILE              reads one, takes the 5-core and splits it by time
//! ```
//!
//! `run` prints one JSON object: seconds of each step, peak memory, and counts that every tool
//! must agree on. `benches/peers/tables.py` runs it beside pandas and polars.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow_array::{ArrayRef, Float32Array, Int64Array, RecordBatch};
use parquet::arrow::ArrowWriter;
use quintet_core::SeedStream;
use quintet_data::{ShapeConfig, SplitConfig, shape, split};
use quintet_ingest::{IngestConfig, InteractionColumns, TableFile, TablesConfig, ingest};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["generate", dir, rows] => generate(Path::new(dir), rows.parse()?),
        ["run", file] => run(Path::new(file)),
        // `cargo bench` without arguments: a small one, to see that it works.
        _ => {
            let dir = tempfile::tempdir()?;
            generate(dir.path(), 100_000)?;
            run(&dir.path().join("100000.csv"))?;
            run(&dir.path().join("100000.parquet"))
        }
    }
}

/// A number below `n` from a counter (SplitMix64).
fn draw(counter: u64, n: u64) -> u64 {
    let mut z = counter.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % n
}

/// One row: 50 events a user on average, popular items and active users much more often, in the
/// order of time.
fn row(at: u64, rows: u64) -> (i64, i64, f32, i64) {
    let (users, items) = ((rows / 50).max(10), (rows / 400).max(100));
    // The product of two uniform draws leans towards 0: many users and items are rare.
    let skewed = |salt: u64, n: u64| {
        let a = draw(4 * at + salt, 1 << 30) as f64 / (1u64 << 30) as f64;
        let b = draw(4 * (at + rows) + salt, 1 << 30) as f64 / (1u64 << 30) as f64;
        ((a * b * n as f64) as u64).min(n - 1)
    };
    // Ids that look like ids, not like positions.
    let user = 1_000_000 + 7 * skewed(0, users);
    let item = 10_000 + 13 * skewed(1, items);
    let value = 1.0 + draw(4 * at + 2, 9) as f32 / 2.0;
    let time = 1_500_000_000 + (at * 60_000_000 / rows) + draw(4 * at + 3, 3_600);
    (user as i64, item as i64, value, time as i64)
}

fn generate(dir: &Path, rows: u64) -> Result<(), Failure> {
    let mut csv = BufWriter::new(std::fs::File::create(dir.join(format!("{rows}.csv")))?);
    writeln!(csv, "user,item,rating,timestamp")?;
    let file = std::fs::File::create(dir.join(format!("{rows}.parquet")))?;
    let mut writer: Option<ArrowWriter<std::fs::File>> = None;
    let mut file = Some(file);
    for start in (0..rows).step_by(1 << 17) {
        let some: Vec<_> = (start..rows.min(start + (1 << 17))).map(|at| row(at, rows)).collect();
        for (user, item, value, time) in &some {
            writeln!(csv, "{user},{item},{value},{time}")?;
        }
        let whole = |f: fn(&(i64, i64, f32, i64)) -> i64| -> ArrayRef {
            Arc::new(some.iter().map(f).collect::<Int64Array>())
        };
        let batch = RecordBatch::try_from_iter([
            ("user", whole(|r| r.0)),
            ("item", whole(|r| r.1)),
            ("rating", Arc::new(some.iter().map(|r| r.2).collect::<Float32Array>()) as ArrayRef),
            ("timestamp", whole(|r| r.3)),
        ])?;
        if let Some(file) = file.take() {
            writer = Some(ArrowWriter::try_new(file, batch.schema(), None)?);
        }
        if let Some(writer) = &mut writer {
            writer.write(&batch)?;
        }
    }
    if let Some(writer) = writer {
        writer.close()?;
    }
    csv.flush()?;
    Ok(())
}

fn run(path: &Path) -> Result<(), Failure> {
    let (folder, name) = (path.parent().ok_or("no folder")?, path.file_name().ok_or("no name")?);
    let columns = InteractionColumns {
        value: Some("rating".into()),
        timestamp: Some("timestamp".into()),
        ..InteractionColumns::default()
    };
    let file =
        TableFile { path: name.to_string_lossy().into_owned(), columns, ..TableFile::default() };
    let tables = TablesConfig { interactions: vec![file], ..TablesConfig::default() };
    let config = IngestConfig { tables: Some(tables), ..IngestConfig::default() };
    let start = Instant::now();
    let mut data = ingest(&config, folder)?.dataset;
    let read = start.elapsed().as_secs_f64();
    let core = ShapeConfig { user_core: 5, item_core: 5, ..ShapeConfig::default() };
    let shaped = shape(&data, &core)?;
    let shaping = start.elapsed().as_secs_f64() - read;
    data.events = Default::default();
    let by_time = SplitConfig::Temporal { valid: 0.1, test: 0.1 };
    let (n_users, n_items) = (data.users.len(), data.items.len());
    let parts = split(&shaped.events, n_users, n_items, &by_time, SeedStream::new(1))?;
    let total = start.elapsed().as_secs_f64();
    let r = &parts.report;
    let (valid, test) = (r.valid.rows + r.dropped_valid, r.test.rows + r.dropped_test);
    let line = serde_json::json!({
        "tool": "quintet", "seconds": total, "read": read, "core": shaping,
        "split": total - read - shaping, "peak_mb": peak_mb(),
        "counts": [shaped.report.rows_in, shaped.report.rows_out, shaped.report.users_out,
            shaped.report.items_out, r.train.rows, valid, test],
    });
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}

/// Peak resident memory of this process, megabytes; 0 where it is not known.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kb = line.and_then(|l| l.trim().strip_suffix(" kB")).and_then(|n| n.parse::<f64>().ok());
    (kb.unwrap_or(0.0) / 100.0).round() / 10.0
}

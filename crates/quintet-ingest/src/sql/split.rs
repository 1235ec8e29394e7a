//! Splits by time, and those that a source brings, as queries: what `quintet_data::split` does,
//! on a table that may be larger than memory.

use quintet_data::{DataError, SplitConfig};

use super::engine::Engine;
use crate::IngestError;
use crate::report::DerivedSplit;

/// Puts the part of each event of a stored table, which goes, into its column `part`; gives the
/// table and how many rows are where. Held-out events of users without train are left out.
pub(super) fn split(
    engine: &mut Engine,
    events: &str,
    config: &SplitConfig,
) -> Result<(String, DerivedSplit), IngestError> {
    let counts =
        engine.numbers(&format!("SELECT count(*), count(timestamp), count(part) FROM {events}"))?;
    let (total, timed, labelled) = (counts[0] as usize, counts[1] as usize, counts[2] as usize);
    let strategy = config.strategy();
    let predefined = matches!(config, SplitConfig::Predefined {});
    if predefined && labelled < total {
        return Err(DataError::NoParts { missing: total - labelled, total }.into());
    }
    if !predefined && timed < total {
        let missing = total - timed;
        return Err(DataError::NoTimestamps { strategy, missing, total }.into());
    }
    let placed = match *config {
        SplitConfig::Temporal { valid, test } => temporal(engine, events, total, valid, test)?,
        SplitConfig::PerUserTemporal { valid, test } => {
            let floor = |share: f64, most: &str| {
                format!("least(CAST(floor(CAST(n AS DOUBLE) * {share} + 1e-9) AS BIGINT), {most})")
            };
            let in_test = floor(test, "n - 1");
            let in_valid = floor(valid, &format!("n - 1 - {in_test}"));
            by_time(events, &in_valid, &in_test)
        }
        SplitConfig::LeaveOneOut {} => {
            let one = "CASE WHEN n < 3 THEN 0 ELSE 1 END";
            by_time(events, one, one)
        }
        // `SqlDerive::validate` lets no other through.
        _ => format!("SELECT {OTHERS}, part FROM {events}"),
    };
    let placed = engine.store(&placed)?;
    engine.forget(events)?;
    drop_users_without_train(engine, &placed, strategy)
}

/// All columns but the part.
const OTHERS: &str = r#""user", "item", value, timestamp, event"#;

/// The query that holds out the last events of every user by time, then item; `in_valid` and
/// `in_test` say how many of their `n`.
///
/// A place counted from both ends says how many there are, without a join.
fn by_time(events: &str, in_valid: &str, in_test: &str) -> String {
    format!(
        r#"SELECT {OTHERS}, CASE WHEN back <= {in_test} THEN 'test'
            WHEN back <= {in_test} + {in_valid} THEN 'valid' ELSE 'train' END AS part
        FROM (SELECT {OTHERS}, back, back + front - 1 AS n FROM (SELECT {OTHERS},
            CAST(row_number() OVER (PARTITION BY "user" ORDER BY timestamp DESC, "item" DESC)
                AS BIGINT) AS back,
            CAST(row_number() OVER (PARTITION BY "user" ORDER BY timestamp, "item")
                AS BIGINT) AS front
            FROM {events}) AS _ranked) AS _counted"#
    )
}

/// The query that holds out the last events of all.
fn temporal(
    engine: &Engine,
    events: &str,
    n: usize,
    valid: f64,
    test: f64,
) -> Result<String, IngestError> {
    let rounded = |share: f64| (n as f64 * share).round() as usize;
    let n_test = rounded(test);
    let n_valid = rounded(valid).min(n - n_test);
    let from = |time: Option<i64>| match time {
        Some(time) => format!("timestamp >= {time}"),
        None => "FALSE".to_owned(),
    };
    let valid_from = from(first_time(engine, events, n, n - n_test - n_valid)?);
    let test_from = from(first_time(engine, events, n, n - n_test)?);
    Ok(format!(
        "SELECT {OTHERS}, CASE WHEN {test_from} THEN 'test' WHEN {valid_from} THEN 'valid' \
         ELSE 'train' END AS part FROM {events}"
    ))
}

/// The first time of a part that should begin at `target` in the order of time: the change of
/// time that is nearest to it; of two equally near ones, the earlier.
fn first_time(
    engine: &Engine,
    events: &str,
    n: usize,
    target: usize,
) -> Result<Option<i64>, IngestError> {
    if target >= n {
        return Ok(None);
    }
    let found = engine.numbers(&format!(
        "SELECT timestamp, CAST(upto - here AS BIGINT), CAST(upto AS BIGINT) FROM (\
         SELECT timestamp, here, sum(here) OVER (ORDER BY timestamp ROWS BETWEEN UNBOUNDED \
         PRECEDING AND CURRENT ROW) AS upto FROM (SELECT timestamp, count(*) AS here \
         FROM {events} GROUP BY timestamp) AS _times) AS _running \
         WHERE upto > {target} ORDER BY timestamp LIMIT 1"
    ))?;
    let [time, before, after] = found[..] else { return Ok(None) };
    let target = target as i64;
    if target - before <= after - target {
        return Ok(Some(time));
    }
    let next = engine.numbers(&format!(
        "SELECT count(*), min(timestamp) FROM {events} WHERE timestamp > {time}"
    ))?;
    Ok(Some(next[1]).filter(|_| next[0] > 0))
}

fn drop_users_without_train(
    engine: &mut Engine,
    placed: &str,
    strategy: &'static str,
) -> Result<(String, DerivedSplit), IngestError> {
    let known = format!(r#""user" IN (SELECT "user" FROM {placed} WHERE part = 'train')"#);
    let count = |engine: &Engine, table: &str| -> Result<[u64; 3], IngestError> {
        let counts = engine.counts(table, "part")?;
        let of = |part: &str| counts.iter().find(|c| c.0 == part).map_or(0, |c| c.1 as u64);
        Ok(["train", "valid", "test"].map(of))
    };
    let [train, all_valid, all_test] = count(engine, placed)?;
    if train == 0 {
        let n = all_valid + all_test;
        let why = format!("of {n} events, {all_valid} are valid and {all_test} test");
        return Err(DataError::EmptyTrain { strategy, why }.into());
    }
    let left = engine.store(&format!("SELECT * FROM {placed} WHERE {known}"))?;
    engine.forget(placed)?;
    let [_, valid, test] = count(engine, &left)?;
    let counts = DerivedSplit {
        strategy: strategy.to_owned(),
        train,
        valid,
        test,
        dropped_valid: all_valid - valid,
        dropped_test: all_test - test,
    };
    Ok((left, counts))
}

//! `quintet_data::shape` as queries: the same steps in the same order, on tables that may be
//! larger than memory.

use std::collections::BTreeSet;

use quintet_data::{DataError, ShapeConfig, ShapeReport};

use super::engine::Engine;
use super::relation::literal;
use crate::IngestError;

/// Shapes a stored table of events, which goes; gives the table of what is left.
pub(super) fn shape(
    engine: &mut Engine,
    events: &str,
    config: &ShapeConfig,
    report: &mut ShapeReport,
) -> Result<String, IngestError> {
    let kinds = engine.counts(events, "event")?;
    let known: BTreeSet<&str> = kinds.iter().map(|(kind, _)| kind.as_str()).collect();
    config.check(&known)?;
    report.rows_in = kinds.iter().map(|(_, n)| *n as usize).sum();
    let kept = filter(engine, events, config, report)?;
    let mut pairs = merge_repeats(engine, events, &kept, report)?;
    engine.forget(events)?;
    if let Some(max) = config.max_per_user {
        pairs = keep_latest(engine, pairs, max, report)?;
    }
    pairs = k_core(engine, pairs, config, report)?;
    let counts = engine.numbers(&format!(
        "SELECT count(*), coalesce(sum(CASE WHEN value = 1 THEN 0 ELSE 1 END), 0) FROM {pairs}"
    ))?;
    report.rows_out = counts[0] as usize;
    report.users_out = distinct(engine, &pairs, USER)?;
    report.items_out = distinct(engine, &pairs, ITEM)?;
    if config.binary {
        report.made_binary = counts[1] as usize;
        let binary = engine.store(&format!(
            "SELECT {USER}, {ITEM}, CAST(1 AS REAL) AS value, timestamp, event, part FROM {pairs}"
        ))?;
        engine.forget(&pairs)?;
        pairs = binary;
    }
    Ok(pairs)
}

/// The columns of the two sides, quoted because `user` is a word of SQL.
const USER: &str = "\"user\"";
const ITEM: &str = "\"item\"";

/// The condition of the asked kinds of events and values.
fn filter(
    engine: &Engine,
    events: &str,
    config: &ShapeConfig,
    report: &mut ShapeReport,
) -> Result<String, IngestError> {
    let asked = match &config.events {
        None => "TRUE".to_owned(),
        Some(kinds) => {
            let kinds: Vec<String> = kinds.iter().map(|kind| literal(kind)).collect();
            format!("event IN ({})", kinds.join(", "))
        }
    };
    // A threshold in 32 bits, as the values are.
    let large = match config.min_value {
        None => "TRUE".to_owned(),
        Some(min) => format!("value >= CAST({min} AS REAL)"),
    };
    let counts = engine.numbers(&format!(
        "SELECT coalesce(sum(CASE WHEN {asked} THEN 0 ELSE 1 END), 0), \
         coalesce(sum(CASE WHEN {asked} AND NOT ({large}) THEN 1 ELSE 0 END), 0) FROM {events}"
    ))?;
    (report.other_event, report.below_min_value) = (counts[0] as usize, counts[1] as usize);
    Ok(format!("{asked} AND {large}"))
}

/// One row a user and item: the largest value with its kind, and the earliest time.
///
/// The rows of a pair are ordered so that the one that stays is the last; the smallest time so
/// far is then that of all of them. So one sort does, and nothing is held but the row before.
fn merge_repeats(
    engine: &mut Engine,
    events: &str,
    kept: &str,
    report: &mut ShapeReport,
) -> Result<String, IngestError> {
    let window = format!(
        "(PARTITION BY {USER}, {ITEM} ORDER BY value, event DESC, part DESC NULLS FIRST \
         ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    );
    let pairs = engine.store(&format!(
        "SELECT {USER}, {ITEM}, value, first AS timestamp, event, part FROM (\
         SELECT {USER}, {ITEM}, value, event, part, min(timestamp) OVER {window} AS first, \
         lead(event) OVER {window} AS later FROM {events} WHERE {kept}) AS _ordered \
         WHERE later IS NULL"
    ))?;
    let left = report.rows_in - report.other_event - report.below_min_value;
    report.merged_repeats = left - rows(engine, &pairs)?;
    Ok(pairs)
}

fn keep_latest(
    engine: &mut Engine,
    pairs: String,
    max: usize,
    report: &mut ShapeReport,
) -> Result<String, IngestError> {
    let total = rows(engine, &pairs)?;
    let untimed = format!("SELECT count(*) FROM {pairs} WHERE timestamp IS NULL");
    match engine.number(&untimed)? as usize {
        0 => {}
        missing => return Err(DataError::NoTimes { what: "max_per_user", missing, total }.into()),
    }
    report.users_capped = engine.number(&format!(
        "SELECT count(*) FROM (SELECT {USER} FROM {pairs} GROUP BY {USER} \
         HAVING count(*) > {max}) AS _capped"
    ))? as usize;
    let latest = engine.store(&format!(
        "SELECT {USER}, {ITEM}, value, timestamp, event, part FROM (SELECT *, row_number() OVER \
         (PARTITION BY {USER} ORDER BY timestamp DESC, {ITEM} DESC) AS back FROM {pairs}) AS _all \
         WHERE back <= {max}"
    ))?;
    report.over_max_per_user = total - rows(engine, &latest)?;
    engine.forget(&pairs)?;
    Ok(latest)
}

/// Peels users and items with too few pairs until none is left: a loop of small plans, each of
/// which writes what stays.
fn k_core(
    engine: &mut Engine,
    mut pairs: String,
    config: &ShapeConfig,
    report: &mut ShapeReport,
) -> Result<String, IngestError> {
    if config.user_core <= 1 && config.item_core <= 1 {
        return Ok(pairs);
    }
    let before = (distinct(engine, &pairs, USER)?, distinct(engine, &pairs, ITEM)?);
    loop {
        let (by_users, left) = peel(engine, pairs, USER, config.user_core)?;
        let (by_items, left) = peel(engine, left, ITEM, config.item_core)?;
        pairs = left;
        if by_users + by_items == 0 {
            break;
        }
        report.dropped_by_core_users += by_users;
        report.dropped_by_core_items += by_items;
        report.core_rounds += 1;
    }
    report.users_dropped = before.0 - distinct(engine, &pairs, USER)?;
    report.items_dropped = before.1 - distinct(engine, &pairs, ITEM)?;
    Ok(pairs)
}

/// Takes away the pairs of those on one side who have too few; gives how many pairs went.
fn peel(
    engine: &mut Engine,
    pairs: String,
    side: &str,
    core: usize,
) -> Result<(usize, String), IngestError> {
    if core <= 1 {
        return Ok((0, pairs));
    }
    let taken = engine.number(&format!(
        "SELECT CAST(coalesce(sum(n), 0) AS BIGINT) FROM (SELECT count(*) AS n FROM {pairs} \
         GROUP BY {side} HAVING count(*) < {core}) AS _weak"
    ))? as usize;
    if taken == 0 {
        return Ok((0, pairs));
    }
    let left = engine.store(&format!(
        "SELECT * FROM {pairs} WHERE {side} IN (SELECT {side} FROM {pairs} GROUP BY {side} \
         HAVING count(*) >= {core})"
    ))?;
    engine.forget(&pairs)?;
    Ok((taken, left))
}

fn rows(engine: &Engine, table: &str) -> Result<usize, IngestError> {
    Ok(engine.number(&format!("SELECT count(*) FROM {table}"))? as usize)
}

fn distinct(engine: &Engine, table: &str, side: &str) -> Result<usize, IngestError> {
    let groups = format!("SELECT {side} FROM {table} GROUP BY {side}");
    Ok(engine.number(&format!("SELECT count(*) FROM ({groups}) AS _groups"))? as usize)
}

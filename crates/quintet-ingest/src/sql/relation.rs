//! The rows of a query as events: the columns that the other steps rely on, and which rows are
//! none.

use std::collections::BTreeMap;

use arrow_schema::DataType;

use super::engine::Engine;
use crate::IngestError;
use crate::config::{IngestConfig, InteractionColumns, TimeUnit};
use crate::config_sql::SqlDerive;
use crate::log::{Flaw, Log};
use crate::parse::LATEST;
use crate::report::{DerivedReport, FaultCode};

/// What a row can lack, in the order in which it is asked; the number in the column `flaw` is
/// the position here, from 1.
const FLAWS: [(FaultCode, &str); 8] = [
    (FaultCode::EmptyId, "the id of a user and of an item"),
    (FaultCode::NulInId, "an id without NUL bytes"),
    (FaultCode::BadNumber, "a number"),
    (FaultCode::NotFinite, "a finite value"),
    (FaultCode::BadTimestamp, "a time from 1970 to 2200"),
    (FaultCode::TimeOutOfRange, "a time from `not_before` to `not_after`"),
    (FaultCode::EmptyEvent, "the kind of event"),
    (FaultCode::BadPart, "train, valid or test, or 0, 1 or 2"),
];

/// Stores the events of a derived table; gives its name and a report that has the rows without
/// an event.
pub(super) fn events(
    engine: &mut Engine,
    derive: &SqlDerive,
    config: &IngestConfig,
    log: &mut Log,
) -> Result<(String, DerivedReport), IngestError> {
    let what = format!("sql.derive {:?}", derive.name);
    let query = derive.query.trim().trim_end_matches(';');
    let kinds = column_kinds(engine, &what, query)?;
    let columns = Columns { what: &what, kinds: &kinds, columns: &derive.columns };
    let all = engine.store(&columns.select(config, query)?)?;
    let mut report = DerivedReport { name: derive.name.clone(), ..DerivedReport::default() };
    for (flaw, n) in engine.counts(&all, "flaw")? {
        report.rows_in += n as u64;
        let Some((code, expected)) = flaw_of(&flaw) else { continue };
        report.left_out.insert(code, n as u64);
        let flaw = Flaw::new(code, expected, format!("{n} rows without, left out"));
        log.note_file(what.clone(), None, flaw)?;
        // The note counts as one.
        *log.counts.entry(code).or_default() += n as usize - 1;
    }
    let good = engine.store(&format!(
        r#"SELECT "user", "item", value, timestamp, event, part FROM {all} WHERE flaw = 0"#
    ))?;
    engine.forget(&all)?;
    Ok((good, report))
}

fn flaw_of(number: &str) -> Option<(FaultCode, &'static str)> {
    let unweighted = (FaultCode::UnweightedEvent, "an event that has a weight");
    match number.parse::<usize>() {
        Ok(0) | Err(_) => None,
        Ok(n) => Some(FLAWS.get(n - 1).copied().unwrap_or(unweighted)),
    }
}

/// The names and types of the columns of a query.
fn column_kinds(
    engine: &Engine,
    what: &str,
    query: &str,
) -> Result<BTreeMap<String, DataType>, IngestError> {
    let frame = engine.plan(what, query)?;
    let fields = frame.schema().fields().iter();
    Ok(fields.map(|f| (f.name().clone(), f.data_type().clone())).collect())
}

/// The columns of a query and what they mean.
struct Columns<'a> {
    what: &'a str,
    kinds: &'a BTreeMap<String, DataType>,
    columns: &'a InteractionColumns,
}

impl Columns<'_> {
    /// The query that makes events of the rows, those with a flaw included.
    fn select(&self, config: &IngestConfig, query: &str) -> Result<String, IngestError> {
        let clock = config.clock(self.columns.time_unit)?;
        let (user, item) = (self.id(&self.columns.user)?, self.id(&self.columns.item)?);
        let number = self.number()?;
        let time = self.time()?;
        let event = self.event()?;
        let part = self.part()?;
        let weight = self.weight();
        let no_time = match (&self.columns.timestamp, self.columns.optional_timestamp) {
            (None, _) => "FALSE".to_owned(),
            (Some(_), true) => "_time IS NULL AND NOT _blank_time".to_owned(),
            (Some(_), false) => "_time IS NULL".to_owned(),
        };
        let blank_time = self.columns.timestamp.as_ref();
        let blank_time = blank_time.map_or("TRUE".to_owned(), |name| self.is_blank(name, name));
        let (user_kind, item_kind) = (&self.columns.user, &self.columns.item);
        Ok(format!(
            r#"SELECT "user", "item", CAST(_weight * _number AS REAL) AS value,
                _time AS timestamp, _event AS event, nullif(_part, '?') AS part,
                CASE WHEN {blank_user} OR {blank_item} THEN 1
                WHEN {nul_user} OR {nul_item} THEN 2
                WHEN _number IS NULL THEN 3
                WHEN NOT {finite_number} THEN 4
                WHEN {no_time} OR _time < 0 OR _time > {LATEST} THEN 5
                WHEN _time < {earliest} OR _time > {latest} THEN 6
                WHEN _event IS NULL OR _event = '' THEN 7
                WHEN _part = '?' THEN 8
                WHEN _weight IS NULL THEN 9
                WHEN NOT {finite_value} THEN 4
                ELSE 0 END AS flaw
            FROM (SELECT *, {weight} AS _weight FROM (
                SELECT {user} AS "user", {item} AS "item", {number} AS _number,
                    {time} AS _time, {event} AS _event, {part} AS _part,
                    {blank_time} AS _blank_time
                FROM ({query}) AS _source) AS _cells) AS _rows"#,
            blank_user = self.is_blank("user", user_kind),
            blank_item = self.is_blank("item", item_kind),
            nul_user = self.has_nul("user", user_kind),
            nul_item = self.has_nul("item", item_kind),
            finite_number = finite("_number"),
            finite_value = finite("_weight * _number"),
            earliest = clock.earliest,
            latest = clock.latest,
        ))
    }

    fn kind(&self, name: &str) -> Result<&DataType, IngestError> {
        self.kinds.get(name).ok_or_else(|| IngestError::MissingColumn {
            file: self.what.to_owned(),
            column: name.to_owned(),
            found: self.kinds.keys().cloned().collect(),
        })
    }

    fn wrong_kind(&self, name: &str, kind: &DataType) -> IngestError {
        IngestError::ColumnType {
            file: self.what.to_owned(),
            column: name.to_owned(),
            found: kind.to_string(),
        }
    }

    /// An id keeps its type, so that numbers are compared as numbers.
    fn id(&self, name: &str) -> Result<String, IngestError> {
        match self.kind(name)? {
            kind if is_text(kind) || kind.is_integer() => Ok(quoted(name)),
            kind => Err(self.wrong_kind(name, kind)),
        }
    }

    fn text_of(&self, name: &str) -> bool {
        self.kinds.get(name).is_some_and(is_text)
    }

    /// Whether the cell of a column, under the name it has by now, shows nothing.
    fn is_blank(&self, column: &str, name: &str) -> String {
        let column = quoted(column);
        match self.text_of(name) {
            true => format!("({column} IS NULL OR {} = '')", trimmed(&column)),
            false => format!("{column} IS NULL"),
        }
    }

    fn has_nul(&self, column: &str, name: &str) -> String {
        match self.text_of(name) {
            true => format!("strpos({}, '\0') > 0", quoted(column)),
            false => "FALSE".to_owned(),
        }
    }

    /// The value of a row by way of 64 bits, as the readers of files do it.
    fn number(&self) -> Result<String, IngestError> {
        let Some(name) = &self.columns.value else { return Ok("CAST(1 AS REAL)".to_owned()) };
        let column = quoted(name);
        match self.kind(name)? {
            kind if is_text(kind) => {
                Ok(format!("CAST(TRY_CAST({} AS DOUBLE) AS REAL)", trimmed(&column)))
            }
            kind if kind.is_numeric() => Ok(format!("CAST(CAST({column} AS DOUBLE) AS REAL)")),
            kind => Err(self.wrong_kind(name, kind)),
        }
    }

    /// Seconds since 1970.
    fn time(&self) -> Result<String, IngestError> {
        let Some(name) = &self.columns.timestamp else {
            return Ok("CAST(NULL AS BIGINT)".to_owned());
        };
        let column = quoted(name);
        let number = match self.kind(name)? {
            DataType::Timestamp(..) => return Ok(format!("to_unixtime({column})")),
            kind if kind.is_integer() => format!("CAST({column} AS BIGINT)"),
            kind if is_text(kind) => {
                let (text, whole) = (trimmed(&column), "AS BIGINT");
                // As the readers of files, a whole number that was written as a fraction.
                let fraction = format!("TRY_CAST({text} AS DOUBLE)");
                format!(
                    "coalesce(TRY_CAST({text} {whole}), CASE WHEN {fraction} = floor({fraction}) \
                     THEN TRY_CAST({fraction} {whole}) END)"
                )
            }
            kind => return Err(self.wrong_kind(name, kind)),
        };
        Ok(match self.columns.time_unit {
            TimeUnit::Ms => format!("CAST(floor({number} / 1000.0) AS BIGINT)"),
            _ => number,
        })
    }

    fn event(&self) -> Result<String, IngestError> {
        let Some(name) = &self.columns.event else { return Ok(literal(&self.columns.event_name)) };
        self.kind(name)?;
        Ok(trimmed(&format!("CAST({} AS VARCHAR)", quoted(name))))
    }

    /// What the kind of an event weighs; null where it has no weight and should.
    fn weight(&self) -> String {
        if self.columns.weights.is_empty() {
            return "CAST(1 AS REAL)".to_owned();
        }
        let weights = self.columns.weights.iter();
        let cases =
            weights.map(|(kind, w)| format!("WHEN {} THEN CAST({w} AS REAL) ", literal(kind)));
        format!("CASE _event {}END", cases.collect::<String>())
    }

    /// The name of a part; `?` where the cell is none.
    fn part(&self) -> Result<String, IngestError> {
        let Some(name) = &self.columns.part else {
            let part = self.columns.part_name.map(|p| literal(p.as_str()));
            return Ok(part.unwrap_or_else(|| "CAST(NULL AS VARCHAR)".to_owned()));
        };
        self.kind(name)?;
        let text = format!("lower({})", trimmed(&format!("CAST({} AS VARCHAR)", quoted(name))));
        Ok(format!(
            "CASE WHEN {text} IN ('0', 'train') THEN 'train' \
             WHEN {text} IN ('1', 'valid', 'validation', 'val', 'dev') THEN 'valid' \
             WHEN {text} IN ('2', 'test') THEN 'test' \
             WHEN {text} IS NULL OR {text} = '' THEN NULL ELSE '?' END"
        ))
    }
}

fn is_text(kind: &DataType) -> bool {
    matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn trimmed(column: &str) -> String {
    format!("btrim({column}, ' \t\r\n')")
}

fn finite(number: &str) -> String {
    format!("(abs({number}) <= CAST({} AS REAL))", f32::MAX)
}

/// A name as SQL quotes it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL quotes it.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_cannot_end_their_quotes() {
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("it's"), "'it''s'");
    }

    #[test]
    fn the_number_of_a_flaw_names_it() {
        assert!(flaw_of("0").is_none());
        assert_eq!(flaw_of("1").map(|f| f.0), Some(FaultCode::EmptyId));
        assert_eq!(flaw_of("9").map(|f| f.0), Some(FaultCode::UnweightedEvent));
    }
}

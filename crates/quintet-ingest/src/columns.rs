//! One row of interactions: which columns are asked for, and what their cells say.

use quintet_core::IdMap;
use quintet_data::Part;

use crate::IngestError;
use crate::catalog::empty_id;
use crate::config::{IngestConfig, InteractionColumns, UnknownPolicy};
use crate::log::{Flaw, shown};
use crate::parse::{self, Clock};
use crate::report::FaultCode;
use crate::table::Row;

/// Where each column of an interaction was asked for; user and item are 0 and 1.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    pub(crate) value: Option<usize>,
    pub(crate) timestamp: Option<usize>,
    pub(crate) event: Option<usize>,
    pub(crate) part: Option<usize>,
}

impl Asked {
    /// The columns to ask for, in order, and where each of them is.
    pub(crate) fn new(columns: &InteractionColumns) -> (Self, Vec<&str>) {
        let mut names = vec![columns.user.as_str(), columns.item.as_str()];
        let mut ask = |name: &'_ Option<String>| -> Option<usize> {
            name.as_ref()?;
            names.push("");
            Some(names.len() - 1)
        };
        let asked = Self {
            value: ask(&columns.value),
            timestamp: ask(&columns.timestamp),
            event: ask(&columns.event),
            part: ask(&columns.part),
        };
        let optional = [
            (asked.value, &columns.value),
            (asked.timestamp, &columns.timestamp),
            (asked.event, &columns.event),
            (asked.part, &columns.part),
        ];
        for (at, name) in optional {
            if let (Some(at), Some(name)) = (at, name) {
                names[at] = name;
            }
        }
        (asked, names)
    }
}

/// How the rows of one table are understood.
pub(crate) struct Meaning<'a> {
    pub(crate) columns: &'a InteractionColumns,
    pub(crate) asked: Asked,
    pub(crate) clock: Clock,
    unknown_users: UnknownPolicy,
    unknown_items: UnknownPolicy,
}

/// An event whose row is in order, but whose user and item may still have to be added.
pub(crate) struct Draft<'r> {
    pub(crate) user: &'r str,
    pub(crate) item: &'r str,
    pub(crate) event: &'r str,
    pub(crate) value: f32,
    pub(crate) timestamp: Option<i64>,
    pub(crate) part: Option<Part>,
}

/// Which users and items a table of its own lists, if one does.
pub(crate) struct Known<'a> {
    pub(crate) users: Option<&'a IdMap>,
    pub(crate) items: Option<&'a IdMap>,
}

impl<'a> Meaning<'a> {
    /// Also gives the columns to ask for.
    pub(crate) fn new(
        columns: &'a InteractionColumns,
        config: &IngestConfig,
    ) -> Result<(Self, Vec<&'a str>), IngestError> {
        let (asked, names) = Asked::new(columns);
        let clock = config.clock(columns.time_unit)?;
        let (unknown_users, unknown_items) = (config.unknown_users, config.unknown_items);
        Ok((Self { columns, asked, clock, unknown_users, unknown_items }, names))
    }

    /// What a row says, or what is wrong with it.
    pub(crate) fn draft<'r>(&'r self, row: &'r Row, known: &Known) -> Result<Draft<'r>, Flaw> {
        let (user, item) = (row.cell(0), row.cell(1));
        if let Some(flaw) = empty_id(user, "user").or_else(|| empty_id(item, "item")) {
            return Err(flaw);
        }
        let asked = &self.asked;
        let value = asked.value.map_or(Ok(1.0), |c| parse::number(row.cell(c)))?;
        let optional = self.columns.optional_timestamp;
        let timestamp = asked.timestamp.map(|c| row.cell(c));
        let timestamp = timestamp.filter(|text| !optional || !text.trim().is_empty());
        let timestamp = timestamp.map(|text| self.clock.text(text)).transpose()?;
        let event = match asked.event.map(|c| row.cell(c).trim()) {
            Some("") => return Err(Flaw::new(FaultCode::EmptyEvent, "the kind of event", "\"\"")),
            Some(event) => event,
            None => self.columns.event_name.as_str(),
        };
        let part = match asked.part {
            Some(c) => parse::part(row.cell(c))?,
            None => self.columns.part_name,
        };
        let report = UnknownPolicy::Report;
        let missing = |ids: Option<&IdMap>, id| ids.is_some_and(|ids| ids.position(id).is_none());
        if self.unknown_items == report && missing(known.items, item) {
            let expected = "an item of the catalogue";
            return Err(Flaw::new(FaultCode::UnknownItem, expected, shown(item)));
        }
        if self.unknown_users == report && missing(known.users, user) {
            let expected = "a user of the users table";
            return Err(Flaw::new(FaultCode::UnknownUser, expected, shown(user)));
        }
        let value = self.weigh(event, value)?;
        Ok(Draft { user, item, event, value, timestamp, part })
    }

    /// The value of an event of some kind.
    pub(crate) fn weigh(&self, event: &str, value: f32) -> Result<f32, Flaw> {
        if self.columns.weights.is_empty() {
            return Ok(value);
        }
        let Some(weight) = self.columns.weights.get(event) else {
            let known: Vec<&str> = self.columns.weights.keys().map(String::as_str).collect();
            let expected = format!("an event that has a weight: {}", known.join(", "));
            return Err(Flaw::new(FaultCode::UnweightedEvent, expected, shown(event)));
        };
        let weighed = weight * value;
        if weighed.is_finite() {
            return Ok(weighed);
        }
        let found = format!("{weight} times {value}");
        Err(Flaw::new(FaultCode::NotFinite, "a finite value", found))
    }
}

/// Whether an id can be taken as it is, without a look at its row.
pub(crate) fn plain_id(id: &str) -> bool {
    // Most ids are short and start with a letter or a digit.
    !id.as_bytes().contains(&0)
        && (id.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
            || empty_id(id, "user").is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_asked_for_in_one_order() {
        let columns = InteractionColumns {
            timestamp: Some("t".into()),
            part: Some("p".into()),
            ..InteractionColumns::default()
        };
        let (asked, names) = Asked::new(&columns);
        assert_eq!(names, ["user", "item", "t", "p"]);
        assert_eq!((asked.value, asked.timestamp, asked.part), (None, Some(2), Some(3)));
    }

    #[test]
    fn weights_replace_or_multiply_values() {
        let columns = InteractionColumns {
            weights: [("view".to_owned(), 1.0), ("buy".to_owned(), 5.0)].into(),
            ..InteractionColumns::default()
        };
        let config = IngestConfig::default();
        let (meaning, _) = Meaning::new(&columns, &config).unwrap();
        assert_eq!(meaning.weigh("buy", 1.0), Ok(5.0));
        assert_eq!(meaning.weigh("view", 2.5), Ok(2.5));
        let flaw = meaning.weigh("like", 1.0).unwrap_err();
        assert_eq!(flaw.code, FaultCode::UnweightedEvent);
        assert!(flaw.expected.ends_with("buy, view"), "{flaw:?}");
        assert_eq!(meaning.weigh("buy", f32::MAX).unwrap_err().code, FaultCode::NotFinite);
    }
}

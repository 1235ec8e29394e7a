//! Columns by their names and contents.

use std::collections::HashSet;

use super::{ColumnGuess, Confidence, Draft, Role, SAMPLE, one_table, sniff};
use crate::IngestError;
use crate::config::{
    InteractionColumns, ItemColumns, TableFile, TablesConfig, TimeUnit, UserColumns,
};
use crate::parse;
use crate::paths::Root;
use crate::table::{TableSpec, column_names, first_rows, untyped};

/// What columns are often called, in lower case without `_`, `-`, blanks and dots.
const NAMES: [(Role, &[&str]); 10] = [
    (
        Role::User,
        &[
            "user",
            "userid",
            "uid",
            "reviewerid",
            "customer",
            "customerid",
            "visitor",
            "visitorid",
            "member",
            "memberid",
            "who",
            "sessionid",
            "account",
            "accountid",
        ],
    ),
    (
        Role::Item,
        &[
            "item",
            "itemid",
            "iid",
            "parentasin",
            "asin",
            "movie",
            "movieid",
            "product",
            "productid",
            "sku",
            "book",
            "bookid",
            "isbn",
            "song",
            "songid",
            "track",
            "trackid",
            "article",
            "articleid",
            "newsid",
            "video",
            "videoid",
            "poi",
            "poiid",
            "venue",
            "venueid",
            "business",
            "businessid",
            "gameid",
            "what",
            "placeid",
            "locationid",
        ],
    ),
    (
        Role::Value,
        &[
            "rating",
            "value",
            "stars",
            "score",
            "overall",
            "weight",
            "count",
            "plays",
            "playcount",
            "quantity",
            "strength",
        ],
    ),
    (
        Role::Timestamp,
        &[
            "timestamp",
            "time",
            "unixreviewtime",
            "ts",
            "datetime",
            "date",
            "createdat",
            "when",
            "unixtime",
            "eventtime",
            "t",
            "reviewtime",
        ],
    ),
    (Role::Event, &["event", "type", "action", "eventtype", "behavior", "behaviour", "kind"]),
    (Role::Part, &["xlabel", "part", "split", "fold"]),
    (Role::Title, &["title", "name", "movietitle", "itemname", "producttitle", "productname"]),
    (
        Role::Text,
        &["text", "description", "plot", "overview", "genres", "categories", "features", "tags"],
    ),
    (Role::Lat, &["lat", "latitude"]),
    (Role::Lon, &["lon", "lng", "long", "longitude"]),
];

fn plain(name: &str) -> String {
    let name = untyped(name.trim()).unwrap_or(name.trim());
    name.to_lowercase().replace(['_', '-', ' ', '.'], "")
}

/// What a column of this name usually is, the better names first.
fn by_name(name: &str) -> Option<(Role, usize)> {
    let plain = plain(name);
    NAMES.iter().find_map(|(role, names)| {
        names.iter().position(|known| *known == plain).map(|rank| (*role, rank))
    })
}

/// Whether a column of this name is known.
pub(super) fn is_known(name: &str) -> bool {
    by_name(name).is_some()
}

/// What stands in a column, as far as it was read.
#[derive(Debug, Clone, Default)]
pub(super) struct Contents {
    rows: usize,
    distinct: usize,
    empty: usize,
    numbers: usize,
    least: f64,
    most: f64,
    dates: usize,
}

impl Contents {
    fn new<'a>(cells: impl Iterator<Item = &'a str>) -> Self {
        let mut seen = HashSet::new();
        let mut out = Self { least: f64::INFINITY, most: f64::NEG_INFINITY, ..Self::default() };
        for cell in cells.map(str::trim) {
            out.rows += 1;
            if cell.is_empty() {
                out.empty += 1;
                continue;
            }
            if let Ok(number) = cell.parse::<f64>() {
                out.numbers += 1;
                (out.least, out.most) = (out.least.min(number), out.most.max(number));
            } else {
                out.dates += usize::from(parse::rfc3339(cell).is_some());
            }
            seen.insert(cell);
        }
        out.distinct = seen.len();
        out
    }

    fn filled(&self) -> usize {
        self.rows - self.empty
    }

    fn all_numbers(&self) -> bool {
        self.filled() > 0 && self.numbers == self.filled()
    }

    /// The unit that makes times of the years 1990 to 2100 of all cells.
    fn time_unit(&self) -> Option<TimeUnit> {
        const FROM: f64 = 631_152_000.0;
        const TO: f64 = 4_102_444_800.0;
        if self.filled() > 0 && self.dates == self.filled() {
            return Some(TimeUnit::Rfc3339);
        }
        let within = |scale: f64| self.least >= FROM * scale && self.most <= TO * scale;
        match self.all_numbers() {
            true if within(1.0) => Some(TimeUnit::S),
            true if within(1000.0) => Some(TimeUnit::Ms),
            _ => None,
        }
    }

    /// Whether the cells look like ratings: few small numbers.
    fn rating(&self) -> bool {
        self.all_numbers() && self.least >= -1.0 && self.most <= 100.0 && self.distinct <= 101
    }
}

/// A table with what stands in it.
pub(super) struct Described {
    pub(super) file: TableFile<()>,
    names: Vec<String>,
    contents: Vec<Contents>,
}

impl Described {
    pub(super) fn read(root: &Root, name: &str) -> Result<Self, IngestError> {
        let no_table = || IngestError::Layout {
            path: name.to_owned(),
            expected: "a table of CSV, TSV, JSON, Parquet or Arrow".to_owned(),
            found: vec!["no such thing".to_owned()],
        };
        let file = sniff::layout(root, name)?.ok_or_else(no_table)?;
        let spec = TableSpec::new("interactions", &file, TimeUnit::S)?;
        let names = column_names(root, &spec)?;
        let asked: Vec<&str> = names.iter().map(String::as_str).collect();
        let rows = first_rows(root, &spec, &asked, SAMPLE)?;
        let cells = |c: usize| rows.iter().map(move |row| row[c].as_str());
        let contents = (0..names.len()).map(|c| Contents::new(cells(c))).collect();
        Ok(Self { file, names, contents })
    }

    fn has_header(&self) -> bool {
        self.file.header != Some(false)
    }

    /// The column of a role by its name, the best name first.
    fn named(&self, role: Role) -> Option<usize> {
        let ranked = self.names.iter().enumerate().filter_map(|(at, name)| {
            by_name(name).filter(|(r, _)| *r == role).map(|(_, rank)| (rank, at))
        });
        ranked.min().map(|(_, at)| at)
    }
}

/// The roles of columns so far.
struct Roles<'a> {
    table: &'a Described,
    guesses: Vec<Option<ColumnGuess>>,
}

impl Roles<'_> {
    fn set(&mut self, at: usize, role: Role, confidence: Confidence, reason: String) {
        let column = self.table.names[at].clone();
        self.guesses[at] = Some(ColumnGuess { column, role, confidence, reason });
    }

    fn of(&self, role: Role) -> Option<usize> {
        self.guesses.iter().position(|g| g.as_ref().is_some_and(|g| g.role == role))
    }

    fn name(&self, role: Role) -> Option<String> {
        self.of(role).map(|at| {
            let name = &self.table.names[at];
            untyped(name).unwrap_or(name).to_owned()
        })
    }

    /// Takes a role by its name, if the contents do not contradict it.
    fn by_name(&mut self, role: Role) {
        let Some(at) = self.table.named(role).filter(|at| self.guesses[*at].is_none()) else {
            return;
        };
        let contents = &self.table.contents[at];
        let fits = match role {
            Role::Timestamp => contents.time_unit().is_some(),
            Role::Value => contents.all_numbers(),
            Role::Event => contents.distinct <= 50 && !contents.all_numbers(),
            Role::Part => contents.distinct <= 3,
            _ => contents.empty == 0,
        };
        let distinct = contents.distinct;
        let name = &self.table.names[at];
        let (confidence, reason) = match (fits, role) {
            (true, _) => (
                Confidence::High,
                format!("called {name:?}, {distinct} values in {} rows", contents.rows),
            ),
            (false, Role::User | Role::Item) => {
                (Confidence::Medium, format!("called {name:?}, but empty in some rows"))
            }
            (false, _) => return,
        };
        self.set(at, role, confidence, reason);
    }

    /// Finds a role by contents among the columns that have none.
    fn by_contents(&mut self, role: Role, fits: impl Fn(&Contents) -> bool, what: &str) {
        if self.of(role).is_some() {
            return;
        }
        let free = |at: &usize| self.guesses[*at].is_none() && fits(&self.table.contents[*at]);
        if let Some(at) = (0..self.table.names.len()).find(free) {
            let distinct = self.table.contents[at].distinct;
            self.set(at, role, Confidence::Medium, format!("{what}, {distinct} values"));
        }
    }
}

/// What a table of interactions says where; an error if it has no users or items.
pub(super) fn interactions(table: &Described) -> Result<Draft, IngestError> {
    let mut roles = Roles { table, guesses: vec![None; table.names.len()] };
    for role in [Role::User, Role::Item, Role::Timestamp, Role::Value, Role::Event, Role::Part] {
        roles.by_name(role);
    }
    if !table.has_header() {
        roles.by_contents(Role::Timestamp, |c| c.time_unit().is_some(), "times by their size");
        for (role, what) in [(Role::User, "the first ids"), (Role::Item, "the next ids")] {
            let ids = |c: &Contents| c.empty == 0 && c.dates == 0 && c.distinct > 0;
            roles.by_contents(role, ids, what);
        }
        roles.by_contents(Role::Value, Contents::rating, "few small numbers");
        for at in [roles.of(Role::User), roles.of(Role::Item)].into_iter().flatten() {
            if let Some(guess) = &mut roles.guesses[at] {
                guess.confidence = Confidence::Low;
            }
        }
    } else {
        roles.by_contents(Role::Timestamp, |c| c.time_unit().is_some(), "times by their size");
    }
    let (Some(user), Some(item)) = (roles.name(Role::User), roles.name(Role::Item)) else {
        return Err(IngestError::Layout {
            path: table.file.path.clone(),
            expected: "columns of users and items (name them in `tables`)".to_owned(),
            found: table.names.clone(),
        });
    };
    let unit = roles.of(Role::Timestamp).and_then(|at| table.contents[at].time_unit());
    let some_without = roles.of(Role::Timestamp).is_some_and(|at| table.contents[at].empty > 0);
    let columns = InteractionColumns {
        user,
        item,
        value: roles.name(Role::Value),
        timestamp: roles.name(Role::Timestamp),
        time_unit: unit.unwrap_or_default(),
        optional_timestamp: some_without,
        event: roles.name(Role::Event),
        event_name: match roles.of(Role::Value) {
            Some(_) => "rating".to_owned(),
            None => InteractionColumns::default().event_name,
        },
        part: roles.name(Role::Part),
        ..InteractionColumns::default()
    };
    Ok(draft(table, roles, columns))
}

fn draft(table: &Described, roles: Roles, columns: InteractionColumns) -> Draft {
    let mut warnings = Vec::new();
    if !table.has_header() {
        let file = &table.file.path;
        warnings.push(format!("{file} has no header line: columns are taken by their contents"));
    }
    if columns.timestamp.is_none() {
        warnings.push("no column of times was found: splits by time cannot be made".to_owned());
    }
    if columns.optional_timestamp {
        warnings.push("some rows have no time".to_owned());
    }
    let guesses = roles.guesses.into_iter().zip(&table.names).map(|(guess, name)| {
        guess.unwrap_or_else(|| ColumnGuess {
            column: name.clone(),
            role: Role::Unused,
            confidence: Confidence::Medium,
            reason: "neither its name nor its contents say what it is".to_owned(),
        })
    });
    let file = table.file.path.clone();
    Draft {
        config: one_table("dataset", with_columns(&table.file, columns)),
        columns: guesses.collect(),
        table: Some(table.file.clone()),
        file,
        warnings,
    }
}

fn with_columns<C>(file: &TableFile<()>, columns: C) -> TableFile<C> {
    TableFile {
        path: file.path.clone(),
        format: file.format,
        delimiter: file.delimiter.clone(),
        header: file.header,
        quote: file.quote,
        encoding: file.encoding,
        columns,
    }
}

/// Adds a table of items or users to a proposal, if it is one.
pub(super) fn catalogue(
    table: &Described,
    of: &[ColumnGuess],
    into: &mut TablesConfig,
    warnings: &mut Vec<String>,
) {
    if !table.has_header() {
        return;
    }
    let id = |role: Role| {
        let same = |g: &&ColumnGuess| g.role == role && table.names.contains(&g.column);
        let shared = of.iter().find(same).map(|g| g.column.clone());
        let named = || table.named(role).map(|at| table.names[at].clone());
        // In a catalogue, an id stands once.
        let once = |name: &String| {
            let at = table.names.iter().position(|n| n == name);
            at.is_some_and(|at| table.contents[at].distinct == table.contents[at].rows)
        };
        shared.or_else(named).filter(once)
    };
    let path = &table.file.path;
    let rest = |id: &str, not: &[String]| -> Vec<String> {
        table.names.iter().filter(|n| *n != id && !not.contains(n)).cloned().collect()
    };
    if let (Some(id), None) = (id(Role::Item), &into.items) {
        let title = table.named(Role::Title).map(|at| table.names[at].clone());
        let texts = |n: &&String| by_name(n).is_some_and(|(role, _)| role == Role::Text);
        let text = title.iter().chain(table.names.iter().filter(texts)).cloned().collect();
        let attributes = rest(&id, title.as_slice());
        warnings.push(format!("{path} is taken for the items, by its column {id:?}"));
        let columns = ItemColumns { id, title, text, attributes };
        into.items = Some(with_columns(&table.file, columns));
    } else if let (Some(id), None) = (id(Role::User), &into.users) {
        let attributes = rest(&id, &[]);
        warnings.push(format!("{path} is taken for the users, by its column {id:?}"));
        into.users = Some(with_columns(&table.file, UserColumns { id, attributes }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_case_and_marks() {
        for (name, role) in [
            ("userId", Role::User),
            ("user_id:token", Role::User),
            ("reviewerID", Role::User),
            ("parent_asin", Role::Item),
            ("unixReviewTime", Role::Timestamp),
            ("x_label", Role::Part),
        ] {
            assert_eq!(by_name(name).map(|(role, _)| role), Some(role), "{name}");
        }
        assert!(!is_known("helpful"));
    }

    #[test]
    fn times_are_known_by_their_size() {
        let unit = |cells: &[&str]| Contents::new(cells.iter().copied()).time_unit();
        assert_eq!(unit(&["881250949", "1333447208.0"]), Some(TimeUnit::S));
        assert_eq!(unit(&["1588687728923"]), Some(TimeUnit::Ms));
        assert_eq!(unit(&["2024-02-29T12:00:00Z", ""]), Some(TimeUnit::Rfc3339));
        assert_eq!(unit(&["5", "881250949"]), None);
        assert_eq!(unit(&[""]), None);
    }
}

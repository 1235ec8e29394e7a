//! Users and items as they come in, and the tables that bring them.

use std::collections::BTreeMap;

use quintet_core::{IdMap, ItemIdx, UserIdx};
use quintet_data::{Item, User};

use crate::IngestError;
use crate::columns::Known;
use crate::config::{ItemColumns, JoinConfig, TableFile, TimeUnit, UserColumns};
use crate::log::{Flaw, Log, Origin, shown};
use crate::paths::Root;
use crate::report::FaultCode;
use crate::table::{Row, Table, TableSource, TableSpec};

/// The users and items so far.
#[derive(Default)]
pub(crate) struct Catalog {
    pub(crate) users: Vec<User>,
    pub(crate) items: Vec<Item>,
    user_ids: IdMap,
    item_ids: IdMap,
    user_rows: Vec<Option<Origin>>,
    item_rows: Vec<Option<Origin>>,
    /// Whether a table says which users there are.
    pub(crate) knows_users: bool,
    /// Whether a table says which items there are.
    pub(crate) knows_items: bool,
}

impl Catalog {
    pub(crate) fn user(&self, id: &str) -> Option<UserIdx> {
        self.user_ids.position(id).map(UserIdx::new)
    }

    pub(crate) fn item(&self, id: &str) -> Option<ItemIdx> {
        self.item_ids.position(id).map(ItemIdx::new)
    }

    /// The bijection between user ids and positions.
    pub(crate) fn user_ids(&self) -> &IdMap {
        &self.user_ids
    }

    /// The bijection between item ids and positions.
    pub(crate) fn item_ids(&self) -> &IdMap {
        &self.item_ids
    }

    /// The ids that tables of users and items list.
    pub(crate) fn known(&self) -> Known<'_> {
        Known {
            users: self.knows_users.then_some(&self.user_ids),
            items: self.knows_items.then_some(&self.item_ids),
        }
    }

    pub(crate) fn add_user(&mut self, user: User, row: Option<Origin>) -> UserIdx {
        let position = self.user_ids.intern(&user.id);
        self.users.push(user);
        self.user_rows.push(row);
        UserIdx::new(position)
    }

    pub(crate) fn add_item(&mut self, item: Item, row: Option<Origin>) -> ItemIdx {
        let position = self.item_ids.intern(&item.id);
        self.items.push(item);
        self.item_rows.push(row);
        ItemIdx::new(position)
    }

    /// Where an item came from, when a table of items has it.
    pub(crate) fn item_row(&self, at: usize) -> Option<Origin> {
        self.item_rows.get(at).copied().flatten()
    }

    /// Whether a row of a table says what an item is.
    pub(crate) fn is_described(&self, at: ItemIdx) -> bool {
        self.item_rows[at.index()].is_some()
    }

    /// Gives an item what a row of a table says about it.
    pub(crate) fn describe_item(&mut self, at: ItemIdx, item: Item, row: Origin) {
        self.items[at.index()] = item;
        self.item_rows[at.index()] = Some(row);
    }

    /// The fault of a second row of an item.
    pub(crate) fn second_item(&self, at: ItemIdx, log: &Log) -> Flaw {
        second(log, FaultCode::DuplicateItem, self.item_rows[at.index()])
    }

    /// Takes an attribute of users and items as their id, where they have it.
    pub(crate) fn rename_by(&mut self, attribute: &str) -> Result<(), IngestError> {
        for user in &mut self.users {
            user.id = user.attributes.remove(attribute).unwrap_or_else(|| user.id.clone());
        }
        for item in &mut self.items {
            item.id = item.attributes.remove(attribute).unwrap_or_else(|| item.id.clone());
        }
        self.user_ids = IdMap::from_ids(self.users.iter().map(|u| u.id.clone()))?;
        self.item_ids = IdMap::from_ids(self.items.iter().map(|i| i.id.clone()))?;
        Ok(())
    }

    /// Counts the users and items that came from each table, for its balance.
    pub(crate) fn count_kept(&self, log: &mut Log) {
        for row in self.user_rows.iter().chain(&self.item_rows).flatten() {
            log.file(row.file).rows_kept += 1;
        }
    }
}

/// Reads a table of items; `make` turns a row into an item.
pub(crate) fn read_items(
    root: &Root,
    source: &dyn TableSource,
    columns: &[&str],
    catalog: &mut Catalog,
    log: &mut Log,
    make: &dyn Fn(&Row) -> Item,
) -> Result<(), IngestError> {
    catalog.knows_items = true;
    let mut table = source.open(root, columns, log)?;
    while table.next(log)? {
        let item = make(table.row());
        let origin = table.origin();
        if let Some(flaw) = empty_id(&item.id, "item") {
            log.drop_row(origin, None, flaw)?;
        } else if let Some(first) = catalog.item(&item.id) {
            let flaw = second(log, FaultCode::DuplicateItem, catalog.item_rows[first.index()]);
            log.drop_row(origin, Some(&item.id), flaw)?;
        } else {
            catalog.add_item(item, Some(origin));
        }
    }
    Ok(())
}

/// Reads a table of users; `make` turns a row into a user.
pub(crate) fn read_users(
    root: &Root,
    source: &dyn TableSource,
    columns: &[&str],
    catalog: &mut Catalog,
    log: &mut Log,
    make: &dyn Fn(&Row) -> User,
) -> Result<(), IngestError> {
    catalog.knows_users = true;
    let mut table = source.open(root, columns, log)?;
    while table.next(log)? {
        let user = make(table.row());
        let origin = table.origin();
        if let Some(flaw) = empty_id(&user.id, "user") {
            log.drop_row(origin, None, flaw)?;
        } else if let Some(first) = catalog.user(&user.id) {
            let mut flaw = second(log, FaultCode::DuplicateUser, catalog.user_rows[first.index()]);
            flaw.found = format!("user {} again", shown(&user.id));
            log.drop_row(origin, None, flaw)?;
        } else {
            catalog.add_user(user, Some(origin));
        }
    }
    Ok(())
}

/// Reads the items of a configured table.
pub(crate) fn read_item_table(
    root: &Root,
    table: &TableFile<ItemColumns>,
    catalog: &mut Catalog,
    log: &mut Log,
) -> Result<(), IngestError> {
    let spec = TableSpec::new("items", table, TimeUnit::S)?;
    read_item_columns(root, &spec, &table.columns, catalog, log)
}

/// Reads items whose columns are known.
pub(crate) fn read_item_columns(
    root: &Root,
    source: &dyn TableSource,
    columns: &ItemColumns,
    catalog: &mut Catalog,
    log: &mut Log,
) -> Result<(), IngestError> {
    let mut asked = vec![columns.id.as_str()];
    let title = columns.title.as_deref().map(|title| {
        asked.push(title);
        asked.len() - 1
    });
    let text = asked.len()..asked.len() + columns.text.len();
    asked.extend(columns.text.iter().map(String::as_str));
    let first_attribute = asked.len();
    asked.extend(columns.attributes.iter().map(String::as_str));
    let make = |row: &Row| Item {
        id: row.cell(0).to_owned(),
        title: title.map(|t| row.cell(t).trim().to_owned()).unwrap_or_default(),
        text: lines(text.clone().map(|t| row.cell(t))),
        attributes: attributes(row, first_attribute, &columns.attributes),
    };
    read_items(root, source, &asked, catalog, log, &make)
}

/// Reads the users of a configured table.
pub(crate) fn read_user_table(
    root: &Root,
    table: &TableFile<UserColumns>,
    catalog: &mut Catalog,
    log: &mut Log,
) -> Result<(), IngestError> {
    let spec = TableSpec::new("users", table, TimeUnit::S)?;
    read_user_columns(root, &spec, &table.columns, catalog, log)
}

/// Reads users whose columns are known.
pub(crate) fn read_user_columns(
    root: &Root,
    source: &dyn TableSource,
    columns: &UserColumns,
    catalog: &mut Catalog,
    log: &mut Log,
) -> Result<(), IngestError> {
    let mut asked = vec![columns.id.as_str()];
    asked.extend(columns.attributes.iter().map(String::as_str));
    let make = |row: &Row| User {
        id: row.cell(0).to_owned(),
        attributes: attributes(row, 1, &columns.attributes),
    };
    read_users(root, source, &asked, catalog, log, &make)
}

/// Adds the text and attributes of a further table to the items.
pub(crate) fn read_join(
    root: &Root,
    join: &JoinConfig,
    catalog: &mut Catalog,
    log: &mut Log,
) -> Result<(), IngestError> {
    let file =
        TableFile { path: join.path.clone(), format: join.format, ..TableFile::<()>::default() };
    let spec = TableSpec::new("join", &file, TimeUnit::S)?;
    let mut asked = vec![join.id.as_str()];
    asked.extend(join.text.iter().chain(&join.attributes).map(String::as_str));
    let mut table = Table::open(root, &spec, &asked, log)?;
    while table.next(log)? {
        let (row, origin) = (table.row(), table.origin());
        let id = row.cell(0);
        if let Some(flaw) = empty_id(id, "item") {
            log.drop_row(origin, None, flaw)?;
        } else if let Some(idx) = catalog.item(id) {
            let item = &mut catalog.items[idx.index()];
            append_text(item, lines((1..=join.text.len()).map(|c| row.cell(c))));
            item.attributes.extend(attributes(row, 1 + join.text.len(), &join.attributes));
            log.file(origin.file).rows_kept += 1;
        } else {
            let flaw = Flaw::new(FaultCode::UnknownJoinId, "an item of the catalogue", shown(id));
            log.drop_row(origin, Some(id), flaw)?;
        }
    }
    Ok(())
}

/// Puts more text below the text that an item has.
pub(crate) fn append_text(item: &mut Item, more: Option<String>) {
    let Some(more) = more else { return };
    match &mut item.text {
        Some(text) => {
            text.push('\n');
            text.push_str(&more);
        }
        None => item.text = Some(more),
    }
}

/// The texts that are not blank, one below the other.
pub(crate) fn lines<'a>(texts: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut out = String::new();
    for text in texts.map(str::trim).filter(|t| !t.is_empty()) {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(text);
    }
    (!out.is_empty()).then_some(out)
}

/// Cells that are not blank, by name.
fn attributes(row: &Row, first: usize, names: &[String]) -> BTreeMap<String, String> {
    names
        .iter()
        .enumerate()
        .map(|(i, name)| (name.clone(), row.cell(first + i).trim().to_owned()))
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

/// The flaw of an id without any character to see.
pub(crate) fn empty_id(id: &str, what: &str) -> Option<Flaw> {
    let empty = id.trim().is_empty();
    empty.then(|| Flaw::new(FaultCode::EmptyId, format!("the id of a {what}"), shown(id)))
}

fn second(log: &Log, code: FaultCode, first: Option<Origin>) -> Flaw {
    let place = match first {
        Some(row) => format!("{}, line {}", log.name(row.file), row.line),
        None => "an interaction".to_owned(),
    };
    Flaw::new(code, format!("each id once (the first is in {place})"), "it again")
}

//! Amazon reviews and what is sold there: the editions of 2014 (McAuley et al., SIGIR 2015), of
//! 2018 (Ni et al., EMNLP 2019) and of 2023 (Hou et al., 2024).
//!
//! The edition is told by the keys of the first records. An item's text is its title, its
//! description, its features and its categories; its attributes are `brand`, `price`, `category`
//! and `image_url`.

use std::collections::BTreeMap;

use quintet_data::Item;

use super::Reading;
use crate::IngestError;
use crate::catalog::{empty_id, lines};
use crate::config::{InteractionColumns, TableFile, TableFormat, TimeUnit};
use crate::config_sources::AmazonConfig;
use crate::log::{Flaw, shown};
use crate::report::FaultCode;
use crate::table::{Row, Table, TableSpec, column_names};

/// What a column of the metadata may be called, by what it becomes.
const ID: &[&str] = &["parent_asin", "asin"];
const TITLE: &[&str] = &["title"];
const DESCRIPTION: &[&str] = &["description"];
const FEATURES: &[&str] = &["features", "feature"];
const CATEGORIES: &[&str] = &["categories", "category"];
const BRAND: &[&str] = &["brand", "store", "details.Brand"];
const PRICE: &[&str] = &["price"];
const CATEGORY: &[&str] = &["main_category", "main_cat"];
const IMAGE: &[&str] = &["imUrl", "imageURL", "images.0.large", "images.0.thumb", "image"];

pub(super) fn read(reading: &mut Reading, config: &AmazonConfig) -> Result<(), IngestError> {
    let spec = table("interactions", &config.reviews, TimeUnit::S)?;
    let columns = review_columns(&config.reviews, column_names(reading.root, &spec)?)?;
    let spec = table("interactions", &config.reviews, columns.time_unit)?;
    reading.interactions(&spec, &columns)?;
    match &config.metadata {
        Some(metadata) => read_metadata(reading, metadata, config.all_items),
        None => Ok(()),
    }
}

/// A table by its extension; a file of another name has an object a line.
fn table(role: &'static str, path: &str, unit: TimeUnit) -> Result<TableSpec, IngestError> {
    let spec = |format| {
        let file = TableFile { path: path.to_owned(), format, ..TableFile::<()>::default() };
        TableSpec::new(role, &file, unit)
    };
    spec(None).or_else(|_| spec(Some(TableFormat::Jsonl)))
}

/// The columns of the reviews, by the edition.
pub(crate) fn review_columns(
    path: &str,
    known: Vec<String>,
) -> Result<InteractionColumns, IngestError> {
    let has = |name: &str| known.iter().any(|k| k == name);
    let [user, item, value, time] = if has("reviewerID") {
        ["reviewerID", "asin", "overall", "unixReviewTime"]
    } else if has("user_id") {
        let item = if has("parent_asin") { "parent_asin" } else { "asin" };
        ["user_id", item, "rating", "timestamp"]
    } else {
        return Err(IngestError::Layout {
            path: path.to_owned(),
            expected: "Amazon reviews with `reviewerID` (2014, 2018) or `user_id` (2023)".into(),
            found: known,
        });
    };
    Ok(InteractionColumns {
        user: user.to_owned(),
        item: item.to_owned(),
        value: Some(value.to_owned()),
        timestamp: Some(time.to_owned()),
        time_unit: if user == "user_id" { TimeUnit::Ms } else { TimeUnit::S },
        event_name: "review".to_owned(),
        ..InteractionColumns::default()
    })
}

/// Where each part of an item is among the columns that are asked for.
struct Parts {
    asked: Vec<String>,
    title: Option<usize>,
    text: [Option<usize>; 3],
    attributes: [(&'static str, Option<usize>); 4],
}

impl Parts {
    fn new(path: &str, known: Vec<String>) -> Result<Self, IngestError> {
        let find = |names: &[&str]| {
            let found = names.iter().find(|name| known.iter().any(|k| k == *name));
            found.map(|name| (*name).to_owned())
        };
        let Some(id) = find(ID) else {
            let expected = "metadata of Amazon with `asin` or `parent_asin`".to_owned();
            return Err(IngestError::Layout { path: path.to_owned(), expected, found: known });
        };
        let mut asked = vec![id];
        let mut ask = |names: &[&str]| {
            asked.push(find(names)?);
            Some(asked.len() - 1)
        };
        let title = ask(TITLE);
        let text = [ask(DESCRIPTION), ask(FEATURES), ask(CATEGORIES)];
        let attributes = [
            ("brand", ask(BRAND)),
            ("price", ask(PRICE)),
            ("category", ask(CATEGORY).or(text[2])),
            ("image_url", ask(IMAGE)),
        ];
        Ok(Self { asked, title, text, attributes })
    }

    fn item(&self, row: &Row) -> Item {
        let cell = |at: Option<usize>| at.map_or("", |at| row.cell(at).trim());
        let title = cell(self.title);
        let text = [title].into_iter().chain(self.text.map(cell));
        let mut attributes = BTreeMap::new();
        for (name, at) in self.attributes {
            let mut value = cell(at);
            if name == "image_url" {
                // Of several pictures the first; an address has no blank in it.
                value = value.split(", ").map(str::trim).find(|v| !v.is_empty()).unwrap_or("");
            }
            if !value.is_empty() {
                attributes.insert(name.to_owned(), value.to_owned());
            }
        }
        Item { id: row.cell(0).to_owned(), title: title.to_owned(), text: lines(text), attributes }
    }
}

/// Describes the items of the reviews, and adds the others if they are wanted.
fn read_metadata(reading: &mut Reading, path: &str, all: bool) -> Result<(), IngestError> {
    let spec = table("items", path, TimeUnit::S)?;
    let parts = Parts::new(path, column_names(reading.root, &spec)?)?;
    let asked: Vec<&str> = parts.asked.iter().map(String::as_str).collect();
    let Reading { root, catalog, log, .. } = reading;
    let mut table = Table::open(root, &spec, &asked, log)?;
    while table.next(log)? {
        let (item, origin) = (parts.item(table.row()), table.origin());
        let id = item.id.clone();
        if let Some(flaw) = empty_id(&id, "item") {
            log.drop_row(origin, None, flaw)?;
            continue;
        }
        match catalog.item(&id) {
            Some(at) if !catalog.is_described(at) => catalog.describe_item(at, item, origin),
            Some(at) => {
                let flaw = catalog.second_item(at, log);
                log.drop_row(origin, Some(&id), flaw)?;
            }
            None if all => {
                catalog.add_item(item, Some(origin));
            }
            None => {
                let flaw = Flaw::new(FaultCode::UnusedItem, "an item with reviews", shown(&id));
                log.drop_row(origin, Some(&id), flaw)?;
            }
        }
    }
    Ok(())
}

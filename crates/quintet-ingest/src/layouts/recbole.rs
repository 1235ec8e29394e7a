//! Atomic files of RecBole: Zhao et al., "RecBole: Towards a Unified, Comprehensive and Efficient
//! Framework for Recommendation Algorithms", CIKM 2021.

use super::{Reading, entries, inter_name};
use crate::IngestError;
use crate::catalog::{read_item_table, read_user_table};
use crate::config::{
    InteractionColumns, ItemColumns, TableFile, TableFormat, TimeUnit, UserColumns,
};
use crate::config_sources::RecBoleConfig;
use crate::paths::join;
use crate::table::{TableSpec, column_names, untyped};

/// What columns with a title are called.
const TITLES: [&str; 6] = ["title", "name", "movie_title", "item_name", "product_title", "titles"];
/// A column that is text and no attribute.
pub(crate) const TEXT: &str = "text";
/// Columns of an item or a user that carry their id.
const IDS: [&str; 2] = ["item_id", "user_id"];

pub(super) fn read(reading: &mut Reading, config: &RecBoleConfig) -> Result<(), IngestError> {
    let folder = config.folder.as_str();
    let names = entries(reading.root, folder)?;
    let name = inter_name(folder, &names, config.name.as_ref())?;
    let path = |extension: &str| join(folder, &format!("{name}.{extension}"));
    let has = |extension: &str| names.contains(&format!("{name}.{extension}"));
    if has("item") {
        let columns = typed(reading, &path("item"))?;
        let table = file(path("item"), item_columns(&columns));
        lists(reading, &path("item"), &columns)?;
        read_item_table(reading.root, &table, reading.catalog, reading.log)?;
    }
    if has("user") {
        let columns = typed(reading, &path("user"))?;
        let attributes = plain(&columns, |_| true);
        let table = file(path("user"), UserColumns { id: "user_id".to_owned(), attributes });
        lists(reading, &path("user"), &columns)?;
        read_user_table(reading.root, &table, reading.catalog, reading.log)?;
    }
    for other in ["kg", "link", "net", "useremb", "itememb"] {
        if has(other) {
            reading.not_read(path(other), "a file of RecBole with something else")?;
        }
    }
    let columns = typed(reading, &path("inter"))?;
    let table = file(path("inter"), interaction_columns(&columns));
    let spec = TableSpec::new("interactions", &table, TimeUnit::S)?;
    reading.interactions(&spec, &table.columns)
}

/// A table of tabs without quotes.
fn file<C>(path: String, columns: C) -> TableFile<C> {
    TableFile {
        path,
        format: Some(TableFormat::Tsv),
        delimiter: None,
        header: None,
        quote: None,
        encoding: None,
        columns,
    }
}

/// The names of the columns with their types; `token` where a name has none.
fn typed(reading: &Reading, path: &str) -> Result<Vec<(String, String)>, IngestError> {
    let spec = TableSpec::new("items", &file(path.to_owned(), ()), TimeUnit::S)?;
    let names = column_names(reading.root, &spec)?;
    let typed = names.into_iter().map(|name| match untyped(&name) {
        Some(bare) => (bare.to_owned(), name[bare.len() + 1..].to_owned()),
        None => (name, "token".to_owned()),
    });
    Ok(typed.collect())
}

/// Names the columns that hold lists of numbers, which no attribute is made of.
fn lists(
    reading: &mut Reading,
    path: &str,
    columns: &[(String, String)],
) -> Result<(), IngestError> {
    for (name, _) in columns.iter().filter(|(_, kind)| kind == "float_seq") {
        let found = format!("the column {name:?} of lists of numbers");
        reading.not_read(path.to_owned(), &found)?;
    }
    Ok(())
}

/// The columns other than ids and lists of numbers.
fn plain(columns: &[(String, String)], keep: impl Fn(&str) -> bool) -> Vec<String> {
    columns
        .iter()
        .filter(|(name, kind)| kind != "float_seq" && !IDS.contains(&name.as_str()) && keep(name))
        .map(|(name, _)| name.clone())
        .collect()
}

fn item_columns(columns: &[(String, String)]) -> ItemColumns {
    let title = TITLES.iter().find(|title| columns.iter().any(|(name, _)| name == *title));
    let title = title.map(|title| (*title).to_owned());
    let words = |name: &str| columns.iter().any(|(n, kind)| n == name && kind == "token_seq");
    let mut text: Vec<String> = title.iter().cloned().collect();
    text.extend(plain(columns, |name| words(name) && Some(name) != title.as_deref()));
    let attributes = plain(columns, |name| name != TEXT && Some(name) != title.as_deref());
    ItemColumns { id: "item_id".to_owned(), title, text, attributes }
}

fn interaction_columns(columns: &[(String, String)]) -> InteractionColumns {
    let has = |name: &str| columns.iter().any(|(n, _)| n == name).then(|| name.to_owned());
    InteractionColumns {
        user: "user_id".to_owned(),
        item: "item_id".to_owned(),
        value: has("rating"),
        timestamp: has("timestamp"),
        optional_timestamp: true,
        event: has("event"),
        event_name: if has("rating").is_some() { "rating" } else { "interaction" }.to_owned(),
        part: has("x_label"),
        ..InteractionColumns::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_known_by_name_and_type() {
        let typed = |text: &[(&str, &str)]| -> Vec<(String, String)> {
            text.iter().map(|(n, k)| ((*n).to_owned(), (*k).to_owned())).collect()
        };
        let item = item_columns(&typed(&[
            ("item_id", "token"),
            ("movie_title", "token_seq"),
            ("year", "float"),
            ("class", "token_seq"),
            ("vector", "float_seq"),
            ("text", "token_seq"),
        ]));
        assert_eq!(item.title.as_deref(), Some("movie_title"));
        assert_eq!(item.text, ["movie_title", "class", "text"]);
        assert_eq!(item.attributes, ["year", "class"]);
        let inter = interaction_columns(&typed(&[("user_id", "token"), ("item_id", "token")]));
        assert_eq!((inter.value, inter.timestamp, inter.part), (None, None, None));
        assert_eq!(inter.event_name, "interaction");
    }
}

//! MovieLens folders: 100k, 1M and latest.
//!
//! Harper and Konstan, "The MovieLens Datasets: History and Context", ACM TiiS 5(4), 2015.
//! An item's text is its title and its genres; its attributes are `year` and `genres`, and
//! `release_date` where there is one. A user has `gender`, `age`, `occupation` (a code in 1M)
//! and `zip`, as far as the edition has them.

use std::collections::BTreeMap;
use std::path::Path;

use quintet_data::{Item, User};

use crate::IngestError;
use crate::catalog::{Catalog, lines, read_items, read_users};
use crate::config::{Encoding, InteractionColumns, MovieLensConfig};
use crate::log::{Flaw, Log, shown};
use crate::paths::{Root, join};
use crate::report::FaultCode;
use crate::table::{Format, Layout, Row, Table, TableSpec};

/// Which form a folder has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edition {
    Ml100k,
    Ml1m,
    Latest,
}

/// A table of ratings, ready to be read.
pub(crate) type Ratings = (TableSpec, InteractionColumns);

/// Reads users and movies of a folder; gives what is needed to read its ratings.
pub(crate) fn read_movielens(
    root: &Root,
    config: &MovieLensConfig,
    catalog: &mut Catalog,
    log: &mut Log,
) -> Result<Ratings, IngestError> {
    let folder = config.folder.as_str();
    match edition(folder, &root.resolve(folder)?)? {
        Edition::Ml100k => ml_100k(root, folder, catalog, log),
        Edition::Ml1m => ml_1m(root, folder, catalog, log),
        Edition::Latest => ml_latest(root, folder, catalog, log),
    }
}

fn edition(folder: &str, path: &Path) -> Result<Edition, IngestError> {
    let entries = std::fs::read_dir(path).map_err(IngestError::io(folder))?;
    let mut found: Vec<String> =
        entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    found.sort_unstable();
    let has = |names: &[&str]| names.iter().all(|name| found.iter().any(|f| f == name));
    if has(&["u.data", "u.item"]) {
        Ok(Edition::Ml100k)
    } else if has(&["ratings.dat", "movies.dat"]) {
        Ok(Edition::Ml1m)
    } else if has(&["ratings.csv", "movies.csv"]) {
        Ok(Edition::Latest)
    } else {
        Err(IngestError::NotMovieLens { folder: folder.to_owned(), found })
    }
}

/// A file of the folder with its layout.
fn spec(folder: &str, name: &str, role: &'static str, delimiter: &str) -> TableSpec {
    let csv = delimiter == ",";
    let layout = Layout {
        delimiter: delimiter.to_owned(),
        header: csv,
        quote: csv,
        // The old editions were written before UTF-8 was common.
        encoding: if csv { Encoding::Utf8 } else { Encoding::Latin1 },
    };
    TableSpec { file: join(folder, name), role, format: Format::Delimited(layout) }
}

fn ratings(folder: &str, name: &str, delimiter: &str, columns: [&str; 4]) -> Ratings {
    let [user, item, value, timestamp] = columns.map(str::to_owned);
    let columns = InteractionColumns {
        user,
        item,
        value: Some(value),
        timestamp: Some(timestamp),
        event_name: "rating".to_owned(),
        ..InteractionColumns::default()
    };
    (spec(folder, name, "interactions", delimiter), columns)
}

/// The names of columns without a header line.
fn numbered(count: usize) -> Vec<String> {
    (1..=count).map(|i| i.to_string()).collect()
}

fn ml_100k(
    root: &Root,
    folder: &str,
    catalog: &mut Catalog,
    log: &mut Log,
) -> Result<Ratings, IngestError> {
    let genres = genre_names(root, folder, log)?;
    let names = numbered(5 + genres.len());
    let asked: Vec<&str> = names.iter().map(String::as_str).collect();
    let make = |row: &Row| {
        let flags = genres.iter().enumerate().filter(|(i, _)| row.cell(5 + i).trim() == "1");
        let genres: Vec<&str> = flags.map(|(_, name)| name.as_str()).collect();
        let mut item = movie(row.cell(0), row.cell(1), &genres);
        let date = row.cell(2).trim();
        if !date.is_empty() {
            item.attributes.insert("release_date".to_owned(), date.to_owned());
        }
        item
    };
    read_items(root, &spec(folder, "u.item", "items", "|"), &asked, catalog, log, &make)?;
    let make = |row: &Row| viewer(row, &["age", "gender", "occupation", "zip"]);
    let asked = ["1", "2", "3", "4", "5"];
    read_users(root, &spec(folder, "u.user", "users", "|"), &asked, catalog, log, &make)?;
    Ok(ratings(folder, "u.data", "\t", ["1", "2", "3", "4"]))
}

/// The genres of `u.genre` by their number, which is the order of the flags in `u.item`.
fn genre_names(root: &Root, folder: &str, log: &mut Log) -> Result<Vec<String>, IngestError> {
    let spec = spec(folder, "u.genre", "genres", "|");
    let mut table = Table::open(root, &spec, &["1", "2"], log)?;
    let mut genres: Vec<String> = Vec::new();
    while table.next(log)? {
        let (row, origin) = (table.row(), table.origin());
        if row.cell(1).trim() == genres.len().to_string() {
            genres.push(row.cell(0).trim().to_owned());
            log.file(origin.file).rows_kept += 1;
        } else {
            let expected = format!("the number {}", genres.len());
            let found = shown(row.cell(1));
            let flaw = Flaw::new(FaultCode::BadNumber, expected, found);
            log.drop_row(origin, None, flaw)?;
        }
    }
    Ok(genres)
}

fn ml_1m(
    root: &Root,
    folder: &str,
    catalog: &mut Catalog,
    log: &mut Log,
) -> Result<Ratings, IngestError> {
    let movies = spec(folder, "movies.dat", "items", "::");
    read_items(root, &movies, &["1", "2", "3"], catalog, log, &movie_of_list)?;
    let make = |row: &Row| viewer(row, &["gender", "age", "occupation", "zip"]);
    let asked = ["1", "2", "3", "4", "5"];
    read_users(root, &spec(folder, "users.dat", "users", "::"), &asked, catalog, log, &make)?;
    Ok(ratings(folder, "ratings.dat", "::", ["1", "2", "3", "4"]))
}

fn ml_latest(
    root: &Root,
    folder: &str,
    catalog: &mut Catalog,
    log: &mut Log,
) -> Result<Ratings, IngestError> {
    let asked = ["movieId", "title", "genres"];
    let movies = spec(folder, "movies.csv", "items", ",");
    read_items(root, &movies, &asked, catalog, log, &movie_of_list)?;
    Ok(ratings(folder, "ratings.csv", ",", ["userId", "movieId", "rating", "timestamp"]))
}

/// A movie whose genres are one cell, such as `Comedy|Drama`.
fn movie_of_list(row: &Row) -> Item {
    let genres: Vec<&str> = row.cell(2).split('|').map(str::trim).collect();
    movie(row.cell(0), row.cell(1), &genres)
}

fn movie(id: &str, title: &str, genres: &[&str]) -> Item {
    let none = ["", "unknown", "(no genres listed)"];
    let genres: Vec<&str> = genres.iter().copied().filter(|g| !none.contains(g)).collect();
    let genres = genres.join(", ");
    let title = title.trim();
    let mut attributes = BTreeMap::new();
    if let Some(year) = year(title) {
        attributes.insert("year".to_owned(), year.to_owned());
    }
    if !genres.is_empty() {
        attributes.insert("genres".to_owned(), genres.clone());
    }
    let text = lines([title, &genres].into_iter());
    Item { id: id.to_owned(), title: title.to_owned(), text, attributes }
}

/// The year at the end of a title: `Toy Story (1995)`.
fn year(title: &str) -> Option<&str> {
    let year = title.strip_suffix(')')?.rsplit_once('(')?.1;
    (year.len() == 4 && year.bytes().all(|b| b.is_ascii_digit())).then_some(year)
}

fn viewer(row: &Row, names: &[&str; 4]) -> User {
    let attributes = names
        .iter()
        .enumerate()
        .map(|(i, name)| ((*name).to_owned(), row.cell(1 + i).trim().to_owned()))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    User { id: row.cell(0).to_owned(), attributes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_movie_has_its_title_and_genres_as_text() {
        let item = movie("1", "Toy Story (1995)", &["Animation", "Comedy"]);
        assert_eq!(item.text.as_deref(), Some("Toy Story (1995)\nAnimation, Comedy"));
        assert_eq!(item.attributes["year"], "1995");
        let bare = movie("267", "unknown", &["unknown"]);
        assert_eq!(bare.text.as_deref(), Some("unknown"));
        assert!(bare.attributes.is_empty());
        assert_eq!(year("Shanghai Triad (Yao a yao) (1995)"), Some("1995"));
        assert_eq!(year("2001 (odyssey)"), None);
    }
}

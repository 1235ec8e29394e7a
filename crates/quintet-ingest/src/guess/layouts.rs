//! Known layouts by the names of their files.

use super::{Draft, Role, known, sniff, tabs};
use crate::IngestError;
use crate::config::{
    DuplicatePolicy, IngestConfig, MovieLensConfig, TableFile, TableFormat, TimeUnit,
};
use crate::config_sources::{
    AmazonConfig, CheckinColumns, CheckinsConfig, LightGcnConfig, MmRecConfig, RecBoleConfig,
};
use crate::layouts::find_checkin_files;
use crate::paths::Root;
use crate::table::{TableSpec, column_names, untyped};

/// The columns of a MovieLens file of ratings without names, and of others without a header.
const NUMBERED: [(&str, Role); 4] =
    [("1", Role::User), ("2", Role::Item), ("3", Role::Value), ("4", Role::Timestamp)];

fn here() -> String {
    ".".to_owned()
}

/// The layout of a folder, if it is a known one.
pub(super) fn folder(root: &Root, names: &[String]) -> Result<Option<Draft>, IngestError> {
    let has = |name: &str| names.iter().any(|n| n == name);
    let movielens = || IngestConfig {
        name: "movielens".to_owned(),
        movielens: Some(MovieLensConfig { folder: here() }),
        ..IngestConfig::default()
    };
    if has("u.data") && has("u.item") {
        let draft = known(root, movielens(), tabs("u.data", false), &NUMBERED, "MovieLens 100k")?;
        return Ok(Some(draft));
    }
    if has("ratings.dat") && has("movies.dat") {
        let table = TableFile { delimiter: Some("::".to_owned()), ..tabs("ratings.dat", false) };
        return known(root, movielens(), table, &NUMBERED, "MovieLens 1M").map(Some);
    }
    if has("ratings.csv") && has("movies.csv") && names_of_latest(root)? {
        let table = TableFile { path: "ratings.csv".to_owned(), ..TableFile::default() };
        let roles = [
            ("userId", Role::User),
            ("movieId", Role::Item),
            ("rating", Role::Value),
            ("timestamp", Role::Timestamp),
        ];
        return known(root, movielens(), table, &roles, "MovieLens latest").map(Some);
    }
    let inter: Vec<&String> = names.iter().filter(|name| name.ends_with(".inter")).collect();
    if let [first, rest @ ..] = inter.as_slice() {
        return atomic(root, first, rest.len()).map(Some);
    }
    if has("train.txt") && has("test.txt") && numbers(root, "train.txt")? {
        let config = IngestConfig {
            name: "lightgcn".to_owned(),
            lightgcn: Some(LightGcnConfig { folder: here() }),
            ..IngestConfig::default()
        };
        let file = "train.txt".to_owned();
        return Ok(Some(Draft {
            config,
            file,
            table: None,
            columns: Vec::new(),
            warnings: Vec::new(),
        }));
    }
    if let Some(files) = find_checkin_files(names) {
        let config = CheckinsConfig { folder: Some(here()), ..CheckinsConfig::default() };
        let roles = [("1", Role::User), ("2", Role::Item), ("3", Role::Timestamp)];
        let table = tabs(&files.checkins, false);
        return known(root, with_checkins(config), table, &roles, "check-ins").map(Some);
    }
    amazon_folder(root, names)
}

/// The layout of a file, if it is a known one.
pub(super) fn file(root: &Root, name: &str) -> Result<Option<Draft>, IngestError> {
    if name.ends_with(".inter") {
        let mut draft = atomic(root, name, 0)?;
        let stem = name.trim_end_matches(".inter").to_owned();
        if let Some(recbole) = &mut draft.config.recbole {
            recbole.name = Some(stem);
        } else if let Some(mmrec) = &mut draft.config.mmrec {
            mmrec.name = Some(stem);
        }
        return Ok(Some(draft));
    }
    if name == "u.data" {
        let names = crate::layouts::entries(root, ".")?;
        if names.iter().any(|n| n == "u.item") {
            return folder(root, &names);
        }
    }
    if name.ends_with(".csv") {
        return rows_with_places(root, name);
    }
    Ok(None)
}

fn with_checkins(checkins: CheckinsConfig) -> IngestConfig {
    IngestConfig {
        name: "checkins".to_owned(),
        duplicates: DuplicatePolicy::KeepAll,
        checkins: Some(checkins),
        ..IngestConfig::default()
    }
}

fn names_of_latest(root: &Root) -> Result<bool, IngestError> {
    let table = TableFile { path: "ratings.csv".to_owned(), ..TableFile::<()>::default() };
    let names = column_names(root, &TableSpec::new("interactions", &table, TimeUnit::S)?)?;
    Ok(["userId", "movieId"].iter().all(|name| names.iter().any(|n| n == name)))
}

/// `NAME.inter` of MMRec or of RecBole, by its columns.
fn atomic(root: &Root, file: &str, others: usize) -> Result<Draft, IngestError> {
    let table = tabs(file, true);
    let spec = TableSpec::new("interactions", &table, TimeUnit::S)?;
    let names = column_names(root, &spec)?;
    let stem = file.trim_end_matches(".inter").to_owned();
    let name = (others > 0).then(|| stem.clone());
    let config = IngestConfig { name: stem, ..IngestConfig::default() };
    let mut draft = if names.iter().any(|name| untyped(name).unwrap_or(name) == "userID") {
        let mmrec = MmRecConfig { folder: here(), name, original_ids: false };
        let roles = [
            ("userID", Role::User),
            ("itemID", Role::Item),
            ("rating", Role::Value),
            ("timestamp", Role::Timestamp),
            ("x_label", Role::Part),
        ];
        known(root, IngestConfig { mmrec: Some(mmrec), ..config }, table, &roles, "MMRec")?
    } else {
        let recbole = RecBoleConfig { folder: here(), name };
        let roles = [
            ("user_id", Role::User),
            ("item_id", Role::Item),
            ("rating", Role::Value),
            ("timestamp", Role::Timestamp),
            ("event", Role::Event),
            ("x_label", Role::Part),
        ];
        known(root, IngestConfig { recbole: Some(recbole), ..config }, table, &roles, "RecBole")?
    };
    if others > 0 {
        draft.warnings.push(format!("{others} more files *.inter: `name` says which is read"));
    }
    Ok(draft)
}

/// Whether a file has lines of whole numbers.
fn numbers(root: &Root, file: &str) -> Result<bool, IngestError> {
    let lines = sniff::head(root, file)?;
    let whole = |token: &str| token.bytes().all(|b| b.is_ascii_digit());
    let good = |line: &String| line.split_ascii_whitespace().all(whole) && !line.contains('\t');
    Ok(!lines.is_empty() && lines.iter().all(good))
}

/// A table with coordinates in every row: that of MAT-Sum, or one with names of its own.
fn rows_with_places(root: &Root, name: &str) -> Result<Option<Draft>, IngestError> {
    let table = TableFile { path: name.to_owned(), ..TableFile::<()>::default() };
    let names = column_names(root, &TableSpec::new("interactions", &table, TimeUnit::S)?)?;
    let has = |wanted: &[&str]| wanted.iter().all(|w| names.iter().any(|n| n == w));
    if !has(&["tid", "label", "lat", "lon", "poi"]) {
        return Ok(None);
    }
    let columns = CheckinColumns {
        user: "label".to_owned(),
        place: "poi".to_owned(),
        timestamp: None,
        time_unit: TimeUnit::S,
        lat: Some("lat".to_owned()),
        lon: Some("lon".to_owned()),
        category: has(&["category"]).then(|| "category".to_owned()),
    };
    let config = CheckinsConfig {
        file: Some(name.to_owned()),
        columns: Some(columns),
        ..CheckinsConfig::default()
    };
    let roles = [
        ("label", Role::User),
        ("poi", Role::Item),
        ("lat", Role::Lat),
        ("lon", Role::Lon),
        ("category", Role::Attribute),
    ];
    let mut draft = known(root, with_checkins(config), table, &roles, "trajectories with places")?;
    draft.warnings.push("day and hour are no time: splits by time cannot be made".to_owned());
    Ok(Some(draft))
}

/// Reviews and metadata of Amazon, by the keys of the first records.
fn amazon_folder(root: &Root, names: &[String]) -> Result<Option<Draft>, IngestError> {
    let (mut reviews, mut metadata) = (None, None);
    for name in names.iter().filter(|name| name.contains(".json")) {
        let lines = sniff::head(root, name)?;
        let has = |key: &str| {
            let first = lines.first().map_or("", String::as_str);
            first.contains(&format!("\"{key}\"")) || first.contains(&format!("'{key}'"))
        };
        if !has("asin") {
            continue;
        }
        if has("reviewerID") || has("user_id") {
            reviews.get_or_insert((name.clone(), has("user_id")));
        } else {
            metadata.get_or_insert(name.clone());
        }
    }
    let Some((reviews, latest)) = reviews else { return Ok(None) };
    let amazon = AmazonConfig { reviews: reviews.clone(), metadata, all_items: false };
    let config =
        IngestConfig { name: "amazon".to_owned(), amazon: Some(amazon), ..IngestConfig::default() };
    let table = TableFile { path: reviews, format: Some(TableFormat::Jsonl), ..Default::default() };
    let roles = if latest {
        [
            ("user_id", Role::User),
            ("parent_asin", Role::Item),
            ("rating", Role::Value),
            ("timestamp", Role::Timestamp),
        ]
    } else {
        [
            ("reviewerID", Role::User),
            ("asin", Role::Item),
            ("overall", Role::Value),
            ("unixReviewTime", Role::Timestamp),
        ]
    };
    known(root, config, table, &roles, "Amazon reviews").map(Some)
}

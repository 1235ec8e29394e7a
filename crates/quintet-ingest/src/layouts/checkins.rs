//! Check-ins at places with coordinates: the layout of Liu et al., "An Experimental Evaluation of
//! Point-of-Interest Recommendation in Location-Based Social Networks", PVLDB 10(10), 2017, and
//! tables with the coordinates in every row.

use std::collections::BTreeMap;

use quintet_data::Item;

use super::{Reading, entries};
use crate::IngestError;
use crate::catalog::empty_id;
use crate::columns::Meaning;
use crate::config::{InteractionColumns, TableFile, TableFormat};
use crate::config_sources::{CheckinColumns, CheckinsConfig, PlaceColumns};
use crate::events::Sink;
use crate::log::{Flaw, shown};
use crate::paths::join;
use crate::report::FaultCode;
use crate::table::{Row, Table, TableSpec};

/// The files of a folder.
pub(crate) struct Files {
    pub(crate) checkins: String,
    pub(crate) places: String,
    pub(crate) categories: Option<String>,
}

/// Finds the files of a folder by their names.
pub(crate) fn find_files(names: &[String]) -> Option<Files> {
    let find = |part: &str| {
        let plain = |name: &&String| name.to_lowercase().replace(['_', '-'], "").contains(part);
        names.iter().find(plain).cloned()
    };
    let (checkins, places) = (find("checkins")?, find("poicoos")?);
    Some(Files { checkins, places, categories: find("poicategories") })
}

pub(super) fn read(reading: &mut Reading, config: &CheckinsConfig) -> Result<(), IngestError> {
    let (file, places, categories) = match (&config.folder, &config.file) {
        (Some(folder), _) => {
            let names = entries(reading.root, folder)?;
            let Some(files) = find_files(&names) else {
                let expected = "files *checkins* and *poi_coos*".to_owned();
                return Err(IngestError::Layout { path: folder.clone(), expected, found: names });
            };
            let path = |name: String| join(folder, &name);
            let places = Some(path(files.places));
            (path(files.checkins), places, files.categories.map(path))
        }
        (None, file) => (file.clone().unwrap_or_default(), config.places.clone(), None),
    };
    if let Some(places) = places {
        read_places(reading, config, places)?;
    }
    if let Some(categories) = categories {
        read_categories(reading, config, categories)?;
    }
    let columns = config.columns.clone().unwrap_or_else(CheckinColumns::numbered);
    let table = TableFile {
        columns: interaction_columns(&columns),
        ..file_of(file, config, config.columns.is_some())
    };
    let spec = TableSpec::new("interactions", &table, columns.time_unit)?;
    match (&columns.lat, &columns.lon) {
        (Some(lat), Some(lon)) => {
            let mut extra = vec![lat.as_str(), lon.as_str()];
            extra.extend(columns.category.as_deref());
            read_rows(reading, &spec, &table.columns, &extra)
        }
        _ => reading.interactions(&spec, &table.columns),
    }
}

fn file_of<C: Default>(path: String, config: &CheckinsConfig, named: bool) -> TableFile<C> {
    let lower = path.to_lowercase();
    let typed = ["json", "jsonl", "parquet", "arrow"].iter().any(|end| lower.contains(end));
    let csv = lower.contains(".csv");
    let format = (!typed).then_some(if csv { TableFormat::Csv } else { TableFormat::Tsv });
    TableFile {
        path,
        format,
        delimiter: config.delimiter.clone(),
        header: config.header.or((!typed).then_some(named)),
        ..TableFile::default()
    }
}

fn interaction_columns(columns: &CheckinColumns) -> InteractionColumns {
    InteractionColumns {
        user: columns.user.clone(),
        item: columns.place.clone(),
        timestamp: columns.timestamp.clone(),
        time_unit: columns.time_unit,
        event_name: "checkin".to_owned(),
        ..InteractionColumns::default()
    }
}

/// Latitude, longitude and category as attributes, or what is wrong with them.
fn attributes(row: &Row, first: usize, category: bool) -> Result<BTreeMap<String, String>, Flaw> {
    let mut out = BTreeMap::new();
    for (at, (name, most)) in [("lat", 90.0), ("lon", 180.0)].into_iter().enumerate() {
        let cell = row.cell(first + at).trim();
        let degrees = cell.parse::<f64>().ok().filter(|d| d.abs() <= most);
        if degrees.is_none() {
            let expected = format!("{name} from -{most} to {most} degrees");
            return Err(Flaw::new(FaultCode::BadCoordinate, expected, shown(cell)));
        }
        out.insert(name.to_owned(), cell.to_owned());
    }
    if category && !row.cell(first + 2).trim().is_empty() {
        out.insert("category".to_owned(), row.cell(first + 2).trim().to_owned());
    }
    Ok(out)
}

/// Reads a table of places.
fn read_places(
    reading: &mut Reading,
    config: &CheckinsConfig,
    path: String,
) -> Result<(), IngestError> {
    let columns = config.place_columns.clone().unwrap_or_else(PlaceColumns::numbered);
    let file = file_of::<()>(path, config, config.place_columns.is_some());
    let spec = TableSpec::new("items", &file, Default::default())?;
    let mut asked = vec![columns.id.as_str(), columns.lat.as_str(), columns.lon.as_str()];
    asked.extend(columns.category.as_deref());
    let Reading { root, catalog, log, .. } = reading;
    catalog.knows_items = true;
    let mut table = Table::open(root, &spec, &asked, log)?;
    while table.next(log)? {
        let (row, origin) = (table.row(), table.origin());
        let id = row.cell(0);
        if let Some(flaw) = empty_id(id, "place") {
            log.drop_row(origin, None, flaw)?;
        } else if let Some(first) = catalog.item(id) {
            let flaw = catalog.second_item(first, log);
            log.drop_row(origin, Some(id), flaw)?;
        } else {
            match attributes(row, 1, columns.category.is_some()) {
                Ok(attributes) => {
                    let item = Item { id: id.to_owned(), attributes, ..Item::default() };
                    catalog.add_item(item, Some(origin));
                }
                Err(flaw) => log.drop_row(origin, Some(id), flaw)?,
            }
        }
    }
    Ok(())
}

/// Reads a table of places and categories; a place may have several.
fn read_categories(
    reading: &mut Reading,
    config: &CheckinsConfig,
    path: String,
) -> Result<(), IngestError> {
    let file = TableFile { header: Some(false), ..file_of::<()>(path, config, false) };
    let spec = TableSpec::new("join", &file, Default::default())?;
    let Reading { root, catalog, log, .. } = reading;
    let mut table = Table::open(root, &spec, &["1", "2"], log)?;
    while table.next(log)? {
        let (row, origin) = (table.row(), table.origin());
        let Some(at) = catalog.item(row.cell(0)) else {
            let found = shown(row.cell(0));
            let flaw = Flaw::new(FaultCode::UnknownJoinId, "a place of the catalogue", found);
            log.drop_row(origin, Some(row.cell(0)), flaw)?;
            continue;
        };
        let categories =
            catalog.items[at.index()].attributes.entry("category".to_owned()).or_default();
        if !categories.is_empty() {
            categories.push_str(", ");
        }
        categories.push_str(row.cell(1).trim());
        log.file(origin.file).rows_kept += 1;
    }
    Ok(())
}

/// Reads check-ins with the coordinates of the place in every row.
fn read_rows(
    reading: &mut Reading,
    spec: &TableSpec,
    columns: &InteractionColumns,
    extra: &[&str],
) -> Result<(), IngestError> {
    let (meaning, mut names) = Meaning::new(columns, reading.config)?;
    let first = names.len();
    names.extend(extra);
    let Reading { root, catalog, events, log, .. } = reading;
    let mut table = Table::open(root, spec, &names, log)?;
    let mut sink = Sink { meaning: &meaning, catalog, into: events, log };
    while table.next(sink.log)? {
        let (row, origin) = (table.row(), table.origin());
        let place = row.cell(1);
        let attributes = match attributes(row, first, extra.len() > 2) {
            Ok(attributes) => attributes,
            Err(flaw) => {
                sink.log.drop_row(origin, Some(place), flaw)?;
                continue;
            }
        };
        sink.row(row, origin)?;
        let Some(at) = sink.catalog.item(place) else { continue };
        let known = &mut sink.catalog.items[at.index()].attributes;
        if known.is_empty() {
            *known = attributes;
        } else if ["lat", "lon"].iter().any(|c| known.get(*c) != attributes.get(*c)) {
            let show = |of: &BTreeMap<String, String>| {
                let at = |name: &str| of.get(name).map_or("", String::as_str);
                format!("{}, {}", at("lat"), at("lon"))
            };
            let expected = format!("{}, as in its first row", show(known));
            let flaw = Flaw::new(FaultCode::OtherCoordinate, expected, show(&attributes));
            sink.log.note_row(origin, Some(place), flaw)?;
        }
    }
    Ok(())
}

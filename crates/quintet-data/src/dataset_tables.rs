//! The four tables of a dataset: rows to columns and back.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow_array::types::{ArrowPrimitiveType, Float32Type, UInt32Type};
use arrow_array::{
    Array, ArrayRef, Float32Array, Int64Array, PrimitiveArray, StringArray, UInt32Array,
    UInt64Array,
};
use arrow_schema::DataType;
use quintet_core::{IdMap, ItemIdx, Modality, UserIdx};

use crate::parquet_io::{
    Batch, Column, TableReader, optional, required, text_at, write_ranges, write_table,
};
use crate::{DataError, Dataset, Event, Events, Item, MediaFile, MediaStatus, Part, User};

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn optional_texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn optional_numbers<T: ArrowPrimitiveType>(
    values: impl Iterator<Item = Option<T::Native>>,
) -> ArrayRef {
    let values: Vec<Option<T::Native>> = values.collect();
    Arc::new(values.into_iter().collect::<PrimitiveArray<T>>())
}

/// Attributes as JSON text, keys in order.
fn attribute_texts<'a>(
    path: &Path,
    maps: impl Iterator<Item = &'a BTreeMap<String, String>>,
) -> Result<ArrayRef, DataError> {
    let json: Result<Vec<String>, _> = maps.map(serde_json::to_string).collect();
    let json =
        json.map_err(|source| DataError::Json { path: path.to_owned(), row: None, source })?;
    Ok(Arc::new(StringArray::from(json)))
}

fn attributes_at(
    batch: &Batch,
    column: &StringArray,
    row: usize,
) -> Result<BTreeMap<String, String>, DataError> {
    serde_json::from_str(column.value(row)).map_err(|source| batch.json(row, source))
}

fn user_columns() -> [Column; 2] {
    [required("id", DataType::Utf8), required("attributes", DataType::Utf8)]
}

pub(crate) fn write_users(data: &Dataset, path: &Path) -> Result<(), DataError> {
    write_table(path, &user_columns(), &data.users, |rows| {
        Ok(vec![
            texts(rows.iter().map(|u| u.id.as_str())),
            attribute_texts(path, rows.iter().map(|u| &u.attributes))?,
        ])
    })
}

pub(crate) fn read_users(path: &Path) -> Result<Vec<User>, DataError> {
    let mut table = TableReader::open(path, &user_columns())?;
    let mut users = Vec::new();
    while let Some(batch) = table.next_batch()? {
        let (ids, attributes) = (batch.text("id")?, batch.text("attributes")?);
        for row in 0..batch.len() {
            users.push(User {
                id: ids.value(row).to_owned(),
                attributes: attributes_at(&batch, attributes, row)?,
            });
        }
    }
    Ok(users)
}

fn item_columns() -> [Column; 4] {
    [
        required("id", DataType::Utf8),
        required("title", DataType::Utf8),
        optional("text", DataType::Utf8),
        required("attributes", DataType::Utf8),
    ]
}

pub(crate) fn write_items(data: &Dataset, path: &Path) -> Result<(), DataError> {
    write_table(path, &item_columns(), &data.items, |rows| {
        Ok(vec![
            texts(rows.iter().map(|i| i.id.as_str())),
            texts(rows.iter().map(|i| i.title.as_str())),
            optional_texts(rows.iter().map(|i| i.text.as_deref())),
            attribute_texts(path, rows.iter().map(|i| &i.attributes))?,
        ])
    })
}

pub(crate) fn read_items(path: &Path) -> Result<Vec<Item>, DataError> {
    let mut table = TableReader::open(path, &item_columns())?;
    let mut items = Vec::new();
    while let Some(batch) = table.next_batch()? {
        let (ids, titles) = (batch.text("id")?, batch.text("title")?);
        let (long, attributes) = (batch.text("text")?, batch.text("attributes")?);
        for row in 0..batch.len() {
            items.push(Item {
                id: ids.value(row).to_owned(),
                title: titles.value(row).to_owned(),
                text: text_at(long, row),
                attributes: attributes_at(&batch, attributes, row)?,
            });
        }
    }
    Ok(items)
}

fn event_columns() -> [Column; 6] {
    [
        required("user", DataType::Utf8),
        required("item", DataType::Utf8),
        required("event", DataType::Utf8),
        required("value", DataType::Float32),
        optional("timestamp", DataType::Int64),
        optional("part", DataType::Utf8),
    ]
}

pub(crate) fn write_events(data: &Dataset, path: &Path) -> Result<(), DataError> {
    let events = &data.events;
    write_ranges(path, &event_columns(), events.len(), |rows| {
        let all = || rows.clone();
        let user = |row: usize| data.users[events.users()[row].index()].id.as_str();
        let item = |row: usize| data.items[events.items()[row].index()].id.as_str();
        Ok(vec![
            texts(all().map(user)),
            texts(all().map(item)),
            texts(all().map(|row| events.kind_name(row))),
            Arc::new(Float32Array::from_iter_values(all().map(|row| events.values()[row]))),
            Arc::new(all().map(|row| events.timestamp(row)).collect::<Int64Array>()),
            optional_texts(all().map(|row| events.part(row).map(Part::as_str))),
        ])
    })
}

pub(crate) fn read_events(
    path: &Path,
    users: &IdMap,
    items: &IdMap,
    n_events: usize,
) -> Result<Events, DataError> {
    let mut table = TableReader::open(path, &event_columns())?;
    let mut events = Events::new();
    // The number comes from a file: what it promises beyond the rows that are there costs nothing.
    events.reserve(n_events.min(table.n_rows()));
    while let Some(batch) = table.next_batch()? {
        let (user, item) = (batch.text("user")?, batch.text("item")?);
        let (kind, part) = (batch.text("event")?, batch.text("part")?);
        let value: &Float32Array = batch.typed("value", &DataType::Float32)?;
        let time: &Int64Array = batch.typed("timestamp", &DataType::Int64)?;
        for row in 0..batch.len() {
            events.push(Event {
                user: UserIdx::new(position(&batch, "user", user, row, users)?),
                item: ItemIdx::new(position(&batch, "item", item, row, items)?),
                event: kind.value(row),
                value: value.value(row),
                timestamp: number_at(time, row),
                part: part_at(&batch, part, row)?,
            });
        }
    }
    Ok(events)
}

fn part_at(batch: &Batch, column: &StringArray, row: usize) -> Result<Option<Part>, DataError> {
    if column.is_null(row) {
        return Ok(None);
    }
    let name = column.value(row);
    let part = Part::ALL.into_iter().find(|p| p.as_str() == name);
    let expected = "one of train, valid, test, or nothing";
    part.map(Some).ok_or_else(|| batch.cell("part", row, expected, format!("{name:?}")))
}

/// The position of the id in a cell.
fn position(
    batch: &Batch,
    name: &str,
    column: &StringArray,
    row: usize,
    ids: &IdMap,
) -> Result<usize, DataError> {
    let id = column.value(row);
    ids.position(id).ok_or_else(|| {
        batch.cell(name, row, format!("the id of one of {} {name}s", ids.len()), format!("{id:?}"))
    })
}

fn number_at<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>, row: usize) -> Option<T::Native> {
    column.is_valid(row).then(|| column.value(row))
}

fn media_columns() -> [Column; 11] {
    [
        required("item", DataType::Utf8),
        required("modality", DataType::Utf8),
        required("path", DataType::Utf8),
        required("blake3", DataType::Utf8),
        required("bytes", DataType::UInt64),
        optional("width", DataType::UInt32),
        optional("height", DataType::UInt32),
        optional("seconds", DataType::Float32),
        optional("frames", DataType::UInt32),
        required("status", DataType::Utf8),
        optional("error", DataType::Utf8),
    ]
}

pub(crate) fn write_media(data: &Dataset, path: &Path) -> Result<(), DataError> {
    write_table(path, &media_columns(), &data.media, |rows| {
        Ok(vec![
            texts(rows.iter().map(|m| data.items[m.item.index()].id.as_str())),
            texts(rows.iter().map(|m| m.modality.as_str())),
            texts(rows.iter().map(|m| m.path.as_str())),
            texts(rows.iter().map(|m| m.blake3.as_str())),
            Arc::new(UInt64Array::from_iter_values(rows.iter().map(|m| m.bytes))),
            optional_numbers::<UInt32Type>(rows.iter().map(|m| m.width)),
            optional_numbers::<UInt32Type>(rows.iter().map(|m| m.height)),
            optional_numbers::<Float32Type>(rows.iter().map(|m| m.seconds)),
            optional_numbers::<UInt32Type>(rows.iter().map(|m| m.frames)),
            texts(rows.iter().map(|m| m.status.as_str())),
            optional_texts(rows.iter().map(|m| m.error.as_deref())),
        ])
    })
}

pub(crate) fn read_media(path: &Path, items: &IdMap) -> Result<Vec<MediaFile>, DataError> {
    let mut table = TableReader::open(path, &media_columns())?;
    let mut media = Vec::new();
    while let Some(batch) = table.next_batch()? {
        let (item, modality) = (batch.text("item")?, batch.text("modality")?);
        let (file, hash) = (batch.text("path")?, batch.text("blake3")?);
        let (status, error) = (batch.text("status")?, batch.text("error")?);
        let bytes: &UInt64Array = batch.typed("bytes", &DataType::UInt64)?;
        let width: &UInt32Array = batch.typed("width", &DataType::UInt32)?;
        let height: &UInt32Array = batch.typed("height", &DataType::UInt32)?;
        let frames: &UInt32Array = batch.typed("frames", &DataType::UInt32)?;
        let seconds: &Float32Array = batch.typed("seconds", &DataType::Float32)?;
        for row in 0..batch.len() {
            media.push(MediaFile {
                item: ItemIdx::new(position(&batch, "item", item, row, items)?),
                modality: modality_at(&batch, modality, row)?,
                path: file.value(row).to_owned(),
                blake3: hash.value(row).to_owned(),
                bytes: bytes.value(row),
                width: number_at(width, row),
                height: number_at(height, row),
                seconds: number_at(seconds, row),
                frames: number_at(frames, row),
                status: status_at(&batch, status, row)?,
                error: text_at(error, row),
            });
        }
    }
    Ok(media)
}

fn modality_at(batch: &Batch, column: &StringArray, row: usize) -> Result<Modality, DataError> {
    let name = column.value(row);
    name.parse().map_err(|_| {
        let known = Modality::ALL.map(Modality::as_str).join(", ");
        batch.cell("modality", row, format!("one of {known}"), format!("{name:?}"))
    })
}

fn status_at(batch: &Batch, column: &StringArray, row: usize) -> Result<MediaStatus, DataError> {
    let name = column.value(row);
    [MediaStatus::Ok, MediaStatus::Missing, MediaStatus::Error]
        .into_iter()
        .find(|s| s.as_str() == name)
        .ok_or_else(|| batch.cell("status", row, "one of ok, missing, error", format!("{name:?}")))
}

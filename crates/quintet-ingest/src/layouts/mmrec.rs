//! Folders of MMRec: Zhou, "MMRec: Simplifying Multimodal Recommendation", MM Asia 2023.

use std::path::{Path, PathBuf};

use quintet_core::Modality;
use quintet_data::{Item, User};

use super::{Reading, entries, inter_name};
use crate::IngestError;
use crate::catalog::{read_items, read_users};
use crate::config::{InteractionColumns, TableFile, TableFormat, TimeUnit};
use crate::config_sources::MmRecConfig;
use crate::paths::join;
use crate::table::{Row, TableSpec, column_names};

/// The attribute that holds an id of the mapping.
pub(crate) const ORIGINAL: &str = "original_id";
/// The names of feature matrices.
const MATRICES: [(&str, Modality); 11] = [
    ("image_feat.npy", Modality::Image),
    ("v_feat.npy", Modality::Image),
    ("visual_feat.npy", Modality::Image),
    ("img_feat.npy", Modality::Image),
    ("text_feat.npy", Modality::Text),
    ("t_feat.npy", Modality::Text),
    ("txt_feat.npy", Modality::Text),
    ("audio_feat.npy", Modality::Audio),
    ("a_feat.npy", Modality::Audio),
    ("acoustic_feat.npy", Modality::Audio),
    ("video_feat.npy", Modality::Video),
];

pub(super) fn read(reading: &mut Reading, config: &MmRecConfig) -> Result<(), IngestError> {
    let folder = config.folder.as_str();
    let names = entries(reading.root, folder)?;
    let name = inter_name(folder, &names, config.name.as_ref())?;
    let inter = tabs("interactions", join(folder, &format!("{name}.inter")))?;
    let columns = interaction_columns(&column_names(reading.root, &inter)?);
    for (map, id, items) in
        [("i_id_mapping.csv", "itemID", true), ("u_id_mapping.csv", "userID", false)]
    {
        if names.iter().any(|name| name == map) {
            let role = if items { "items" } else { "users" };
            read_map(reading, &tabs(role, join(folder, map))?, id, items)?;
        }
    }
    for (matrix, modality) in MATRICES {
        if names.iter().any(|name| name == matrix) {
            let found = format!("a matrix of {modality} features, to be imported");
            reading.not_read(join(folder, matrix), &found)?;
        }
    }
    reading.interactions(&inter, &columns)?;
    if config.original_ids { reading.catalog.rename_by(ORIGINAL) } else { Ok(()) }
}

/// The feature matrices of a folder of MMRec, sorted by modality as listed in the report; row `i`
/// belongs to item `"i"` (`ImportIds::ItemIsRow` of `quintet_data::import_features`).
pub fn mmrec_features(folder: &Path) -> Vec<(Modality, PathBuf)> {
    let paths = MATRICES.iter().map(|(name, modality)| (*modality, folder.join(name)));
    paths.filter(|(_, path)| path.is_file()).collect()
}

fn tabs(role: &'static str, path: String) -> Result<TableSpec, IngestError> {
    let file = TableFile { path, format: Some(TableFormat::Tsv), ..TableFile::<()>::default() };
    TableSpec::new(role, &file, TimeUnit::S)
}

fn interaction_columns(known: &[String]) -> InteractionColumns {
    let has = |name: &str| known.iter().any(|k| k == name).then(|| name.to_owned());
    InteractionColumns {
        user: "userID".to_owned(),
        item: "itemID".to_owned(),
        value: has("rating"),
        timestamp: has("timestamp"),
        optional_timestamp: true,
        part: has("x_label"),
        ..InteractionColumns::default()
    }
}

/// Reads the ids that stand behind the numbers: the first column other than that of the numbers.
fn read_map(
    reading: &mut Reading,
    spec: &TableSpec,
    number: &str,
    items: bool,
) -> Result<(), IngestError> {
    let names = column_names(reading.root, spec)?;
    let Some(original) = names.iter().find(|name| *name != number) else {
        return Err(IngestError::Layout {
            path: spec.file.clone(),
            expected: format!("a column of ids beside {number:?}"),
            found: names,
        });
    };
    let (asked, id) = ([number, original.as_str()], |row: &Row| row.cell(0).trim().to_owned());
    let attributes = |row: &Row| {
        let original = Some(row.cell(1).trim()).filter(|id| !id.is_empty());
        original.map(|id| (ORIGINAL.to_owned(), id.to_owned())).into_iter().collect()
    };
    let Reading { root, catalog, log, .. } = reading;
    if items {
        let make = |row: &Row| Item { id: id(row), attributes: attributes(row), ..Item::default() };
        read_items(root, spec, &asked, catalog, log, &make)
    } else {
        let make = |row: &Row| User { id: id(row), attributes: attributes(row) };
        read_users(root, spec, &asked, catalog, log, &make)
    }
}

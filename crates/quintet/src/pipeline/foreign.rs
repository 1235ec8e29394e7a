//! Features that somebody else computed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use quintet_core::Modality;
use quintet_data::{
    Dataset, ImportIds, ImportReport, ImportSpec, Precision, import_features, write_atomic,
};
use serde::{Deserialize, Serialize};

use super::stages::read_json;
use super::{PipelineError, Workspace};

/// Which directory of the feature store holds the imported features of a modality.
const INDEX: &str = "imported.json";

/// One `[[features]]` table: a matrix in an `.npy` file, and which row is which item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForeignFeatures {
    /// The modality; it needs no `[[encode]]`.
    pub modality: Modality,
    /// The matrix `[rows, dim]`, relative to the data root.
    pub npy: PathBuf,
    /// Which row is which item; files are relative to the data root.
    pub ids: ImportIds,
    /// What made the vectors, as a name for the store.
    #[serde(default = "foreign")]
    pub name: String,
    /// How numbers are stored.
    #[serde(default)]
    pub precision: Precision,
    /// Whether a row of zeros means that there is no vector.
    #[serde(default)]
    pub zero_is_missing: bool,
}

fn foreign() -> String {
    "foreign".to_owned()
}

impl ForeignFeatures {
    /// Imports the matrix into the feature store of a run.
    ///
    /// # Errors
    /// A file that cannot be read, is no array, or does not fit the ids.
    pub fn import(
        &self,
        data_root: &Path,
        dataset: &Dataset,
        workspace: &Workspace,
    ) -> Result<ImportReport, PipelineError> {
        let ids: Vec<String> = dataset.items.iter().map(|i| i.id.clone()).collect();
        let (npy, rows) = (data_root.join(&self.npy), self.ids_below(data_root));
        let spec = ImportSpec {
            modality: self.modality,
            npy: &npy,
            ids: rows,
            name: &self.name,
            precision: self.precision,
            zero_is_missing: self.zero_is_missing,
        };
        let (dir, report) = import_features(&workspace.features(), &spec, &ids)?;
        let mut index = read_index(workspace)?;
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        index.insert(self.modality, name);
        let text = serde_json::to_string_pretty(&index)?;
        write_atomic(&workspace.features().join(INDEX), text.as_bytes())?;
        Ok(report)
    }

    fn ids_below(&self, root: &Path) -> ImportIds {
        let mut ids = self.ids.clone();
        if let ImportIds::List { path, .. } | ImportIds::Map { path, .. } = &mut ids {
            *path = root.join(&path);
        }
        ids
    }

    /// Where [`ForeignFeatures::import`] has put the features of the modality.
    ///
    /// # Errors
    /// They have not been imported, or the index of imports is damaged.
    pub fn dir(&self, workspace: &Workspace) -> Result<PathBuf, PipelineError> {
        let index = read_index(workspace)?;
        let dir = index.get(&self.modality).map(|name| workspace.features().join(name));
        dir.filter(|dir| dir.is_dir()).ok_or_else(|| PipelineError::NotRun {
            path: format!("{} (imported {})", workspace.features().display(), self.modality),
            verb: "encode",
        })
    }
}

fn read_index(workspace: &Workspace) -> Result<BTreeMap<Modality, String>, PipelineError> {
    let path = workspace.features().join(INDEX);
    if !path.is_file() {
        return Ok(BTreeMap::new());
    }
    read_json(&path, "a folder for each imported modality")
}

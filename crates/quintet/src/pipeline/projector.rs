//! Item factors for the embedding projector of TensorBoard.
//!
//! Three files in a folder: `vectors.tsv` (a line an item, numbers with tabs between), its
//! `metadata.tsv` (a header, then id, title and events of each item) and
//! `projector_config.pbtxt`, which names both so that `tensorboard --logdir` finds them.

use std::fmt::Write;
use std::path::Path;

use quintet_data::{read_state, write_atomic};
use serde::Serialize;

use super::{PipelineError, Workspace};
use crate::Registries;

/// What was written.
#[derive(Debug, Clone, Serialize)]
pub struct ProjectorExport {
    /// Items.
    pub items: usize,
    /// Numbers an item.
    pub dim: usize,
}

/// Writes the item factors of a fitted model of a run.
///
/// # Errors
/// The run or the model is not there, or the model has no factors; a file cannot be written.
pub fn export_projector(
    workspace: &Workspace,
    registries: &Registries,
    label: &str,
    to: &Path,
) -> Result<ProjectorExport, PipelineError> {
    super::summary_of(workspace)?;
    let path = workspace.model(label).join("model.safetensors");
    if !path.is_file() {
        let path = path.display().to_string();
        return Err(PipelineError::NotRun { path, verb: "train" });
    }
    let state = read_state(&path)?;
    let Ok(entry) = registries.models.get(&state.kind) else {
        return Err(PipelineError::NoFactors { label: label.to_owned(), model: state.kind });
    };
    let model = (entry.load)(&state)?;
    let Some(factors) = model.factors() else {
        return Err(PipelineError::NoFactors { label: label.to_owned(), model: state.kind });
    };
    let dataset = workspace.read_dataset()?;
    let (items, dim) = (factors.items.rows(), factors.items.cols());
    if items != dataset.items.len() {
        return Err(PipelineError::Damaged {
            path: path.display().to_string(),
            expected: format!("a model of the {} items of the dataset", dataset.items.len()),
            found: format!("one of {items}"),
        });
    }
    let mut events = vec![0usize; items];
    dataset.events.items().iter().for_each(|item| events[item.index()] += 1);
    let (mut vectors, mut metadata) = (String::new(), String::from("id\ttitle\tevents\n"));
    for (row, item) in dataset.items.iter().enumerate() {
        for (column, number) in factors.items.row(row).iter().enumerate() {
            let tab = if column == 0 { "" } else { "\t" };
            let _ = write!(vectors, "{tab}{number}");
        }
        vectors.push('\n');
        let _ = writeln!(metadata, "{}\t{}\t{}", cell(&item.id), cell(&item.title), events[row]);
    }
    let config = format!(
        "embeddings {{\n  tensor_name: {}\n  tensor_path: \"vectors.tsv\"\n  \
         metadata_path: \"metadata.tsv\"\n}}\n",
        quoted(label)
    );
    fs_err::create_dir_all(to)?;
    write_atomic(&to.join("vectors.tsv"), vectors.as_bytes())?;
    write_atomic(&to.join("metadata.tsv"), metadata.as_bytes())?;
    write_atomic(&to.join("projector_config.pbtxt"), config.as_bytes())?;
    Ok(ProjectorExport { items, dim })
}

/// A text without what separates cells and lines.
fn cell(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A string of the protobuf text format; labels have no control characters.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

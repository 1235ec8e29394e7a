//! Attributes of items, as a model over graphs reads and keeps them.

use quintet_core::{Interactions, ItemIdx, ModelState, SparseFeatures, Triplet, UserIdx};
use quintet_tensor::{FitError, TrainingData};

/// Key of the saved cells, and of their names.
const KEY: &str = "attributes";

/// The attributes of the items, where there are any.
///
/// # Errors
/// There is not one row an item.
pub(super) fn read(
    model: &str,
    data: TrainingData<'_>,
) -> Result<Option<SparseFeatures>, FitError> {
    let Some(given) = data.item_attributes else { return Ok(None) };
    let (expected, found) = (data.train.n_items(), given.n_rows());
    if expected != found {
        let reason = format!("expected {expected} rows of item attributes, found {found}");
        return Err(FitError::Data { model: model.into(), reason });
    }
    Ok(Some(given.clone()))
}

/// The same, with rows of nothing for the items that came later.
///
/// # Errors
/// None: the cells are those of such attributes.
pub(super) fn longer(of: &SparseFeatures, n_rows: usize) -> Result<SparseFeatures, FitError> {
    Ok(SparseFeatures::new(n_rows, of.names().to_vec(), cells(of))?)
}

/// Adds everything to `state`.
pub(super) fn save(of: &SparseFeatures, state: &mut ModelState) {
    let cells = cells(of).map(|(row, column, value)| Triplet {
        user: UserIdx(row),
        item: ItemIdx(column),
        value,
    });
    // Cells of a matrix are such cells.
    if let Ok(m) = Interactions::from_sorted(of.n_rows(), of.n_features(), of.nnz(), cells) {
        state.put_interactions(KEY, &m);
    }
    state.meta.insert(KEY.into(), serde_json::to_string(of.names()).unwrap_or_default());
}

/// Reads back what [`save`] wrote.
///
/// # Errors
/// An entry is missing, or does not fit `n_items` items.
pub(super) fn load(state: &ModelState, n_items: usize) -> Result<SparseFeatures, FitError> {
    let m = state.interactions(KEY)?;
    let names: Vec<String> = serde_json::from_str(state.text(KEY)?)
        .map_err(|e| state.mismatch(KEY, "names of attributes", &e.to_string()))?;
    if (m.n_users(), m.n_items()) != (n_items, names.len()) {
        let expected = format!("[{n_items}, {}]", names.len());
        let found = format!("[{}, {}]", m.n_users(), m.n_items());
        return Err(state.mismatch(KEY, &expected, &found).into());
    }
    let cells = m.iter().map(|t| (t.user.0, t.item.0, t.value));
    Ok(SparseFeatures::new(n_items, names, cells)?)
}

fn cells(of: &SparseFeatures) -> impl Iterator<Item = (u32, u32, f32)> + '_ {
    (0..of.n_rows()).flat_map(move |row| {
        let columns = of.columns(row).iter().zip(of.values(row));
        columns.map(move |(column, value)| (row as u32, *column, *value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_kept_and_grow() {
        let names = vec!["a=1".to_owned(), "a=2".to_owned()];
        let given = SparseFeatures::new(2, names.clone(), [(0, 1, 0.5), (0, 0, 2.0)]).unwrap();
        let mut state = ModelState::new("m");
        save(&given, &mut state);
        assert_eq!(load(&state, 2).unwrap(), given);
        assert!(load(&state, 3).is_err() && load(&ModelState::new("m"), 2).is_err());
        let grown = longer(&given, 3).unwrap();
        assert_eq!((grown.n_rows(), grown.columns(0), grown.columns(2).len()), (3, &[0, 1][..], 0));
    }
}

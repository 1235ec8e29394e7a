//! Reads the cases of `tests/fixtures/ridge_numpy` and compares half steps with them.

use quintet_core::{Interactions, ItemIdx, Matrix, ModelState, SparseFeatures, Triplet, UserIdx};
use serde_json::Value;

use super::Blocks;
use crate::parity::{matrix, same, same_number};

/// The cells of a dense matrix that are not 0.
pub(crate) fn interactions(value: &Value) -> Interactions {
    let cells = matrix(value);
    let filled = (0..cells.rows()).flat_map(|u| (0..cells.cols()).map(move |i| (u, i)));
    let filled = filled.map(|(u, i)| (u, i, cells.row(u)[i])).filter(|cell| cell.2 != 0.0);
    let triplets = filled.map(|(u, i, value)| {
        let (user, item) = (UserIdx::new(u), ItemIdx::new(i));
        Triplet { user, item, value }
    });
    Interactions::from_triplets(cells.rows(), cells.cols(), triplets).unwrap()
}

pub(crate) fn tags(value: &Value) -> SparseFeatures {
    let given = matrix(value);
    let names = (0..given.cols()).map(|c| format!("tag{c}")).collect();
    let cells = (0..given.rows()).flat_map(|r| {
        let row = given.row(r).to_vec().into_iter().enumerate().filter(|cell| cell.1 != 0.0);
        row.map(move |(c, value)| (r as u32, c as u32, value))
    });
    SparseFeatures::new(given.rows(), names, cells).unwrap()
}

/// From the same start, every half step of some sweeps has the loss that NumPy gives, none raises
/// it, and all factors are the same at the end.
pub(crate) fn check_tables(blocks: &mut Blocks, case: &Value) {
    let mut start = ModelState::new("start");
    for (name, value) in case["start"].as_object().unwrap() {
        start.put(name.clone(), matrix(value));
    }
    for (name, table) in blocks.tables() {
        // Views are solved first, so that their start does not matter.
        if name.contains("view") || name.contains("deviation") {
            start.put(name, Matrix::zeros(table.rows(), table.cols()));
        }
    }
    blocks.load(&start).unwrap();
    let losses: Vec<f64> = serde_json::from_value(case["losses"].clone()).unwrap();
    let mut before = blocks.loss();
    let mut expected = losses.iter();
    while expected.len() > 0 {
        let n = blocks.domains.len();
        let steps = 2 + 2 * n;
        for step in 0..steps {
            match step {
                0 => blocks.solve_views().unwrap(),
                1 => blocks.solve_users().unwrap(),
                step if step < 2 + n => blocks.solve_deviation(step - 2).unwrap(),
                step => blocks.solve_items(step - 2 - n).unwrap(),
            }
            let (found, expected) = (blocks.loss(), *expected.next().unwrap());
            same_number(&format!("loss after step {step}"), found, expected);
            assert!(found <= before * (1.0 + 1e-7), "step {step}: {before} becomes {found}");
            before = found;
        }
    }
    for (name, table) in blocks.tables() {
        same(&name, table, &case["end"][&name]);
    }
}

//! Both forms of products with sparse matrices, and LightGCN by hand.

use super::*;
use crate::Propagation;
use crate::matrix_to_tensor;
use crate::ops::rows::tests::{assert_same, pattern};
use crate::tensor_to_matrix;

fn small() -> Interactions {
    // Item 3 and user 3 have no edge.
    Interactions::from_pairs(4, 4, [(0, 0), (0, 2), (1, 1), (2, 0), (2, 1), (2, 2)]).unwrap()
}

#[test]
fn the_mean_of_layers_is_light_gcn() {
    let graph = SparseProduct::user_item(&small());
    assert_eq!(graph.matrix().transpose(), *graph.matrix());
    let x = pattern(8, 67, 1.0);
    for layers in 0..4 {
        let expected = Propagation::new(&small(), layers).forward(&x);
        let y = graph.propagate(matrix_to_tensor(&x, &Device::flex()), layers, Layers::Mean);
        let y = tensor_to_matrix(y).unwrap();
        for (a, b) in y.as_slice().iter().zip(expected.as_slice()) {
            assert!((a - b).abs() < 1e-6, "{layers} layers: {a} {b}");
        }
    }
}

#[test]
fn both_forms_give_the_same_numbers_and_gradients() {
    let square = SparseRows::from_rows(
        3,
        [vec![(0, 1.0), (2, -0.5)], vec![], vec![(0, 0.25), (1, 2.0), (2, 1.0)]],
    );
    let square = SparseProduct::new(square);
    let x = pattern(3, 83, 1.0);
    for pool in [Layers::Mean, Layers::Sum, Layers::Last] {
        for layers in 0..4 {
            assert_same(
                std::array::from_ref(&x),
                |[x]| square.propagate(x, layers, pool),
                |[x]| square.portable(x, layers, pool),
                1e-5,
            );
        }
    }
    let wide = SparseProduct::new(SparseRows::from_interactions(&small()).normalised());
    let x = pattern(4, 5, 1.0);
    assert_same(
        std::array::from_ref(&x),
        |[x]| wide.apply(x),
        |[x]| wide.portable(x, 1, Layers::Last),
        1e-6,
    );
    let turned = wide.transpose();
    assert_same(&[x], |[x]| turned.apply(x), |[x]| turned.portable(x, 1, Layers::Last), 1e-6);
}

#[test]
fn tables_are_propagated_as_when_they_are_put_together() {
    let graph = SparseProduct::user_item(&small());
    let alike =
        SparseRows::from_rows(4, [vec![(1, 0.5)], vec![(0, 0.2), (2, 1.0)], vec![], vec![]]);
    let alike = SparseProduct::new(alike);
    for more in [ItemGraph::None, ItemGraph::Items, ItemGraph::Walk(&alike, 2)] {
        for how in [(0, Layers::Mean), (2, Layers::Mean), (3, Layers::Sum)] {
            assert_same(
                &[pattern(4, 7, 1.0), pattern(4, 7, 0.6)],
                |[u, i]| graph.propagate_tables(u, i, how, more),
                |[u, i]| graph.portable_tables(u, i, how, more),
                1e-5,
            );
        }
    }
}

#[test]
#[should_panic(expected = "a column below 2")]
fn a_column_out_of_range_panics() {
    SparseRows::from_rows(2, [vec![(2, 1.0)]]);
}

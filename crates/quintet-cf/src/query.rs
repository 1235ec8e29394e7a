//! A newcomer whose row is made from their items at once: a query.

use quintet_core::{Factors, ItemIdx, ModelState};
use quintet_tensor::dot;

use crate::folding::Newcomer;

/// Makes the query of somebody from their items: its dot product with the item factors, plus
/// their bias, is the score.
pub(crate) trait Query: Send + Sync {
    /// Writes the query into zeros; `items` are in range, ascending, each once.
    fn query(&self, items: &[ItemIdx], out: &mut [f32]);

    /// Adds what loading needs.
    fn save(&self, state: &mut ModelState);
}

/// None where the parameters leave newcomers no query.
impl<Q: Query> Newcomer for Option<Q> {
    /// Somebody may have done a thing twice; it counts once.
    fn rank(&self, model: Factors<'_>, items: &[ItemIdx], _: &[f32], out: &mut [f32]) {
        let mut row = vec![0.0; model.items.cols()];
        let mut distinct = items.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        if let Some(query) = self {
            query.query(&distinct, &mut row);
        }
        score(&row, model, out);
    }

    fn save(&self, state: &mut ModelState) {
        if let Some(query) = self {
            query.save(state);
        }
    }

    fn folds_in(&self) -> bool {
        self.is_some()
    }
}

/// `row · item + bias` for every item.
pub(crate) fn score(row: &[f32], model: Factors<'_>, out: &mut [f32]) {
    for (item, (score, bias)) in out.iter_mut().zip(model.bias).enumerate() {
        *score = dot(row, model.items.row(item)) + bias;
    }
}

#[cfg(test)]
mod tests {
    use quintet_core::{Capability, Matrix, Recommender};
    use quintet_tensor::FactorModel;

    use super::*;
    use crate::folding::Folding;

    struct Count;

    impl Query for Count {
        fn query(&self, items: &[ItemIdx], out: &mut [f32]) {
            out[0] = items.len() as f32;
        }

        fn save(&self, _: &mut ModelState) {}
    }

    #[test]
    fn a_thing_done_twice_counts_once() {
        let items = Matrix::from_vec(3, 1, vec![1.0, 2.0, 3.0]).unwrap();
        let users = Matrix::zeros(1, 1);
        let bias = vec![0.5, 0.0, 0.0];
        let model = FactorModel::new("m", users, items, bias, Capability::personal()).unwrap();
        let folding = Folding::new(model, Some(Count));
        assert!(folding.capability().folds_in);
        let mut out = [f32::NAN; 3];
        let history = [ItemIdx(2), ItemIdx(0), ItemIdx(2)];
        folding.fold_in(&history, &[1.0; 3], &mut out).unwrap();
        assert_eq!(out, [2.5, 4.0, 6.0]);
    }
}

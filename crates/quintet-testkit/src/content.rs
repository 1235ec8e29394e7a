//! The contract of models that can look at other features after the fit.

use quintet_core::{
    FeatureSet, ItemIdx, Matrix, ModalityFeatures, Recommender, ScoreError, UserIdx,
};

use crate::compare::{CLOSE, assert_close, assert_finite};
use crate::world::World;

/// [`Recommender::with_features`] and [`Recommender::modality_shares`].
pub(crate) fn check_other_features(
    title: &str,
    world: &World,
    model: &dyn Recommender,
    scores: &Matrix,
) {
    let read = model.capability().modalities;
    if let Some(shares) = model.modality_shares() {
        let found = [shares.rows(), shares.cols()];
        assert_eq!(found, [model.n_items(), read.len()], "{title}: shape of modality_shares()");
    }
    let same = match model.with_features(&world.features) {
        Ok(same) => same,
        Err(e) => {
            let typed = matches!(e, ScoreError::NoContent { .. });
            assert!(typed, "{title}: with_features of the features of the fit: {e}");
            return;
        }
    };
    assert!(!read.is_empty(), "{title}: it takes other features, and claims to read none");
    let all = |model: &dyn Recommender| {
        let users: Vec<UserIdx> = (0..model.n_users()).map(UserIdx::new).collect();
        let mut out = Matrix::default();
        model.score(&users, &mut out).unwrap_or_else(|e| panic!("{title}: score: {e}"));
        out
    };
    let what = "scores over the features of the fit, taken a second time";
    assert_close(title, what, scores.as_slice(), all(&*same).as_slice(), CLOSE);

    let nothing = all(&*over(title, model, &without_any(&world.features)));
    assert_finite(title, "scores without any feature", nothing.as_slice());
    let [a, b] = world.cold.map(ItemIdx::index);
    for user in 0..nothing.rows() {
        let row = nothing.row(user);
        let what = format!("user {user}: scores of two unused items without features");
        assert_close(title, &what, &[row[a]], &[row[b]], CLOSE);
    }

    // A copy of an unused item at the end of the catalogue is as good as the item.
    let longer = all(&*over(title, model, &with_copy(&world.features, a)));
    assert_eq!(longer.cols(), model.n_items() + 1, "{title}: scores with one item more");
    for user in 0..longer.rows() {
        let row = longer.row(user);
        let what = format!("user {user}: score of an item that came later");
        assert_close(title, &what, &[row[a]], &[row[model.n_items()]], CLOSE);
    }
    refusals(title, world, model);
}

fn over(title: &str, model: &dyn Recommender, features: &FeatureSet) -> Box<dyn Recommender> {
    model.with_features(features).unwrap_or_else(|e| panic!("{title}: with_features: {e}"))
}

fn refusals(title: &str, world: &World, model: &dyn Recommender) {
    let short = rows(&world.features, world.features.n_items() - 1);
    for (what, features) in [("fewer items", short), ("no modality", FeatureSet::new(42))] {
        match model.with_features(&features) {
            Err(ScoreError::Features { .. }) => {}
            Err(e) => panic!("{title}: features of {what} must be ScoreError::Features: {e}"),
            Ok(_) => panic!("{title}: features of {what} were taken"),
        }
    }
}

fn rebuilt(
    features: &FeatureSet,
    n_items: usize,
    row_of: impl Fn(usize) -> Option<usize>,
) -> FeatureSet {
    let mut out = FeatureSet::new(n_items);
    for f in features.iter() {
        let mut matrix = Matrix::zeros(n_items, f.dim());
        let mut present = vec![false; n_items];
        for (item, present) in present.iter_mut().enumerate() {
            if let Some(from) = row_of(item) {
                matrix.row_mut(item).copy_from_slice(f.matrix.row(from));
                *present = f.present[from];
            }
        }
        out.push(ModalityFeatures::new(f.modality, matrix, present).unwrap()).unwrap();
    }
    out
}

fn without_any(features: &FeatureSet) -> FeatureSet {
    rebuilt(features, features.n_items(), |_| None)
}

fn rows(features: &FeatureSet, n: usize) -> FeatureSet {
    rebuilt(features, n, Some)
}

fn with_copy(features: &FeatureSet, item: usize) -> FeatureSet {
    let n = features.n_items();
    rebuilt(features, n + 1, |at| Some(if at == n { item } else { at }))
}

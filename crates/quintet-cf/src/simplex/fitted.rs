//! The fitted SimpleX: unit rows, whose dot product is the cosine, and the query of a newcomer.

use quintet_core::{Capability, Interactions, ItemIdx, Matrix, ModelState, Recommender};
use quintet_tensor::{
    AdamConfig, FactorModel, FitError, UnusedBias, add_scaled, clear_unused_items,
};

use super::aggregate::{Aggregator, Pooled, SimplexAggregation};
use super::{NAME, SimplexConfig, normalised};
use crate::folding::Folding;
use crate::query::Query;

/// Makes `a` of a history, of unit length.
pub(super) struct HistoryQuery {
    /// Rows of the items as they were trained, `[n_items, dim]`.
    items: Matrix,
    aggregator: Aggregator,
}

pub(super) fn model(
    train: &Interactions,
    (users, items): (&Matrix, &Matrix),
    aggregator: &Aggregator,
    config: &SimplexConfig,
) -> Result<Folding<Option<HistoryQuery>>, FitError> {
    let share = config.own_share;
    let mut queries = users.clone();
    queries.as_mut_slice().iter_mut().for_each(|x| *x *= share);
    let all: Vec<u32> = (0..users.rows() as u32).collect();
    let mut pooled = Pooled::new(train.n_items());
    let both = (users, items);
    aggregator.forward((&all, train), both, 1.0 - share, &mut pooled, &mut queries);
    let mut items = items.clone();
    let mut bias = vec![0.0; items.rows()];
    clear_unused_items(train, &mut items, &mut bias, UnusedBias::Lowest);
    let unit_items = normalised(&items).0;
    let dim = users.cols();
    let unit_users = normalised(&queries).0;
    let model = FactorModel::new(NAME, unit_users, unit_items, bias, Capability::personal())?
        .with_part("taste", 0, dim);
    let query = HistoryQuery { items, aggregator: aggregator.clone() };
    Ok(Folding::new(model, (share < 1.0).then_some(query)))
}

impl Query for HistoryQuery {
    fn query(&self, items: &[ItemIdx], out: &mut [f32]) {
        let pairs = items.iter().map(|item| (0, item.0));
        let Ok(history) = Interactions::from_pairs(1, self.items.rows(), pairs) else { return };
        let nobody = Matrix::zeros(1, self.items.cols());
        let mut query = nobody.clone();
        let mut pooled = Pooled::new(self.items.rows());
        let both = (&nobody, &self.items);
        self.aggregator.forward((&[0], &history), both, 1.0, &mut pooled, &mut query);
        out.fill(0.0);
        add_scaled(out, 1.0, normalised(&query).0.row(0));
    }

    fn save(&self, state: &mut ModelState) {
        let Aggregator { kind, map, key, key_bias, query } = &self.aggregator;
        state.put("rows", self.items.clone());
        for (name, table) in
            [("map", map), ("key", key), ("key_bias", key_bias), ("attention_query", query)]
        {
            state.put(name, table.values().clone());
        }
        let kind = serde_json::to_value(kind).ok();
        let kind = kind.and_then(|k| k.as_str().map(str::to_owned)).unwrap_or_default();
        state.meta.insert("aggregation".into(), kind);
    }
}

pub(super) fn load(state: &ModelState) -> Result<Box<dyn Recommender>, FitError> {
    let model = FactorModel::load(state)?;
    if !state.meta.contains_key("aggregation") {
        return Ok(Box::new(Folding::new(model, None::<HistoryQuery>)));
    }
    let name = state.text("aggregation")?;
    let kind = serde_json::from_value::<SimplexAggregation>(name.into()).map_err(|_| {
        state.mismatch("aggregation", "average, user_attention or self_attention", name)
    })?;
    let (n_items, dim) = (state.matrix("items")?.rows(), state.matrix("items")?.cols());
    let table = |key: &str, rows: usize| {
        let values = state.shaped(key, rows, dim)?.clone();
        Ok::<_, FitError>(quintet_tensor::EmbeddingTable::from_matrix(values, AdamConfig::new(0.0)))
    };
    let aggregator = Aggregator {
        kind,
        map: table("map", dim)?,
        key: table("key", dim)?,
        key_bias: table("key_bias", 1)?,
        query: table("attention_query", 1)?,
    };
    let items = state.shaped("rows", n_items, dim)?.clone();
    Ok(Box::new(Folding::new(model, Some(HistoryQuery { items, aggregator }))))
}

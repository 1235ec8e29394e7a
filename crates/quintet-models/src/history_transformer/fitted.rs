//! The fitted form: the last hidden state of each user, the vectors of items, and the way to both.

use std::sync::OnceLock;

use burn::tensor::{Device, Tensor};
use quintet_core::{
    Capability, Factors, FeatureSet, ItemIdx, Matrix, ModelState, Reason, Recommender, ScoreError,
    SeedStream, Sequences, UserIdx, check_fold_in,
};
use quintet_tensor::{
    FactorModel, FitError, dot, matrix_to_tensor, tensor_to_matrix, tensor_to_vec,
};

use super::net::{HistoryNet, vectors};
use super::{HistoryTransformerConfig, NAME};
use crate::content::{Content, ContentMap};
use crate::content_model::over_features;
use crate::network::{Kept, Over, all_kept, known_ids, read_config};

/// Histories that go through the network together.
const ROWS: usize = 128;

/// The fitted model. Users without a history have the mean state, so what the others like on
/// average. Without content, items that nobody used are below all others.
pub(super) struct HistoryModel {
    factors: FactorModel,
    config: HistoryTransformerConfig,
    kept: Kept,
    sequences: Sequences,
    /// The state of somebody without a history, `[1, dim]`.
    nobody: Matrix,
    /// Made when a newcomer is first folded in.
    net: OnceLock<HistoryNet>,
}

/// The vectors of all items; those without training interactions have no id.
fn item_vectors(
    net: &HistoryNet,
    config: &HistoryTransformerConfig,
    ids: (&Matrix, &[bool]),
    content: Option<&Content>,
    device: &Device,
) -> Result<Matrix, FitError> {
    let (n, dim) = (ids.1.len(), config.dim);
    let chunks = match content {
        Some(content) => content.chunks(),
        None => vec![(0..n as u32).collect()],
    };
    let mut rows = Vec::with_capacity(n * dim);
    for chunk in chunks {
        let fused = net.fusion.as_ref().zip(content).map(|(fusion, content)| {
            fusion.forward(&content.views(&chunk, device)).mul_scalar(net.scale)
        });
        let known = config.items.has_ids().then(|| known_ids(&chunk, ids, device));
        rows.extend(tensor_to_vec(vectors(known, fused).inner()).map_err(FitError::Device)?);
    }
    Ok(Matrix::from_vec(n, dim, rows)?)
}

/// The states after these histories, none of them empty, `[histories, dim]`.
fn last_states(
    net: &HistoryNet,
    config: &HistoryTransformerConfig,
    items: &Tensor<2>,
    histories: &[&[ItemIdx]],
) -> Result<Matrix, FitError> {
    let mut states = Vec::with_capacity(histories.len() * config.dim);
    for chunk in histories.chunks(ROWS) {
        let last = |history: &&[ItemIdx]| history.len().min(config.max_len);
        let lengths: Vec<usize> = chunk.iter().map(last).collect();
        let read = chunk.iter().zip(&lengths);
        let read = read.flat_map(|(history, n)| history[history.len() - n..].iter().map(|i| i.0));
        let read: Vec<u32> = read.collect();
        let all = net.states(items.clone(), &read, &lengths, &mut all_kept());
        let all = tensor_to_matrix(all.inner()).map_err(FitError::Device)?;
        let mut end = 0;
        for length in lengths {
            end += length;
            states.extend_from_slice(all.row(end - 1));
        }
    }
    Ok(Matrix::from_vec(histories.len(), config.dim, states)?)
}

/// The states of all users, and of somebody without a history.
fn user_states(
    net: &HistoryNet,
    config: &HistoryTransformerConfig,
    items: &Tensor<2>,
    sequences: &Sequences,
) -> Result<(Matrix, Matrix), FitError> {
    let known: Vec<UserIdx> = (0..sequences.n_users())
        .map(UserIdx::new)
        .filter(|user| !sequences.items(*user).is_empty())
        .collect();
    let histories: Vec<&[ItemIdx]> = known.iter().map(|user| sequences.items(*user)).collect();
    let states = last_states(net, config, items, &histories)?;
    let mut nobody = vec![0.0f64; config.dim];
    for row in 0..states.rows() {
        let cells = nobody.iter_mut().zip(states.row(row));
        cells.for_each(|(n, s)| *n += f64::from(*s) / states.rows() as f64);
    }
    let nobody: Vec<f32> = nobody.into_iter().map(|n| n as f32).collect();
    let mut users = Matrix::zeros(sequences.n_users(), config.dim);
    (0..users.rows()).for_each(|user| users.row_mut(user).copy_from_slice(&nobody));
    for (row, user) in known.iter().enumerate() {
        users.row_mut(user.index()).copy_from_slice(states.row(row));
    }
    Ok((users, Matrix::from_vec(1, config.dim, nobody)?))
}

/// No score of a trained item is below it, whoever asks: a state is a normed row.
fn lowest_score(net: &HistoryNet, items: &Matrix, warm: &[bool]) -> Result<f32, FitError> {
    let length = |item: usize| dot(items.row(item), items.row(item)).sqrt();
    let longest = (0..items.rows()).filter(|i| warm[*i]).map(length).fold(0.0, f32::max);
    Ok(-(net.longest()? * longest).max(1.0))
}

impl HistoryModel {
    /// `ids` are trained vectors, without rows where items have none.
    pub(super) fn new(
        config: &HistoryTransformerConfig,
        net: &HistoryNet,
        (ids, warm, sequences): (Matrix, Vec<bool>, Sequences),
        content: Option<&Content>,
        device: &Device,
    ) -> Result<Self, FitError> {
        let mut items = item_vectors(net, config, (&ids, &warm), content, device)?;
        let table = matrix_to_tensor(&items, device);
        let (users, nobody) = user_states(net, config, &table, &sequences)?;
        let mut bias = vec![0.0; items.rows()];
        let mut capability = Capability::personal();
        match content {
            Some(content) => {
                capability = capability.with_cold_items().with_modalities(content.names());
            }
            None => {
                let lowest = lowest_score(net, &items, &warm)?;
                for (item, _) in warm.iter().enumerate().filter(|(_, warm)| !**warm) {
                    items.row_mut(item).fill(0.0);
                    bias[item] = lowest;
                }
            }
        }
        let factors = FactorModel::new(NAME, users, items, bias, capability)?;
        Ok(Self {
            factors: factors.with_part("history", 0, config.dim),
            config: config.clone(),
            kept: Kept::new(net, content, (ids, warm), device)?,
            sequences,
            nobody,
            net: OnceLock::new(),
        })
    }

    /// Loads what [`Recommender::state`] gave.
    pub(super) fn load(state: &ModelState) -> Result<Self, FitError> {
        let factors = FactorModel::load(state)?;
        let config: HistoryTransformerConfig = read_config(state)?;
        config.check()?;
        let (n, dim) = (factors.n_items(), config.dim);
        state.shaped("items", n, dim)?;
        let n_ids = if config.items.has_ids() { n } else { 0 };
        let kept = Kept::load(state, n, [n_ids, dim])?;
        if kept.map.is_some() != config.items.reads_content() {
            let found = state.text("content")?;
            return Err(state.mismatch("content", "what its items are made of", found).into());
        }
        Ok(Self {
            sequences: read_sequences(state, factors.n_users(), n)?,
            nobody: state.shaped("nobody", 1, dim)?.clone(),
            factors,
            config,
            kept,
            net: OnceLock::new(),
        })
    }

    /// The network with its trained weights.
    fn trained(&self, device: &Device) -> Result<HistoryNet, FitError> {
        let (map, seed) = (self.kept.map.as_ref(), SeedStream::new(0));
        self.kept.trained(HistoryNet::new(&self.config, map, seed, device)?, device)
    }

    fn over(&self, map: &ContentMap, features: &FeatureSet) -> Result<Self, FitError> {
        let Over { content, ids, warm, device } = self.kept.over(NAME, map, features)?;
        let net = self.trained(&device)?;
        let parts = (ids, warm, self.sequences.clone());
        Self::new(&self.config, &net, parts, Some(&content), &device)
    }

    /// The state after the items that the model can read.
    fn state_after(&self, items: &[ItemIdx]) -> Result<Vec<f32>, FitError> {
        let of = self.factors.factors();
        // An item that nobody used and that has no content says nothing.
        let said = |item: &&ItemIdx| self.kept.map.is_some() || self.kept.warm[item.index()];
        let history: Vec<ItemIdx> = items.iter().filter(said).copied().collect();
        let (Some(of), false) = (of, history.is_empty()) else {
            return Ok(self.nobody.row(0).to_vec());
        };
        let last = &history[history.len().saturating_sub(self.config.max_len)..];
        let mut rows = Vec::with_capacity(last.len() * self.config.dim);
        last.iter().for_each(|item| rows.extend_from_slice(of.items.row(item.index())));
        let device = self.kept.device()?;
        let net = match self.net.get() {
            Some(net) => net,
            None => {
                let made = self.trained(&device)?;
                self.net.get_or_init(|| made)
            }
        };
        let rows = Matrix::from_vec(last.len(), self.config.dim, rows)?;
        let places: Vec<ItemIdx> = (0..last.len()).map(ItemIdx::new).collect();
        let table = matrix_to_tensor(&rows, &device);
        Ok(last_states(net, &self.config, &table, &[&places])?.into_vec())
    }
}

/// Reads the histories that [`Recommender::state`] wrote.
fn read_sequences(
    state: &ModelState,
    n_users: usize,
    n_items: usize,
) -> Result<Sequences, FitError> {
    let (ends, items) = (state.whole("history.ends")?, state.whole("history.items")?);
    let ascending = ends.windows(2).all(|w| w[0] <= w[1]);
    let last = ends.last().copied().unwrap_or(0);
    let known = items.iter().all(|item| (0..n_items as i64).contains(item));
    let first = ends.first().is_none_or(|end| *end >= 0);
    if ends.len() != n_users || !ascending || !first || last != items.len() as i64 || !known {
        let expected = format!("{n_users} ascending ends of {} items", items.len());
        return Err(state.mismatch("history.ends", &expected, "others").into());
    }
    let mut begin = 0;
    let mut events = Vec::with_capacity(items.len());
    for (user, end) in ends.iter().enumerate() {
        let own = items[begin..*end as usize].iter().enumerate();
        events.extend(own.map(|(at, item)| (UserIdx::new(user), ItemIdx(*item as u32), at as i64)));
        begin = *end as usize;
    }
    Ok(Sequences::from_events(n_users, n_items, events)?)
}

impl Recommender for HistoryModel {
    fn name(&self) -> &str {
        NAME
    }

    fn n_users(&self) -> usize {
        self.factors.n_users()
    }

    fn n_items(&self) -> usize {
        self.factors.n_items()
    }

    fn capability(&self) -> Capability {
        self.factors.capability().with_fold_in()
    }

    fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError> {
        self.factors.score(users, out)
    }

    fn state(&self) -> ModelState {
        let mut state = self.factors.state();
        self.kept.save(&self.config, &mut state);
        state.put("nobody", self.nobody.clone());
        let (mut ends, mut items) = (Vec::new(), Vec::new());
        for user in (0..self.sequences.n_users()).map(UserIdx::new) {
            items.extend(self.sequences.items(user).iter().map(|item| i64::from(item.0)));
            ends.push(items.len() as i64);
        }
        state.put_whole("history.ends", ends);
        state.put_whole("history.items", items);
        state
    }

    fn factors(&self) -> Option<Factors<'_>> {
        self.factors.factors()
    }

    /// Values are not read: the network sees what was done and in which order.
    fn fold_in(
        &self,
        items: &[ItemIdx],
        values: &[f32],
        out: &mut [f32],
    ) -> Result<(), ScoreError> {
        check_fold_in(items, values, out, self.n_items())?;
        let state = self
            .state_after(items)
            .map_err(|e| ScoreError::Features { model: NAME.into(), reason: e.to_string() })?;
        if let Some(of) = self.factors.factors() {
            let scores = out.iter_mut().zip(of.bias).enumerate();
            scores.for_each(|(i, (o, bias))| *o = dot(&state, of.items.row(i)) + bias);
        }
        Ok(())
    }

    fn with_features(&self, features: &FeatureSet) -> Result<Box<dyn Recommender>, ScoreError> {
        match &self.kept.map {
            Some(map) => over_features(NAME, self.over(map, features)),
            None => Err(ScoreError::NoContent { model: NAME.into() }),
        }
    }

    fn explain(
        &self,
        user: UserIdx,
        item: ItemIdx,
        history: &[ItemIdx],
        k: usize,
    ) -> Result<Vec<Reason>, ScoreError> {
        self.factors.explain(user, item, history, k)
    }
}

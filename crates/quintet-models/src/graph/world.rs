//! Interactions and features as graphs and tensors.

use burn::prelude::*;
use quintet_core::{
    FeatureSet, Interactions, Matrix, Modality, ModalityFeatures, SeedStream, SparseFeatures,
    Triplet,
};
use quintet_tensor::{
    FitError, SparseProduct, SparseRows, matrix_to_tensor, nearest_items, tensor_to_matrix,
};
use rand::RngExt;

use super::GraphRecipe;
use super::edges::joined;

/// What a model is built from.
pub(crate) struct World {
    /// Training interactions.
    pub(crate) train: Interactions,
    /// The features of each modality that is read.
    pub(crate) features: Vec<ItemFeatures>,
    /// Attributes of the items, where there are any and the model reads them.
    pub(crate) attributes: Option<SparseFeatures>,
    /// Whether somebody used the item in training.
    pub(crate) warm: Vec<bool>,
    /// With autodiff.
    pub(crate) device: Device,
}

/// The features of one modality.
pub(crate) struct ItemFeatures {
    pub(crate) modality: Modality,
    /// `[n_items, d_m]`; rows of items without the modality are zero.
    pub(crate) rows: Tensor<2>,
    /// `[n_items, 1]`, one where the item has the modality.
    pub(crate) present: Tensor<2>,
    has: Vec<bool>,
}

impl ItemFeatures {
    fn new(features: &ModalityFeatures, device: &Device) -> Result<Self, FitError> {
        let mut matrix = features.matrix.clone();
        for (item, present) in features.present.iter().enumerate() {
            if !present {
                matrix.row_mut(item).fill(0.0);
            }
        }
        let flags = features.present.iter().map(|&p| f32::from(u8::from(p))).collect();
        let flags = Matrix::from_vec(features.present.len(), 1, flags)?;
        Ok(Self {
            modality: features.modality,
            rows: owned_tensor(matrix, device),
            present: matrix_to_tensor(&flags, device),
            has: features.present.clone(),
        })
    }

    /// Numbers a row.
    pub(crate) fn dim(&self) -> usize {
        self.rows.dims()[1]
    }

    /// A copy of the numbers on the host; rows of items without the modality are zero. It is made
    /// when it is asked for: features can be the largest thing in memory.
    ///
    /// # Errors
    /// The device failed.
    pub(crate) fn host(&self) -> Result<Matrix, FitError> {
        tensor_to_matrix(self.rows.clone().inner()).map_err(FitError::Device)
    }

    /// Whether each item has the modality.
    pub(crate) fn has(&self) -> &[bool] {
        &self.has
    }
}

impl World {
    /// Takes the modalities named in `wanted`, all when none are.
    ///
    /// # Errors
    /// A modality is not there, or none is and the model needs one.
    pub(crate) fn new(
        model: &str,
        train: &Interactions,
        features: &FeatureSet,
        wanted: Option<&[Modality]>,
        needs_features: bool,
        device: &Device,
    ) -> Result<Self, FitError> {
        let chosen = chosen(model, features, wanted, needs_features)?;
        let features = chosen.into_iter().map(|f| ItemFeatures::new(f, device));
        Ok(Self {
            train: train.clone(),
            features: features.collect::<Result<_, _>>()?,
            attributes: None,
            warm: train.item_counts().iter().map(|&c| c > 0).collect(),
            device: device.clone(),
        })
    }

    /// The modalities that are read.
    pub(crate) fn modalities(&self) -> Vec<Modality> {
        self.features.iter().map(|f| f.modality).collect()
    }

    pub(crate) fn n_users(&self) -> usize {
        self.train.n_users()
    }

    pub(crate) fn n_items(&self) -> usize {
        self.train.n_items()
    }

    /// `S = D^{-1/2} A D^{-1/2}` over users, then items.
    pub(crate) fn user_item(&self) -> SparseProduct {
        SparseProduct::user_item(&self.train)
    }

    /// The block of `S` that maps items to users, `[n_users, n_items]`.
    pub(crate) fn users_of_items(&self) -> SparseProduct {
        SparseProduct::new(SparseRows::from_interactions(&with_ones(&self.train)).normalised())
    }

    /// The `k` nearest items of each, itself among them, as `w_ij / sqrt(r_i r_j)` with `r` the row
    /// sums; every edge weighs 1 before, or its cosine where `cosines`. Only items that somebody
    /// used, and the item itself, are neighbours: the vectors of others were never trained.
    ///
    /// # Errors
    /// The device failed.
    pub(crate) fn knn(
        &self,
        features: &ItemFeatures,
        k: usize,
        cosines: bool,
    ) -> Result<SparseRows, FitError> {
        let host =
            ModalityFeatures::new(features.modality, features.host()?, features.has.clone())?;
        let near = nearest_items(&host, k, true, Some(&self.warm));
        let rows = near.into_iter().map(|row| {
            let mut row: Vec<(u32, f32)> = row
                .into_iter()
                .filter(|(_, cosine)| !cosines || *cosine > 0.0)
                .map(|(item, cosine)| (item, if cosines { cosine } else { 1.0 }))
                .collect();
            row.sort_unstable_by_key(|cell| cell.0);
            row
        });
        Ok(by_row_sums(SparseRows::from_rows(self.n_items(), rows)))
    }

    /// FREEDOM's frozen graph of items that look alike: the `k` nearest by each modality, itself
    /// among them, weighed as [`graph_weights`] says; with attributes as one more view where a
    /// model has it.
    ///
    /// # Errors
    /// The device failed, or the items have no attributes to see.
    pub(crate) fn frozen_graph<R: GraphRecipe>(
        &self,
        recipe: &R,
        k: usize,
        image_weight: f32,
    ) -> Result<SparseProduct, FitError> {
        let mut weights = graph_weights(&self.modalities(), image_weight);
        let graphs = self.features.iter().map(|f| self.knn(f, k, false));
        let mut graphs = graphs.collect::<Result<Vec<_>, _>>()?;
        let mut has: Vec<&[bool]> = self.features.iter().map(ItemFeatures::has).collect();
        let described;
        if let Some(view) = recipe.attribute_view() {
            let (graph, known) = view.graph(R::NAME, self.attributes.as_ref(), &self.warm)?;
            weights.iter_mut().for_each(|w| *w *= 1.0 - view.weight);
            weights.push(view.weight);
            graphs.push(graph);
            described = known;
            has.push(&described);
        }
        Ok(SparseProduct::new(mixed(&graphs, &weights, &has)))
    }

    /// `Σ_m weights_m · G_m` over the modalities that are read, as [`mixed`] has it.
    pub(crate) fn weighted_graph(&self, graphs: &[SparseRows], weights: &[f32]) -> SparseRows {
        let has: Vec<&[bool]> = self.features.iter().map(ItemFeatures::has).collect();
        mixed(graphs, weights, &has)
    }
}

/// `Σ_v weights_v · G_v` over the items that have a view, the weights shared out over the views
/// that an item has; an item without any keeps itself.
fn mixed(graphs: &[SparseRows], weights: &[f32], has: &[&[bool]]) -> SparseRows {
    let (n, total) = (has.first().map_or(0, |h| h.len()), weights.iter().sum::<f32>());
    let rows = (0..n).map(|item| {
        let whole: f32 = has.iter().zip(weights).filter(|(h, _)| h[item]).map(|(_, w)| w).sum();
        let mut cells: Vec<(u32, f32)> = Vec::new();
        for ((graph, weight), has) in graphs.iter().zip(weights).zip(has) {
            // All weigh where the item has nothing: each graph then holds the item alone.
            let share =
                if whole > 0.0 { f32::from(u8::from(has[item])) * total / whole } else { 1.0 };
            let (columns, values) = graph.row(item);
            cells.extend(columns.iter().zip(values).map(|(c, v)| (*c, weight * share * v)));
        }
        cells.retain(|cell| cell.1 != 0.0);
        joined(cells, |a, b| a + b)
    });
    SparseRows::from_rows(n, rows)
}

/// The features of the modalities named in `wanted`, all when none are.
///
/// # Errors
/// A modality is not there, or none is and the model needs one.
pub(crate) fn chosen<'a>(
    model: &str,
    features: &'a FeatureSet,
    wanted: Option<&[Modality]>,
    needs_features: bool,
) -> Result<Vec<&'a ModalityFeatures>, FitError> {
    if let Some(missing) = wanted.and_then(|w| w.iter().find(|m| features.get(**m).is_none())) {
        let known: Vec<&str> = features.iter().map(|f| f.modality.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let (model, modality) = (model.to_owned(), *missing);
        return Err(FitError::MissingModality { model, modality, known });
    }
    let is_wanted = |f: &&ModalityFeatures| wanted.is_none_or(|w| w.contains(&f.modality));
    let chosen: Vec<&ModalityFeatures> = features.iter().filter(is_wanted).collect();
    if chosen.is_empty() && needs_features {
        let reason = "it reads item content, and the dataset has no features of any modality; \
                      run `quintet encode` first";
        return Err(FitError::Data { model: model.into(), reason: reason.into() });
    }
    Ok(chosen)
}

/// A matrix as a tensor, without a copy.
fn owned_tensor(matrix: Matrix, device: &Device) -> Tensor<2> {
    let shape = [matrix.rows(), matrix.cols()];
    Tensor::from_data(burn::tensor::TensorData::new(matrix.into_vec(), shape), device)
}

/// `w_ij / sqrt(r_i r_j)` with `r` the row sums, at both ends.
pub(crate) fn by_row_sums(graph: SparseRows) -> SparseRows {
    let root: Vec<f32> =
        graph.row_sums().iter().map(|s| if *s > 0.0 { 1.0 / s.sqrt() } else { 0.0 }).collect();
    graph.scaled(|r, c| root[r] * root[c])
}

/// How much each modality weighs in a graph of several: `image` for pictures, the rest shared out
/// equally over the others; equal weights where there is no picture or nothing else.
pub(crate) fn graph_weights(modalities: &[Modality], image: f32) -> Vec<f32> {
    let n = modalities.len();
    let pictures = modalities.contains(&Modality::Image);
    modalities
        .iter()
        .map(|m| match (pictures && n > 1, *m == Modality::Image) {
            (false, _) => 1.0 / n.max(1) as f32,
            (true, true) => image,
            (true, false) => (1.0 - image) / (n - 1) as f32,
        })
        .collect()
}

/// `train` with every value 1.
pub(crate) fn with_ones(train: &Interactions) -> Interactions {
    let pairs = train.iter().map(|t| (t.user.0, t.item.0));
    Interactions::from_pairs(train.n_users(), train.n_items(), pairs)
        .unwrap_or_else(|_| unreachable!("the cells of a matrix"))
}

/// A share of the edges, drawn without replacement with chances proportional to
/// `1 / sqrt(d_u d_i)`: the `⌊share · nnz⌋` largest of `ln w + Gumbel noise` are kept (Zhou & Shen,
/// "A Tale of Two Graphs", ACM MM 2023).
///
/// # Errors
/// None: the cells are those of a matrix.
pub(crate) fn keep_edges(
    train: &Interactions,
    share: f32,
    seed: SeedStream,
    epoch: usize,
) -> Result<Interactions, FitError> {
    let keep = ((f64::from(share) * train.nnz() as f64).floor() as usize).min(train.nnz());
    let by_item = train.item_counts();
    let mut rng = seed.rng("edge-sampling", epoch as u64);
    let mut keys: Vec<(f64, u32)> = Vec::with_capacity(train.nnz());
    for (edge, t) in train.iter().enumerate() {
        let degrees = train.items(t.user).len() as f64 * f64::from(by_item[t.item.index()]);
        let uniform: f64 = rng.random::<f64>().max(f64::MIN_POSITIVE);
        keys.push((-0.5 * degrees.ln() - (-uniform.ln()).ln(), edge as u32));
    }
    if keep < keys.len() && keep > 0 {
        keys.select_nth_unstable_by(keep - 1, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    }
    let mut kept = vec![false; train.nnz()];
    keys.iter().take(keep).for_each(|(_, edge)| kept[*edge as usize] = true);
    let cells = train.iter().zip(&kept).filter(|(_, kept)| **kept);
    let cells = cells.map(|(t, _)| Triplet { value: 1.0, ..t });
    Ok(Interactions::from_sorted(train.n_users(), train.n_items(), keep, cells)?)
}

//! Vectors for items that have none: from nothing, from the average, or from the items that the
//! same users took.
//!
//! Papers: D. Malitesta, E. Rossi, C. Pomo, T. Di Noia, F. D. Malliaros, "Do We Really Need to
//! Drop Items with Missing Modalities in Multimodal Recommendation?", CIKM 2024 (the strategies,
//! but heat: their follow-up "Training-free Graph-based Imputation of Missing Modalities in
//! Multimodal Recommendation", arXiv:2602.17354); E. Rossi et al., "On the Unreasonable
//! Effectiveness of Feature Propagation in Learning on Graphs with Missing Node Features", LoG
//! 2022 (propagation with the observed rows put back at every step).
//!
//! The graph is made of the training interactions alone, which is why [`impute`] takes nothing
//! else: held-out events must not shape features. Observed vectors never change.

use quintet_core::{CoreError, Interactions, Matrix, ModalityFeatures, SeedStream};
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::DataError;
use crate::impute_config::{ImputeConfig, bad};
use crate::impute_graph::ItemGraph;
use crate::impute_nearest::{nearest_items, norm};

/// Features with the gaps filled, and where they were.
#[derive(Debug, Clone, PartialEq)]
pub struct Imputed {
    /// The features; imputed items are present.
    pub features: ModalityFeatures,
    /// `[n_items]`: whether the vector was made up here.
    pub imputed: Vec<bool>,
    /// Where the vectors came from.
    pub report: ImputeReport,
}

/// The account of an imputation: `missing = left + constant + from_graph + from_modality +
/// from_mean`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ImputeReport {
    /// Items that had a vector.
    pub observed: usize,
    /// Items that had none.
    pub missing: usize,
    /// Items that still have none, as [`ImputeConfig::Masked`] wants it.
    pub left: usize,
    /// Items with zeros or random numbers.
    pub constant: usize,
    /// Items that vectors reached along the graph.
    pub from_graph: usize,
    /// Items that took the mean of their nearest items in the other modality.
    pub from_modality: usize,
    /// Items that took the mean of all.
    pub from_mean: usize,
    /// Steps along the graph.
    pub steps: usize,
    /// Whether [`ImputeConfig::PersonalisedPageRank`] came to rest; true for all others.
    pub converged: bool,
}

/// Fills the gaps of `features`.
///
/// `train` has the training interactions and nothing else. `fallback` is another modality of the
/// same items, for those that the graph does not reach: an item takes the mean over as many
/// nearest items (by cosine) as the strategy has neighbours, of those that are observed here.
/// The result is the same for any number of threads.
///
/// # Errors
/// A setting out of its range, another number of items in `train` or `fallback`, and, for every
/// strategy that learns from the observed vectors, no such vector.
pub fn impute(
    features: &ModalityFeatures,
    train: &Interactions,
    config: &ImputeConfig,
    fallback: Option<&ModalityFeatures>,
) -> Result<Imputed, DataError> {
    config.validate()?;
    let n_items = features.matrix.rows();
    let same = |what: &str, found: usize| match found == n_items {
        true => Ok(()),
        false => Err(CoreError::Shape { what: what.to_owned(), expected: n_items, found }),
    };
    same("items of the training interactions", train.n_items())?;
    fallback.map_or(Ok(()), |f| same("items of the other modality", f.matrix.rows()))?;
    let missing: Vec<usize> = (0..n_items).filter(|&i| !features.present[i]).collect();
    let report = ImputeReport {
        observed: n_items - missing.len(),
        missing: missing.len(),
        converged: true,
        ..ImputeReport::default()
    };
    let mut work = Work { features, missing, matrix: features.matrix.clone(), report };
    if matches!(config, ImputeConfig::Masked {}) || work.missing.is_empty() {
        work.report.left = work.missing.len();
        let (features, report) = (features.clone(), work.report);
        return Ok(Imputed { features, imputed: vec![false; n_items], report });
    }
    if features.dim() > 0 {
        work.fill(train, config, fallback)?;
    }
    let imputed = features.present.iter().map(|p| !p).collect();
    let features = ModalityFeatures::new(features.modality, work.matrix, vec![true; n_items])?;
    Ok(Imputed { features, imputed, report: work.report })
}

/// An imputation under way.
struct Work<'a> {
    features: &'a ModalityFeatures,
    /// Items without a vector.
    missing: Vec<usize>,
    /// `X`: the observed vectors, and what the others have by now.
    matrix: Matrix,
    report: ImputeReport,
}

impl Work<'_> {
    fn fill(
        &mut self,
        train: &Interactions,
        config: &ImputeConfig,
        fallback: Option<&ModalityFeatures>,
    ) -> Result<(), DataError> {
        if matches!(config, ImputeConfig::Zeros {}) {
            // Absent rows are zeros already.
            self.report.constant = self.missing.len();
            return Ok(());
        }
        if self.report.observed == 0 {
            let expected = format!("at least one item with {} features", self.features.modality);
            return Err(bad("strategy", &expected, format!("{config:?} and none")));
        }
        if let ImputeConfig::Random { seed } = *config {
            self.random(seed);
        }
        let Some(neighbours) = config.neighbours() else {
            if matches!(config, ImputeConfig::Mean {}) {
                self.mean_of_all(&self.missing.clone());
            }
            return Ok(());
        };
        let graph = ItemGraph::new(train, neighbours);
        match *config {
            ImputeConfig::MultiHop { hops, .. } => self.multi_hop(&graph, hops),
            ImputeConfig::PersonalisedPageRank { alpha, tolerance, max_iterations, .. } => {
                self.page_rank(&graph, alpha as f32, tolerance, max_iterations);
            }
            ImputeConfig::Heat { hops, t, .. } => self.heat(&graph, hops, t),
            _ => self.neighbour_mean(&graph),
        }
        self.unreached(neighbours, fallback, &graph);
        if !matches!(config, ImputeConfig::NeighbourMean { .. }) {
            self.rescale();
        }
        Ok(())
    }

    /// Mean and spread of every column over the observed rows.
    fn columns(&self) -> Vec<(f64, f64)> {
        let observed = self.report.observed as f64;
        let mut columns = vec![(0f64, 0f64); self.features.dim()];
        for row in self.observed_rows() {
            for (column, v) in columns.iter_mut().zip(row) {
                column.0 += f64::from(*v) / observed;
            }
        }
        for row in self.observed_rows() {
            for (column, v) in columns.iter_mut().zip(row) {
                column.1 += (f64::from(*v) - column.0).powi(2) / observed;
            }
        }
        columns.iter_mut().for_each(|(_, spread)| *spread = spread.sqrt());
        columns
    }

    fn observed_rows(&self) -> impl Iterator<Item = &[f32]> {
        let present = self.features.present.iter().enumerate().filter(|(_, p)| **p);
        present.map(|(item, _)| self.features.matrix.row(item))
    }

    fn random(&mut self, seed: u64) {
        let columns = self.columns();
        let seed = SeedStream::new(seed);
        for &item in &self.missing {
            // A generator an item: its numbers do not depend on which others are missing.
            let mut rng = seed.rng("impute", item as u64);
            for (to, (mean, spread)) in self.matrix.row_mut(item).iter_mut().zip(&columns) {
                let z: f64 = StandardNormal.sample(&mut rng);
                *to = (mean + spread * z) as f32;
            }
        }
        self.report.constant = self.missing.len();
    }

    fn mean_of_all(&mut self, items: &[usize]) {
        let mean: Vec<f32> = self.columns().iter().map(|(mean, _)| *mean as f32).collect();
        items.iter().for_each(|&item| self.matrix.row_mut(item).copy_from_slice(&mean));
        self.report.from_mean += items.len();
    }

    fn neighbour_mean(&mut self, graph: &ItemGraph) {
        let lists: Vec<(usize, Vec<usize>)> = self
            .missing
            .iter()
            .map(|&item| (item, graph.neighbours(item).iter().map(|&i| i as usize).collect()))
            .collect();
        self.means(&lists);
        self.report.steps = 1;
    }

    /// Gives every item the mean over those of its list that are observed; none of them: zeros.
    fn means(&mut self, lists: &[(usize, Vec<usize>)]) {
        let features = self.features;
        let mean = |(item, list): &(usize, Vec<usize>)| {
            let list: Vec<usize> = list.iter().copied().filter(|&i| features.present[i]).collect();
            let mut sums = vec![0f64; features.dim()];
            for &other in &list {
                let row = features.matrix.row(other);
                sums.iter_mut().zip(row).for_each(|(sum, v)| *sum += f64::from(*v));
            }
            let n = list.len().max(1) as f64;
            (*item, sums.iter().map(|sum| (sum / n) as f32).collect::<Vec<f32>>())
        };
        let means: Vec<_> = lists.par_iter().map(mean).collect();
        for (item, row) in means {
            self.matrix.row_mut(item).copy_from_slice(&row);
        }
    }

    fn multi_hop(&mut self, graph: &ItemGraph, hops: usize) {
        for _ in 0..hops {
            self.matrix = graph.propagate(&self.matrix, &self.features.present);
        }
        self.report.steps = hops;
    }

    fn page_rank(&mut self, graph: &ItemGraph, alpha: f32, tolerance: f64, max: usize) {
        let largest = self.matrix.as_slice().iter().fold(0f32, |a, v| a.max(v.abs()));
        let tolerance = tolerance * f64::from(largest);
        self.report.converged = false;
        while !self.report.converged && self.report.steps < max {
            let mut next = graph.propagate(&self.matrix, &self.features.present);
            // X_0 is zero where vectors are missing, and the other rows are put back.
            for &item in &self.missing {
                next.row_mut(item).iter_mut().for_each(|v| *v *= 1.0 - alpha);
            }
            let pairs = next.as_slice().par_iter().zip(self.matrix.as_slice());
            let change = pairs.map(|(a, b)| (a - b).abs()).reduce(|| 0.0, f32::max);
            self.matrix = next;
            self.report.steps += 1;
            self.report.converged = f64::from(change) <= tolerance;
        }
    }

    fn heat(&mut self, graph: &ItemGraph, hops: usize, t: f64) {
        let none = vec![false; self.features.present.len()];
        // Up to e^-t and the like, a common factor that the final scaling takes away: as they
        // stand, the weights of a large t would be too small for 32 bits.
        let mut weights: Vec<f64> = Vec::with_capacity(hops);
        for h in 1..=hops {
            weights.push(weights.last().map_or(t, |w| w * t / h as f64));
        }
        let largest = weights.iter().fold(0f64, |a, w| a.max(*w));
        let mut power = self.features.matrix.clone();
        for weight in weights {
            power = graph.propagate(&power, &none);
            let weight = (weight / largest) as f32;
            for &item in &self.missing {
                let from = power.row(item);
                let to = self.matrix.row_mut(item).iter_mut();
                to.zip(from).for_each(|(to, v)| *to += weight * v);
            }
        }
        self.report.steps = hops;
    }

    /// Looks after the items that nothing came to along the graph.
    fn unreached(
        &mut self,
        neighbours: usize,
        fallback: Option<&ModalityFeatures>,
        graph: &ItemGraph,
    ) {
        let reached = self.reached(graph);
        let left: Vec<usize> = self.missing.iter().copied().filter(|&i| !reached[i]).collect();
        self.report.from_graph = self.missing.len() - left.len();
        let mut lists: Vec<(usize, Vec<usize>)> = Vec::new();
        if let Some(other) = fallback {
            let present = self.features.present.iter().enumerate().filter(|(_, p)| **p);
            let observed: Vec<usize> = present.map(|(item, _)| item).collect();
            let found = nearest_items(other, &left, &observed, neighbours);
            lists = left.iter().copied().zip(found).filter(|(_, l)| !l.is_empty()).collect();
            self.means(&lists);
            self.report.from_modality = lists.len();
        }
        let rest = left.into_iter().filter(|i| lists.binary_search_by_key(i, |l| l.0).is_err());
        self.mean_of_all(&rest.collect::<Vec<_>>());
    }

    /// Which items an observed vector came to within the steps that were made.
    fn reached(&self, graph: &ItemGraph) -> Vec<bool> {
        let mut reached = self.features.present.clone();
        let mut frontier: Vec<usize> = (0..reached.len()).filter(|&i| reached[i]).collect();
        for _ in 0..self.report.steps {
            let mut next = Vec::new();
            for item in frontier {
                for &other in graph.neighbours(item) {
                    if !std::mem::replace(&mut reached[other as usize], true) {
                        next.push(other as usize);
                    }
                }
            }
            frontier = next;
        }
        reached
    }

    /// Brings the imputed vectors to the mean length of the observed ones; zeros stay zeros.
    fn rescale(&mut self) {
        let observed = self.report.observed as f64;
        let wanted = self.observed_rows().map(|row| norm(row) / observed).sum::<f64>();
        for &item in &self.missing {
            let row = self.matrix.row_mut(item);
            let length = norm(row);
            if length > 0.0 {
                row.iter_mut().for_each(|v| *v = (f64::from(*v) * wanted / length) as f32);
            }
        }
    }
}

//! How well a joint space does on items that it was not trained on.
//!
//! Success of an alignment is paired retrieval, and for the adversarial objective also a
//! classifier near chance; vectors that are all equal fool every classifier, so the variance is
//! told with them.
//! Paper: Wang et al., "Adversarial Cross-Modal Retrieval", ACM MM 2017.
//! Parameters: none. Cost: `O(n² dim)` for every ordered pair of modalities.

use quintet_core::{Modality, ModalityFeatures};
use rayon::prelude::*;

/// What [`super::Alignment::fit`] reports.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AlignmentReport {
    /// The mean loss of each epoch.
    pub losses: Vec<f64>,
    /// One entry for every ordered pair of modalities.
    pub retrieval: Vec<Retrieval>,
    /// Share of held-out vectors of which the classifier knows the modality: near `1 / M` when it
    /// is fooled. Only with the adversarial objective.
    pub classifier_accuracy: Option<f64>,
    /// The variance of the held-out vectors of each modality, summed over dimensions: 0 when all
    /// are equal, at most 1.
    pub variance: Vec<(Modality, f64)>,
}

/// Finding the other half of a pair among all held-out pairs, by cosine.
#[derive(Debug, Clone, PartialEq)]
pub struct Retrieval {
    /// The modality of the queries.
    pub from: Modality,
    /// The modality that is searched.
    pub to: Modality,
    /// Number of held-out pairs.
    pub pairs: usize,
    /// Share of queries whose partner comes first; a tie does not count.
    pub recall_at_1: f64,
    /// Share of queries whose partner is among the first ten; ties come before it.
    pub recall_at_10: f64,
}

/// Queries `from`, candidates `to`, both unit vectors, over the items `pairs`.
pub(crate) fn retrieval(
    from: &ModalityFeatures,
    to: &ModalityFeatures,
    pairs: &[u32],
) -> Retrieval {
    let dot = |a: u32, b: u32| -> f32 {
        let rows = from.matrix.row(a as usize).iter().zip(to.matrix.row(b as usize));
        rows.map(|(a, b)| a * b).sum()
    };
    let ahead: Vec<usize> = pairs
        .par_iter()
        .map(|&query| {
            let own = dot(query, query);
            pairs.iter().filter(|&&other| other != query && dot(query, other) >= own).count()
        })
        .collect();
    let within =
        |k: usize| ahead.iter().filter(|&&a| a < k).count() as f64 / pairs.len().max(1) as f64;
    Retrieval {
        from: from.modality,
        to: to.modality,
        pairs: pairs.len(),
        recall_at_1: within(1),
        recall_at_10: within(10),
    }
}

/// The variance over `items`, summed over dimensions.
pub(crate) fn variance(f: &ModalityFeatures, items: &[u32]) -> f64 {
    let n = items.len().max(1) as f64;
    (0..f.dim())
        .map(|c| {
            let column = || items.iter().map(|&i| f64::from(f.matrix.row(i as usize)[c]));
            let mean = column().sum::<f64>() / n;
            column().map(|v| (v - mean).powi(2)).sum::<f64>() / n
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::Matrix;

    #[test]
    fn recall_and_variance_by_hand() {
        let of = |modality, rows: [[f32; 2]; 3]| {
            let matrix = Matrix::from_vec(3, 2, rows.concat()).unwrap();
            ModalityFeatures::new(modality, matrix, vec![true; 3]).unwrap()
        };
        let text = of(Modality::Text, [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]);
        let image = of(Modality::Image, [[1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]);
        // Item 0 finds itself (1 against 0, 0); item 1 too; item 2 has 0 against 1 and 0.
        let found = retrieval(&text, &image, &[0, 1, 2]);
        assert!((found.recall_at_1 - 2.0 / 3.0).abs() < 1e-12 && found.recall_at_10 == 1.0);
        // All equal: every other candidate ties.
        let flat = of(Modality::Audio, [[1.0, 0.0]; 3]);
        assert_eq!(retrieval(&text, &flat, &[0, 1, 2]).recall_at_1, 0.0);
        assert_eq!(variance(&flat, &[0, 1, 2]), 0.0);
        // 1, 0, 1 and 0, 1, 0: 2/9 each.
        assert!((variance(&text, &[0, 1, 2]) - 4.0 / 9.0).abs() < 1e-12);
    }
}

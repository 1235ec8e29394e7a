//! How unlike the items of a list are: intra-list diversity by features and by categories.
//!
//! The mean of `1 - sim(i, j)` over all pairs of different items of a list. By features of a
//! modality `sim` is the cosine, so values lie within 0 and 2; by categories it is the Jaccard
//! index of the sets of categories, within 0 and 1. Items without the modality, or without any
//! category, are in no pair: absence is no vector. The share of places that are left out this way
//! is measured beside (`ild_text_absent`). Users with fewer than two items left are left out.
//!
//! Cosines of pairs are not visited one by one: with unit vectors `x̂`, they sum to
//! `(|Σ x̂|² - Σ |x̂|²) / 2`. A vector of zeros has cosine 0 with everything.
//!
//! Papers: Smyth and McClave, "Similarity vs. Diversity", ICCBR 2001; Ziegler, McNee, Konstan,
//! Lausen, "Improving Recommendation Lists Through Topic Diversification", WWW 2005 (as intra-list
//! similarity).
//! Cost: O(k · dim) a user and modality; O(k² · categories of an item) for categories.

use quintet_core::{ItemIdx, ModalityFeatures, SparseFeatures};

use super::Column;

/// Diversity by one modality, and the share of places without it.
pub(super) fn by_features(features: &ModalityFeatures) -> Vec<Column<'_>> {
    let scale: Vec<f64> = (0..features.matrix.rows())
        .map(|row| {
            let squares = features.matrix.row(row).iter().map(|v| f64::from(*v).powi(2));
            let norm = squares.sum::<f64>().sqrt();
            if norm > 0.0 { 1.0 / norm } else { 0.0 }
        })
        .collect();
    let name = format!("ild_{}", features.modality);
    let absent = absent_share(name.clone(), |item| features.present[item.index()]);
    let diversity = Column::new(name, move |_, list| {
        let present = || list.iter().map(|i| i.index()).filter(|i| features.present[*i]);
        let n = present().count() as f64;
        let mut sum = vec![0.0f64; features.dim()];
        let mut squares = 0.0;
        for item in present() {
            for (sum, v) in sum.iter_mut().zip(features.matrix.row(item)) {
                *sum += f64::from(*v) * scale[item];
            }
            squares += f64::from(u8::from(scale[item] > 0.0));
        }
        let cosines = sum.iter().map(|s| s * s).sum::<f64>() - squares;
        (n >= 2.0).then(|| (1.0 - cosines / (n * (n - 1.0))).clamp(0.0, 2.0))
    });
    vec![diversity, absent]
}

/// Diversity by categories, and the share of places without any.
pub(super) fn by_categories(categories: &SparseFeatures) -> Vec<Column<'_>> {
    let has = |item: ItemIdx| !categories.columns(item.index()).is_empty();
    let absent = absent_share("ild_category".into(), has);
    let diversity = Column::new("ild_category", move |_, list| {
        let sets: Vec<&[u32]> = list
            .iter()
            .map(|item| categories.columns(item.index()))
            .filter(|set| !set.is_empty())
            .collect();
        let (mut distance, mut pairs) = (0.0, 0.0);
        for (i, a) in sets.iter().enumerate() {
            for b in &sets[..i] {
                distance += 1.0 - jaccard(a, b);
                pairs += 1.0;
            }
        }
        (pairs > 0.0).then(|| distance / pairs)
    });
    vec![diversity, absent]
}

fn absent_share<'a>(name: String, has: impl Fn(ItemIdx) -> bool + Send + Sync + 'a) -> Column<'a> {
    Column::new(format!("{name}_absent"), move |_, list| {
        super::mean_over(list, |item| f64::from(u8::from(!has(item))))
    })
}

/// `|A ∩ B| / |A ∪ B|` of ascending sets that are not both empty.
fn jaccard(a: &[u32], b: &[u32]) -> f64 {
    let common = a.iter().filter(|x| b.binary_search(x).is_ok()).count();
    common as f64 / (a.len() + b.len() - common) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::{Matrix, Modality, UserIdx};

    fn values(columns: &[Column<'_>], list: &[u32]) -> Vec<Option<f64>> {
        let list: Vec<ItemIdx> = list.iter().copied().map(ItemIdx).collect();
        columns.iter().map(|c| (c.value)(UserIdx(0), &list)).collect()
    }

    #[test]
    fn features_by_hand() {
        // Right, up, left (longer), nothing there, zeros.
        let rows = vec![1.0, 0.0, 0.0, 1.0, -3.0, 0.0, 9.0, 9.0, 0.0, 0.0];
        let matrix = Matrix::from_vec(5, 2, rows).unwrap();
        let present = vec![true, true, true, false, true];
        let features = ModalityFeatures::new(Modality::Image, matrix, present).unwrap();
        let columns = by_features(&features);
        assert_eq!(columns[0].name, "ild_image");
        assert_eq!(columns[1].name, "ild_image_absent");
        assert_eq!(values(&columns, &[0, 1]), [Some(1.0), Some(0.0)]);
        // Distances 1, 2 and 1; the absent item is in no pair.
        let got = values(&columns, &[0, 1, 3, 2]);
        assert!((got[0].unwrap() - 4.0 / 3.0).abs() < 1e-15 && got[1] == Some(0.25), "{got:?}");
        assert_eq!(values(&columns, &[0, 4]), [Some(1.0), Some(0.0)]);
        assert_eq!(values(&columns, &[0, 3]), [None, Some(0.5)]);
        assert_eq!(values(&columns, &[]), [None, None]);
    }

    #[test]
    fn categories_by_hand() {
        let names = ["a", "b", "c"].map(String::from).to_vec();
        // {a b}, {b c}, {a b}, {}.
        let cells = [(0, 0), (0, 1), (1, 1), (1, 2), (2, 0), (2, 1)].map(|(i, c)| (i, c, 1.0));
        let categories = SparseFeatures::new(4, names, cells).unwrap();
        let columns = by_categories(&categories);
        // Jaccard 1/3, 1, 1/3.
        let got = values(&columns, &[0, 1, 2, 3]);
        assert!((got[0].unwrap() - (4.0 / 3.0) / 3.0).abs() < 1e-15, "{got:?}");
        assert_eq!(got[1], Some(0.25));
        assert_eq!(values(&columns, &[0, 2]), [Some(0.0), Some(0.0)]);
        assert_eq!(values(&columns, &[3, 0]), [None, Some(0.5)]);
    }
}

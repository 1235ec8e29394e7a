//! What the rows of one side are sums of.

use quintet_core::SparseFeatures;

/// Sparse rows that sum to 1: an identity, where there is one, then attributes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Attributes {
    indptr: Vec<usize>,
    columns: Vec<u32>,
    weights: Vec<f32>,
    /// Columns below are identities.
    identities: usize,
    n_features: usize,
    /// Whether a row has interactions.
    known: Vec<bool>,
}

/// Columns and weights of one row.
pub(super) type Row<'a> = (&'a [u32], &'a [f32]);

impl Attributes {
    /// `known` tells for each row whether it has interactions.
    pub(super) fn new(
        known: &[bool],
        attributes: Option<&SparseFeatures>,
        identity: bool,
    ) -> Result<Self, String> {
        let n_rows = known.len();
        match attributes {
            Some(given) if given.n_rows() != n_rows => {
                return Err(format!(
                    "expected {n_rows} rows of attributes, found {}",
                    given.n_rows()
                ));
            }
            None if !identity => {
                return Err("without an identity attributes are needed, and there are none".into());
            }
            _ => {}
        }
        let identities = if identity { n_rows } else { 0 };
        let (mut indptr, mut columns, mut weights) = (vec![0], Vec::new(), Vec::new());
        for row in 0..n_rows {
            let start = weights.len();
            if identity {
                columns.push(row as u32);
                weights.push(1.0f32);
            }
            if let Some(given) = attributes {
                columns.extend(given.columns(row).iter().map(|c| identities as u32 + c));
                weights.extend(given.values(row));
            }
            let sum: f32 = weights[start..].iter().map(|w| w.abs()).sum();
            if sum > 0.0 {
                weights[start..].iter_mut().for_each(|w| *w /= sum);
            }
            indptr.push(weights.len());
        }
        let n_features = identities + attributes.map_or(0, SparseFeatures::n_features);
        Ok(Self { indptr, columns, weights, identities, n_features, known: known.to_vec() })
    }

    pub(super) fn n_rows(&self) -> usize {
        self.known.len()
    }

    pub(super) fn n_features(&self) -> usize {
        self.n_features
    }

    /// Everything a row is the sum of.
    pub(super) fn row(&self, row: usize) -> Row<'_> {
        let range = self.indptr[row]..self.indptr[row + 1];
        (&self.columns[range.clone()], &self.weights[range])
    }

    /// Without the identity of a row that has no interactions: nothing was learned about it.
    pub(super) fn known_row(&self, row: usize) -> Row<'_> {
        let skip = usize::from(self.identities > 0 && !self.known[row]);
        let (columns, weights) = self.row(row);
        (&columns[skip..], &weights[skip..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_sum_to_one_with_and_without_identity() {
        let names = vec!["a".to_owned(), "b".to_owned()];
        let given = SparseFeatures::new(3, names, [(0, 1, 3.0), (1, 0, 1.0), (1, 1, 1.0)]).unwrap();
        let known = [true, false, true];
        let with = Attributes::new(&known, Some(&given), true).unwrap();
        assert_eq!(with.row(0), (&[0, 4][..], &[0.25, 0.75][..]));
        assert_eq!(with.row(2), (&[2][..], &[1.0][..]));
        let third = 1.0 / 3.0;
        assert_eq!(with.row(1), (&[1, 3, 4][..], &[third; 3][..]));
        assert_eq!(with.known_row(1), (&[3, 4][..], &[third; 2][..]));
        let without = Attributes::new(&known, Some(&given), false).unwrap();
        assert_eq!(without.row(1), (&[0, 1][..], &[0.5, 0.5][..]));
        assert_eq!((without.row(2).0.len(), without.n_features()), (0, 2));
        assert!(Attributes::new(&known, None, false).is_err());
        assert!(Attributes::new(&known[..2], Some(&given), true).is_err());
    }
}

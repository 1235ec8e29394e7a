//! A knowledge prior: items that share attributes as one more view in a graph of items.
//!
//! ```text
//! x_ia = v_ia · ln(n / n_a)      v the size of attribute a of item i, n_a the items that have it,
//!                                n the items that have any
//! G    = (1 - w) G_content + w KNN(x, k)
//! ```
//! The graph of items and attributes is walked from an item over its attributes to others; what
//! few items have counts for more, what all have for nothing. Many items have the very same
//! attributes: of equal neighbours those of the nearest number are taken, so that no item becomes
//! the neighbour of everybody. An item without attributes has the view of its content alone, one
//! without content that of its attributes.
//! Cost: `O(Σ_a n_a²)` once, before training.

use quintet_core::SparseFeatures;
use quintet_tensor::{FitError, SparseRows};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::world::by_row_sums;
use super::{above_zero, at_most_one, refuse};

/// Items that share attributes, as one more view in a model's graph of items: what few items have
/// counts for more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AttributeView {
    /// Share of the item graph that comes from attributes, in (0, 1]; content has the rest.
    pub weight: f32,
    /// Neighbours of an item, itself among them.
    pub k: usize,
    /// Which attributes are read; all categorical ones by default.
    pub only: Option<Vec<String>>,
}

impl Default for AttributeView {
    fn default() -> Self {
        Self { weight: 0.5, k: 10, only: None }
    }
}

impl AttributeView {
    /// Checks the ranges of a view that a model has.
    ///
    /// # Errors
    /// [`FitError::Config`] that names the key.
    pub(crate) fn check(view: Option<&Self>, model: &str) -> Result<(), FitError> {
        let Some(view) = view else { return Ok(()) };
        above_zero(model, "attributes.weight", view.weight)?;
        at_most_one(model, "attributes.weight", view.weight)?;
        if view.k == 0 {
            return refuse(model, "attributes.k", "at least 1", view.k);
        }
        Ok(())
    }

    /// The neighbours of every item, weighed as FREEDOM weighs those by content, and whether the
    /// item has attributes that say anything. Only items in `warm` are neighbours of others.
    ///
    /// # Errors
    /// The items have no such attributes.
    pub(crate) fn graph(
        &self,
        model: &str,
        given: Option<&SparseFeatures>,
        warm: &[bool],
    ) -> Result<(SparseRows, Vec<bool>), FitError> {
        let rows = self.weighted(model, given, warm.len())?;
        let n_columns = rows.iter().flatten().map(|cell| cell.0 as usize + 1).max().unwrap_or(0);
        let mut items_of: Vec<Vec<(u32, f32)>> = vec![Vec::new(); n_columns];
        for (item, row) in rows.iter().enumerate().filter(|(item, _)| warm[*item]) {
            row.iter().for_each(|(a, x)| items_of[*a as usize].push((item as u32, *x)));
        }
        let near = rows.par_iter().enumerate().map_init(
            || vec![0.0f32; warm.len()],
            |sums, (item, row)| nearest(item as u32, row, &items_of, self.k, sums),
        );
        let near: Vec<Vec<(u32, f32)>> = near.collect();
        let has = rows.iter().map(|row| !row.is_empty()).collect();
        Ok((by_row_sums(SparseRows::from_rows(warm.len(), near)), has))
    }

    /// The attributes of each item with their weights, rows of length 1 or empty.
    fn weighted(
        &self,
        model: &str,
        given: Option<&SparseFeatures>,
        n_items: usize,
    ) -> Result<Vec<Vec<(u32, f32)>>, FitError> {
        let refused = |reason| FitError::Data { model: model.into(), reason };
        let given = given.ok_or_else(|| {
            let reason = "attributes are to be a view of the items, and the items have none";
            refused(reason.to_owned())
        })?;
        let read: Vec<bool> = given.names().iter().map(|name| self.reads(name)).collect();
        if !read.contains(&true) {
            return Err(refused(format!(
                "attributes.only names {}; the items have: {}",
                self.only.as_ref().map_or("no categorical attribute".into(), |o| o.join(", ")),
                categorical(given)
            )));
        }
        let cells = |item: usize| {
            let row = given.columns(item).iter().zip(given.values(item));
            row.filter(|(a, v)| read[**a as usize] && **v != 0.0).map(|(a, v)| (*a, v.abs()))
        };
        let (mut counts, mut known) = (vec![0u32; read.len()], 0u32);
        for item in 0..n_items {
            cells(item).for_each(|(a, _)| counts[a as usize] += 1);
            known += u32::from(cells(item).next().is_some());
        }
        let rarity = |a: u32| (f64::from(known) / f64::from(counts[a as usize])).ln() as f32;
        Ok((0..n_items)
            .map(|item| {
                let mut row: Vec<(u32, f32)> =
                    cells(item).map(|(a, v)| (a, v * rarity(a))).collect();
                row.retain(|cell| cell.1 > 0.0);
                let length = row.iter().map(|cell| cell.1 * cell.1).sum::<f32>().sqrt();
                row.iter_mut().for_each(|cell| cell.1 /= length);
                row
            })
            .collect())
    }

    /// `genres=Drama` is a category; a number such as `year` is not.
    fn reads(&self, name: &str) -> bool {
        let Some((of, _)) = name.split_once('=') else { return false };
        self.only.as_ref().is_none_or(|only| only.iter().any(|wanted| wanted == of))
    }
}

/// The names of what the view could read.
fn categorical(given: &SparseFeatures) -> String {
    let named = given.names().iter().filter_map(|name| name.split_once('='));
    let mut known: Vec<&str> = named.map(|(of, _)| of).collect();
    known.sort_unstable();
    known.dedup();
    if known.is_empty() { "none".to_owned() } else { known.join(", ") }
}

/// The `k` nearest of `item`, itself first among them, in the order of their numbers and with
/// weight 1. `sums` comes and goes as zeros.
fn nearest(
    item: u32,
    row: &[(u32, f32)],
    items_of: &[Vec<(u32, f32)>],
    k: usize,
    sums: &mut [f32],
) -> Vec<(u32, f32)> {
    let mut touched: Vec<u32> = Vec::new();
    for (a, x) in row {
        for (other, y) in &items_of[*a as usize] {
            let sum = &mut sums[*other as usize];
            if *sum == 0.0 {
                touched.push(*other);
            }
            *sum += x * y;
        }
    }
    let mut found: Vec<(f32, u32)> = Vec::with_capacity(touched.len());
    for other in touched {
        let sum = std::mem::take(&mut sums[other as usize]);
        if other != item && sum > 0.0 {
            found.push((sum, other));
        }
    }
    // Sums of equal rows differ in nothing; those of equal cosine may differ in the last digits.
    let rounded = |cosine: f32| (cosine * 1e6).round();
    let better = |a: &(f32, u32), b: &(f32, u32)| {
        let distance = |other: u32| (other.abs_diff(item), other);
        rounded(b.0).total_cmp(&rounded(a.0)).then(distance(a.1).cmp(&distance(b.1)))
    };
    let others = k - 1;
    if others > 0 && found.len() > others {
        found.select_nth_unstable_by(others - 1, better);
    }
    found.truncate(others);
    let mut near: Vec<(u32, f32)> = found.into_iter().map(|(_, other)| (other, 1.0)).collect();
    near.push((item, 1.0));
    near.sort_unstable_by_key(|cell| cell.0);
    near
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(n_items: usize, names: &[&str], cells: &[(u32, u32)]) -> SparseFeatures {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        SparseFeatures::new(n_items, names, cells.iter().map(|(i, a)| (*i, *a, 1.0))).unwrap()
    }

    fn neighbours(view: &AttributeView, given: &SparseFeatures, warm: &[bool]) -> Vec<Vec<u32>> {
        let (graph, _) = view.graph("m", Some(given), warm).unwrap();
        (0..warm.len()).map(|item| graph.row(item).0.to_vec()).collect()
    }

    #[test]
    fn rare_attributes_decide_and_common_ones_say_nothing() {
        // All have a=0; 0 and 3 share the rare b=1, 0, 1 and 2 the commoner b=0.
        let cells = [(0, 0), (1, 0), (2, 0), (3, 0), (0, 1), (1, 1), (2, 1), (0, 2), (3, 2)];
        let given = tags(5, &["a=0", "b=0", "b=1", "year"], &cells);
        let view = AttributeView { k: 2, ..AttributeView::default() };
        let found = neighbours(&view, &given, &[true; 5]);
        assert_eq!(found, [vec![0, 3], vec![1, 2], vec![1, 2], vec![0, 3], vec![4]]);
        let (graph, has) = view.graph("m", Some(&given), &[true; 5]).unwrap();
        assert!(graph.row(0).1.iter().all(|w| (w - 0.5).abs() < 1e-6), "{:?}", graph.row(0));
        assert_eq!(has, [true, true, true, true, false]);
        // 3 is nobody's neighbour while nobody has used it.
        let found = neighbours(&view, &given, &[true, true, true, false, true]);
        assert_eq!((&found[0][..], &found[3][..]), (&[0, 1][..], &[0, 3][..]));
    }

    #[test]
    fn equal_items_share_out_their_neighbours() {
        let cells: Vec<(u32, u32)> = (0..40).map(|item| (item, u32::from(item >= 30))).collect();
        let given = tags(40, &["a=0", "a=1"], &cells);
        let view = AttributeView { k: 4, ..AttributeView::default() };
        let found = neighbours(&view, &given, &[true; 40]);
        assert_eq!((&found[9][..], &found[29][..]), (&[7, 8, 9, 10][..], &[26, 27, 28, 29][..]));
        let mut times = vec![0; 40];
        found.iter().flatten().for_each(|item| times[*item as usize] += 1);
        assert!(times.iter().all(|t| (1..=7).contains(t)), "{times:?}");
    }

    #[test]
    fn what_is_not_there_is_named() {
        let given = tags(1, &["genre=a", "year"], &[(0, 0)]);
        let view =
            |only: &str| AttributeView { only: Some(vec![only.into()]), ..Default::default() };
        let text = view("brand").graph("m", Some(&given), &[true]).unwrap_err().to_string();
        assert!(text.contains("brand") && text.contains("the items have: genre"), "{text}");
        assert!(view("genre").graph("m", None, &[true]).unwrap_err().to_string().contains("none"));
        let wrong = AttributeView { weight: 1.5, ..Default::default() };
        let text = AttributeView::check(Some(&wrong), "m").unwrap_err().to_string();
        assert!(text.contains("attributes.weight"), "{text}");
    }
}

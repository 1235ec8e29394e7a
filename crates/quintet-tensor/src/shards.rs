//! One batch on several workers: shards, their gradients, and the sum of these.
//!
//! Data parallelism as in synchronous SGD (Chen et al., "Revisiting Distributed Synchronous SGD",
//! 2016), within one machine. A batch is cut into as many shards as there are workers; each worker
//! has weights of its own ([`copy_weights`]), because a graph of operations that shares a leaf with
//! another waits for it; gradients are added in the order of the shards. How many threads do the
//! work changes no bit: the number of workers says what is added to what.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::{Gradients, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::{EmbeddingTable, FitError, Layer, tensor_to_vec};

/// Most workers that a model takes: a limit against typing errors, far above the cores of one
/// machine that a batch could use.
const MOST_WORKERS: usize = 256;

/// Checks the number of workers of a model.
///
/// # Errors
/// [`FitError::Config`] that names the model.
pub fn check_workers(model: &str, workers: usize) -> Result<(), FitError> {
    if (1..=MOST_WORKERS).contains(&workers) {
        return Ok(());
    }
    let reason = format!("workers must be between 1 and {MOST_WORKERS}; found {workers}");
    Err(FitError::Config { model: model.into(), reason })
}

/// Cuts `n` examples into at most `workers` ranges whose lengths differ by one at most. None is
/// empty, so there are fewer where there are fewer examples.
pub fn shard_ranges(n: usize, workers: usize) -> Vec<Range<usize>> {
    let parts = workers.max(1).min(n);
    (0..parts).map(|k| n * k / parts..n * (k + 1) / parts).collect()
}

/// Does `work` on every shard and gives what came of it, in their order. A shard has a generator of
/// its own, drawn from `rng`; one shard alone goes on with `rng` itself, as if there were none.
///
/// # Errors
/// The first error in the order of the shards.
pub fn on_workers<T: Sync, R: Send>(
    rng: &mut ChaCha8Rng,
    shards: &[T],
    work: impl Fn(usize, &T, &mut ChaCha8Rng) -> Result<R, FitError> + Sync,
) -> Result<Vec<R>, FitError> {
    if let [only] = shards {
        return Ok(vec![work(0, only, rng)?]);
    }
    let rngs: Vec<ChaCha8Rng> =
        shards.iter().map(|_| ChaCha8Rng::seed_from_u64(rng.random())).collect();
    let jobs = shards.par_iter().zip(rngs).enumerate();
    let done: Vec<Result<R, FitError>> =
        jobs.map(|(k, (shard, mut rng))| work(k, shard, &mut rng)).collect();
    done.into_iter().collect()
}

/// Gives `to` the weights of `from`, as leaves of its own; the numbers are shared until they change.
///
/// # Panics
/// When the layers have another number of weights.
pub fn copy_weights(from: &(impl Layer + ?Sized), to: &mut (impl Layer + ?Sized)) {
    let (from, to) = (from.weights(), to.weights_mut());
    assert_eq!(from.len(), to.len(), "a replica has the weights of its model");
    from.into_iter().zip(to).for_each(|((_, from), to)| to.set(from.tensor()));
}

/// Gradients of some rows of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct RowGradients {
    /// Rows, each at most once.
    ids: Vec<u32>,
    /// `[ids, dim]`.
    rows: Vec<f32>,
}

impl RowGradients {
    /// Takes the gradient of `leaf`, the rows `ids` of a table, out of a backward pass. None where
    /// nothing reached it.
    ///
    /// # Errors
    /// The device failed.
    pub fn take(
        ids: &[u32],
        leaf: &Tensor<2>,
        grads: &mut Gradients,
    ) -> Result<Option<Self>, FitError> {
        let Some(grad) = leaf.grad_remove(grads) else { return Ok(None) };
        let rows = tensor_to_vec(grad).map_err(FitError::Device)?;
        Ok(Some(Self { ids: ids.to_vec(), rows }))
    }

    /// The sum over shards, added in their order; rows ascending. None where none had any.
    pub fn sum(parts: Vec<Option<Self>>) -> Option<Self> {
        let mut parts: Vec<Self> = parts.into_iter().flatten().collect();
        if parts.len() <= 1 {
            return parts.pop();
        }
        let mut sum: BTreeMap<u32, Vec<f32>> = BTreeMap::new();
        for part in &parts {
            let dim = part.rows.len() / part.ids.len().max(1);
            for (id, row) in part.ids.iter().zip(part.rows.chunks_exact(dim.max(1))) {
                match sum.get_mut(id) {
                    Some(to) => to.iter_mut().zip(row).for_each(|(to, v)| *to += v),
                    None => drop(sum.insert(*id, row.to_vec())),
                }
            }
        }
        let (ids, rows): (Vec<u32>, Vec<Vec<f32>>) = sum.into_iter().unzip();
        Some(Self { ids, rows: rows.concat() })
    }

    /// The rows, each at most once, and their gradients, `[ids, dim]`.
    pub fn parts(&self) -> (&[u32], &[f32]) {
        (&self.ids, &self.rows)
    }
}

/// One Adam step of `table` on the rows that any shard has a gradient of.
///
/// # Panics
/// When they are rows of another table.
pub fn step_shards(table: &mut EmbeddingTable, parts: Vec<Option<RowGradients>>) {
    if let Some(sum) = RowGradients::sum(parts) {
        table.step_slices(&sum.ids, &sum.rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::SeedStream;

    #[test]
    fn shards_are_all_examples_once_and_none_is_empty() {
        for (n, workers) in [(10, 3), (2, 8), (7, 1), (0, 4), (256, 16)] {
            let ranges = shard_ranges(n, workers);
            assert_eq!(ranges.len(), workers.min(n));
            assert!(ranges.iter().all(|r| !r.is_empty() && r.len() <= n.div_ceil(ranges.len())));
            assert_eq!(ranges.into_iter().flatten().collect::<Vec<_>>(), Vec::from_iter(0..n));
        }
        assert!(check_workers("m", 0).unwrap_err().to_string().contains("found 0"));
        assert!(check_workers("m", 256).is_ok() && check_workers("m", 257).is_err());
    }

    #[test]
    fn rows_of_several_shards_add_up_in_order() {
        let part = |ids: &[u32], rows: &[f32]| {
            Some(RowGradients { ids: ids.to_vec(), rows: rows.to_vec() })
        };
        let parts = vec![part(&[3, 1], &[1.0, 2.0, 3.0, 4.0]), None, part(&[1], &[10.0, 20.0])];
        let sum = RowGradients::sum(parts).unwrap();
        assert_eq!(sum, part(&[1, 3], &[13.0, 24.0, 1.0, 2.0]).unwrap());
        assert_eq!(RowGradients::sum(vec![None, None]), None);
    }

    #[test]
    fn draws_of_a_shard_depend_on_the_shards_and_not_on_the_threads() {
        let draw = |threads: usize, n: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut rng = SeedStream::new(1).rng("t", 0);
            let shards: Vec<usize> = (0..n).collect();
            let work = |_, shard: &usize, rng: &mut ChaCha8Rng| Ok((*shard, rng.random::<u64>()));
            pool.install(|| on_workers(&mut rng, &shards, work)).unwrap()
        };
        assert_eq!(draw(1, 5), draw(3, 5));
        let drawn: std::collections::BTreeSet<u64> = draw(2, 5).iter().map(|d| d.1).collect();
        assert_eq!(drawn.len(), 5);
        assert_eq!(draw(1, 1)[0].1, SeedStream::new(1).rng("t", 0).random::<u64>());
    }

    #[test]
    fn the_first_error_in_the_order_of_shards_is_told() {
        let mut rng = SeedStream::new(1).rng("t", 0);
        let work = |_, shard: &u32, _: &mut ChaCha8Rng| match *shard {
            0 => Ok(()),
            k => Err(FitError::Device(format!("shard {k}"))),
        };
        let said = on_workers(&mut rng, &[0, 1, 2], work).unwrap_err().to_string();
        assert!(said.contains("shard 1"), "{said}");
    }
}

//! Sparse matrices in saved models.

use quintet_core::{Interactions, ItemIdx, Matrix, ModelState, Triplet, UserIdx};
use quintet_tensor::FitError;

/// Adds `m` to `state` under keys that begin with `name`.
pub(crate) fn save_csr(state: &mut ModelState, name: &str, m: &Interactions) {
    let rows: Vec<i64> = m.indptr().iter().map(|&p| p as i64).collect();
    state.put_whole(format!("{name}.indptr"), rows);
    state.put_whole(format!("{name}.items"), m.indices().iter().map(|i| i64::from(i.0)).collect());
    state.put_whole(format!("{name}.shape"), vec![m.n_users() as i64, m.n_items() as i64]);
    let values: Vec<f32> = m.iter().map(|t| t.value).collect();
    if let Ok(values) = Matrix::from_vec(1, values.len(), values) {
        state.put(format!("{name}.values"), values);
    }
}

/// Reads what [`save_csr`] wrote.
///
/// # Errors
/// Something is missing or does not fit.
pub(crate) fn load_csr(state: &ModelState, name: &str) -> Result<Interactions, FitError> {
    let key = |part: &str| format!("{name}.{part}");
    let (indptr, items) = (state.whole(&key("indptr"))?, state.whole(&key("items"))?);
    let values = state.shaped(&key("values"), 1, items.len())?.as_slice();
    let &[n_users, n_items] = state.whole(&key("shape"))? else {
        return Err(state.mismatch(&key("shape"), "two numbers", "another length").into());
    };
    let fits = n_users >= 0
        && indptr.len() as i64 == n_users + 1
        && indptr.first() == Some(&0)
        && indptr.last() == Some(&(items.len() as i64))
        && indptr.windows(2).all(|w| w[0] <= w[1]);
    if !fits || items.iter().any(|&i| i < 0 || i >= n_items) {
        return Err(state.mismatch(&key("indptr"), "ascending row offsets", "others").into());
    }
    let cells = indptr.windows(2).enumerate().flat_map(|(u, w)| {
        (w[0] as usize..w[1] as usize).map(move |e| Triplet {
            user: UserIdx::new(u),
            item: ItemIdx(items[e] as u32),
            value: values[e],
        })
    });
    Ok(Interactions::from_triplets(n_users as usize, n_items as usize, cells)?)
}

//! Tables of MMRec's form, with features.

use anyhow::{Context, Result, bail};
use quintet::core::{FeatureSet, Interactions, ModalityFeatures};
use quintet::data::read_npy_matrix;

/// Reads training, validation and test of the table, and the features given as
/// `MODALITY=FILE.npy`.
pub(crate) fn read(path: &str, features: &[String]) -> Result<([Interactions; 3], FeatureSet)> {
    let text = std::fs::read_to_string(path).with_context(|| path.to_owned())?;
    let mut parts: [Vec<(u32, u32)>; 3] = Default::default();
    for (number, line) in text.lines().enumerate().skip(1) {
        let fields: Vec<u32> = line
            .split('\t')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .with_context(|| format!("{path}, line {}: three whole numbers", number + 1))?;
        let &[user, item, part @ 0..=2] = &fields[..] else {
            bail!("{path}, line {}: expected user, item and 0, 1 or 2", number + 1)
        };
        parts[part as usize].push((user, item));
    }
    let all = || parts.iter().flatten();
    let n_users = all().map(|p| p.0 as usize + 1).max().unwrap_or(0);
    let n_items = all().map(|p| p.1 as usize + 1).max().unwrap_or(0);
    let matrix = |cells: Vec<(u32, u32)>| Interactions::from_pairs(n_users, n_items, cells);
    let [train, valid, test] = parts;
    println!(
        "{path}: {n_users} users, {n_items} items, {} / {} / {} pairs",
        train.len(),
        valid.len(),
        test.len()
    );
    let mut set = FeatureSet::new(n_items);
    for text in features {
        let (modality, file) = text.split_once('=').context("--features MODALITY=FILE.npy")?;
        let rows = read_npy_matrix(file.as_ref())?;
        let present = (0..rows.rows()).map(|i| rows.row(i).iter().any(|v| *v != 0.0)).collect();
        set.push(ModalityFeatures::new(modality.parse()?, rows, present)?)?;
    }
    Ok(([matrix(train)?, matrix(valid)?, matrix(test)?], set))
}

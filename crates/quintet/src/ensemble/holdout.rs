//! What a combination learns from: a share of the training interactions, held out from a first
//! fit of the members.

use quintet_core::{Interactions, ItemIdx, Recommender, Sequences, Triplet, UserIdx};
use quintet_fusion::decision::Lesson;
use quintet_tensor::{Fit, FitContext, FitError, Fitting, TrainingData};
use rand::seq::SliceRandom;

use super::model::member_rows;
use super::{EnsembleParams, NAME};

/// Fits the members on the rest and asks them for the held-out part.
pub(super) fn lessons(
    params: &EnsembleParams,
    fits: &[Box<dyn Fit>],
    data: TrainingData<'_>,
    context: &FitContext,
) -> Result<Vec<Lesson>, FitError> {
    let (rest, held) = split(data.train, params.holdout, context)?;
    let sequences = data.sequences.map(|s| sequences_of(s, &rest)).transpose()?;
    let mut rest_data = data;
    rest_data.train = &rest;
    rest_data.sequences = sequences.as_ref();
    let left_out = |t: &Triplet| held[t.user.index()].binary_search(&t.item.index()).is_ok();
    let behaviours = data.behaviours.map(|all| all.without(left_out)).transpose()?;
    rest_data.behaviours = behaviours.as_ref();
    let members = fits
        .iter()
        .zip(&params.members)
        .map(|(fit, member)| {
            let epochs = member.epochs.unwrap_or(usize::MAX).min(params.holdout_epochs);
            fit_for(fit.as_ref(), rest_data, context, epochs)
        })
        .collect::<Result<Vec<_>, FitError>>()?;
    let users: Vec<usize> = (0..held.len()).filter(|&u| !held[u].is_empty()).collect();
    let stride = users.len().div_ceil(params.holdout_users).max(1);
    let members: Vec<&dyn Recommender> = members.iter().map(AsRef::as_ref).collect();
    let lesson = |&user: &usize| {
        let seen = rest.items(UserIdx::new(user));
        let rows = member_rows(&members, UserIdx::new(user), seen)?;
        Ok(Lesson { user, user_count: seen.len(), rows, held: held[user].clone() })
    };
    users.iter().step_by(stride).map(lesson).collect()
}

/// The rest, and the held-out items of each user, ascending.
fn split(
    train: &Interactions,
    share: f64,
    context: &FitContext,
) -> Result<(Interactions, Vec<Vec<usize>>), FitError> {
    let mut held = vec![Vec::new(); train.n_users()];
    for (user, held) in held.iter_mut().enumerate() {
        let mut items = train.items(UserIdx::new(user)).to_vec();
        if items.len() < 2 {
            continue;
        }
        // At least one stays: the share is below 1, but rounded up.
        let n = ((share * items.len() as f64).ceil() as usize).min(items.len() - 1);
        items.shuffle(&mut context.seed.rng("ensemble-holdout", user as u64));
        *held = items[..n].iter().map(|i| i.index()).collect();
        held.sort_unstable();
    }
    if held.iter().all(Vec::is_empty) {
        let reason = "no user has two interactions, so that one could be held out".into();
        return Err(FitError::Data { model: NAME.into(), reason });
    }
    let stays = |t: &Triplet| held[t.user.index()].binary_search(&t.item.index()).is_err();
    let rest =
        Interactions::from_triplets(train.n_users(), train.n_items(), train.iter().filter(stays))?;
    Ok((rest, held))
}

/// The events of `all` that are left in `rest`.
fn sequences_of(all: &Sequences, rest: &Interactions) -> Result<Sequences, FitError> {
    let of = |user: usize| {
        let user = UserIdx::new(user);
        let events = all.items(user).iter().zip(all.times(user));
        events.map(move |(item, time)| (user, *item, *time))
    };
    let left = |(user, item, _): &(UserIdx, ItemIdx, i64)| rest.contains(*user, *item);
    let events = (0..all.n_users()).flat_map(of).filter(left);
    Ok(Sequences::from_events(all.n_users(), all.n_items(), events)?)
}

fn fit_for(
    fit: &dyn Fit,
    data: TrainingData<'_>,
    context: &FitContext,
    epochs: usize,
) -> Result<Box<dyn Recommender>, FitError> {
    match fit.start(data, context)? {
        Fitting::Fitted(model) => Ok(model),
        Fitting::Epochs(mut trainer) => {
            for epoch in 1..=epochs {
                trainer.epoch(epoch)?;
            }
            trainer.model()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::SeedStream;
    use quintet_tensor::{DeviceChoice, open_device};

    #[test]
    fn what_is_held_out_is_not_in_the_rest_nor_in_its_sequences() {
        let pairs = (0..5).map(|i| (0, i)).chain([(1, 3), (2, 0), (2, 4)]);
        let train = Interactions::from_pairs(3, 5, pairs).unwrap();
        let device = open_device(DeviceChoice::Auto).unwrap().device;
        let context = FitContext { device, seed: SeedStream::new(5) };
        let (rest, held) = split(&train, 0.5, &context).unwrap();
        // ⌈0.5 · 5⌉ = 3; one interaction stays; ⌈0.5 · 2⌉ = 1.
        assert_eq!(held.iter().map(Vec::len).collect::<Vec<_>>(), [3, 0, 1]);
        assert_eq!(rest.nnz(), 2 + 1 + 1);
        let events = train.iter().map(|t| (t.user, t.item, i64::from(t.item.0)));
        let all = Sequences::from_events(3, 5, events).unwrap();
        let left = sequences_of(&all, &rest).unwrap();
        for (user, held) in held.iter().enumerate() {
            let user = UserIdx::new(user);
            assert!(held.iter().all(|i| train.contains(user, ItemIdx::new(*i))));
            assert!(held.iter().all(|i| !rest.contains(user, ItemIdx::new(*i))));
            assert_eq!(left.items(user), rest.items(user));
        }
        assert_eq!(split(&train, 0.5, &context).unwrap().1, held, "the same seed");
        let single = Interactions::from_pairs(1, 2, [(0, 1)]).unwrap();
        assert!(matches!(split(&single, 0.5, &context), Err(FitError::Data { .. })));
    }
}

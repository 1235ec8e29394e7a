//! Whether a model finds the answer of the toy world.

use quintet_core::{ItemIdx, Matrix, Recommender};

use crate::world::World;

/// Share of the pairs of a held-out item and one of the other group that must be in order;
/// chance is one half.
const IN_ORDER: f64 = 0.9;

/// Share of the users for whom the unused item of their group must stand first.
const COLD_IN_ORDER: f64 = 0.75;

/// Personal models must rank the held-out items of a user's group above the unseen ones of the
/// other group; models that claim it must rank unused items by their content.
pub(crate) fn check_learning(title: &str, world: &World, model: &dyn Recommender, scores: &Matrix) {
    let capability = model.capability();
    if capability.personal {
        let share = held_out_in_order(world, scores);
        assert!(
            share >= IN_ORDER,
            "{title}: the checkerboard is not learned: held-out items of the own group stand \
             above unseen ones of the other group in {:.1} % of the pairs, {:.0} % are needed",
            100.0 * share,
            100.0 * IN_ORDER
        );
    }
    if capability.personal && capability.cold_items {
        let share = cold_in_order(world, scores);
        assert!(
            share >= COLD_IN_ORDER,
            "{title}: it claims to rank unused items, and puts the one of the own group first for \
             {:.1} % of the users, {:.0} % are needed",
            100.0 * share,
            100.0 * COLD_IN_ORDER
        );
    }
}

fn held_out_in_order(world: &World, scores: &Matrix) -> f64 {
    let (mut in_order, mut pairs) = (0usize, 0usize);
    for user in world.users() {
        let row = scores.row(user.index());
        let others: Vec<ItemIdx> = (0..row.len())
            .map(ItemIdx::new)
            .filter(|i| !world.cold.contains(i) && !world.train.contains(user, *i))
            .filter(|i| Some(world.group_of_item(*i)) != world.group_of_user(user))
            .collect();
        for held in &world.held_out[user.index()] {
            let above = others.iter().filter(|o| row[held.index()] > row[o.index()]);
            in_order += above.count();
            pairs += others.len();
        }
    }
    in_order as f64 / pairs as f64
}

fn cold_in_order(world: &World, scores: &Matrix) -> f64 {
    let users: Vec<_> = world.users().collect();
    let right = users.iter().filter(|user| {
        let row = scores.row(user.index());
        world.group_of_user(**user).is_some_and(|group| {
            row[world.cold[group].index()] > row[world.cold[1 - group].index()]
        })
    });
    right.count() as f64 / users.len() as f64
}

//! A small world with a known answer: a checkerboard of two groups.

use quintet_core::{
    Behaviours, FeatureSet, Interactions, ItemIdx, Matrix, Modality, ModalityFeatures, SeedStream,
    Sequences, SparseFeatures, Triplet, UserIdx,
};
use quintet_tensor::TrainingData;
use rand::RngExt;

/// Users and items of each group.
const PER_GROUP: usize = 20;
/// Items of the own group that are held out, a user.
const HELD_OUT: usize = 2;
/// Items of the other group that a user has by accident. They connect the groups.
const ACCIDENTS: usize = 1;

/// Two groups of 20 users and 20 items. Even users like even items, odd users odd ones: each has
/// 18 of the 20 own items (value 5) and one of the others (value 1); the other two own items
/// are held out. On top: a user with an empty row, and one item a group that nobody has used.
///
/// Few items are held out and accidents are rare on purpose: models that learn from sampled
/// negatives see the held-out items as such, and end up knowing them by heart.
///
/// Every item has text, image and audio features that show its group, some with a modality
/// missing, one with none. Users and items have a tag that shows their group and one that says
/// nothing; the empty user and one item have no tag. Within a user, time goes round the items.
/// Every pair is a click and has a rating, its value; of the pairs with a rating of 5, half are
/// purchases.
#[derive(Debug, Clone)]
pub struct World {
    /// Training interactions, `[41, 42]`.
    pub train: Interactions,
    /// Item features over the same items.
    pub features: FeatureSet,
    /// The training interactions in the order of time.
    pub sequences: Sequences,
    /// Tags of the users.
    pub user_attributes: SparseFeatures,
    /// Tags of the items.
    pub item_attributes: SparseFeatures,
    /// The training interactions as clicks, purchases and ratings.
    pub behaviours: Behaviours,
    /// The held-out items of each user, ascending; none for the empty user.
    pub held_out: Vec<Vec<ItemIdx>>,
    /// An unused item of group 0 and one of group 1, both with all features.
    pub cold: [ItemIdx; 2],
    /// The user without interactions.
    pub empty_user: UserIdx,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// Builds the world; it is always the same.
    ///
    /// # Panics
    /// Never: its parts fit.
    pub fn new() -> Self {
        let n = 2 * PER_GROUP;
        let (n_users, n_items) = (n + 1, n + 2);
        let (mut cells, mut events) = (Vec::new(), Vec::new());
        let mut held_out = vec![Vec::new(); n_users];
        for (user, held_out) in held_out.iter_mut().enumerate().take(n) {
            let (group, nth) = (user % 2, user / 2);
            let mut add = |item: usize, value: f32| {
                let (user, item) = (UserIdx::new(user), ItemIdx::new(item));
                cells.push(Triplet { user, item, value });
                // 11 has no factor in common with 42 either.
                events.push((user, item, (11 * item.index() % n_items) as i64));
            };
            for k in 0..PER_GROUP {
                // 7 and 3 have no factor in common with 20: every item is held out equally often.
                if (7 * k + 3 * nth) % PER_GROUP < HELD_OUT {
                    held_out.push(ItemIdx::new(2 * k + group));
                } else {
                    add(2 * k + group, 5.0);
                }
                if (3 * k + 7 * nth) % PER_GROUP < ACCIDENTS {
                    add(2 * k + 1 - group, 1.0);
                }
            }
        }
        let train = Interactions::from_triplets(n_users, n_items, cells).unwrap();
        Self {
            behaviours: behaviours(&train),
            train,
            features: features(n_items),
            sequences: Sequences::from_events(n_users, n_items, events).unwrap(),
            user_attributes: tags(n_users, n),
            item_attributes: tags(n_items, 10),
            held_out,
            cold: [ItemIdx::new(n), ItemIdx::new(n + 1)],
            empty_user: UserIdx::new(n),
        }
    }

    /// Everything that a model may learn from.
    pub fn data(&self) -> TrainingData<'_> {
        TrainingData::new(&self.train, &self.features)
            .with_sequences(&self.sequences)
            .with_user_attributes(&self.user_attributes)
            .with_item_attributes(&self.item_attributes)
            .with_behaviours(&self.behaviours)
    }

    /// The group of an item, 0 or 1.
    pub fn group_of_item(&self, item: ItemIdx) -> usize {
        item.index() % 2
    }

    /// The group of a user, 0 or 1; the empty user has none.
    pub fn group_of_user(&self, user: UserIdx) -> Option<usize> {
        (user != self.empty_user).then_some(user.index() % 2)
    }

    /// The users with interactions.
    pub fn users(&self) -> impl Iterator<Item = UserIdx> + use<> {
        (0..2 * PER_GROUP).map(UserIdx::new)
    }
}

/// Clicks, ratings, and the purchases among them.
fn behaviours(train: &Interactions) -> Behaviours {
    let bought =
        |t: &Triplet| t.value == 5.0 && (t.user.index() / 2 + t.item.index() / 2).is_multiple_of(2);
    let of = |cells: &mut dyn Iterator<Item = Triplet>| {
        Interactions::from_triplets(train.n_users(), train.n_items(), cells).unwrap()
    };
    let clicks = of(&mut train.iter().map(|t| Triplet { value: 1.0, ..t }));
    let purchases = of(&mut train.iter().filter(bought).map(|t| Triplet { value: 1.0, ..t }));
    let kinds = [("click", clicks), ("purchase", purchases), ("rating", train.clone())];
    Behaviours::new(kinds.map(|(name, cells)| (name.to_owned(), cells))).unwrap()
}

/// A tag of the group and one of three others, half each; `without` has neither.
fn tags(n_rows: usize, without: usize) -> SparseFeatures {
    let names = ["group=0", "group=1", "noise=0", "noise=1", "noise=2"];
    let rows = (0..n_rows as u32).filter(|row| *row as usize != without);
    let cells = rows.flat_map(|row| [(row, row % 2, 0.5), (row, 2 + row / 2 % 3, 0.5)]);
    SparseFeatures::new(n_rows, names.map(str::to_owned).to_vec(), cells).unwrap()
}

/// The group's centre, plus or minus, and noise, in three modalities of different scale.
fn features(n_items: usize) -> FeatureSet {
    let kinds = [
        (Modality::Text, 10, 1.0, vec![7, 16, 10]),
        (Modality::Image, 12, 20.0, vec![22, 33, 10]),
        (Modality::Audio, 8, 0.2, vec![4, 19, 35, 10]),
    ];
    let mut set = FeatureSet::new(n_items);
    for (modality, dim, scale, absent) in kinds {
        let mut rng = SeedStream::new(3).rng("world", modality as u64);
        let centre: Vec<f32> = (0..dim).map(|_| rng.random_range(-1.0..1.0)).collect();
        let mut matrix = Matrix::zeros(n_items, dim);
        for item in 0..n_items {
            let sign = if item % 2 == 0 { 1.0 } else { -1.0 };
            for (value, c) in matrix.row_mut(item).iter_mut().zip(&centre) {
                *value = scale * (sign * c + 0.3 * rng.random_range(-1.0..1.0));
            }
        }
        let present = (0..n_items).map(|item| !absent.contains(&item)).collect();
        set.push(ModalityFeatures::new(modality, matrix, present).unwrap()).unwrap();
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checkerboard_is_as_described() {
        let world = World::new();
        let counts = world.train.item_counts();
        // 20 users of the group less the 2 that hold it out, and 1 accident.
        assert_eq!(counts[..40], [19; 40]);
        assert_eq!(counts[40..], [0, 0]);
        assert!(world.train.items(world.empty_user).is_empty());
        for user in world.users() {
            let group = world.group_of_user(user).unwrap();
            assert_eq!(world.held_out[user.index()].len(), HELD_OUT);
            for &item in &world.held_out[user.index()] {
                assert!(!world.train.contains(user, item) && world.group_of_item(item) == group);
            }
            let own = world.train.items(user).iter().filter(|i| world.group_of_item(**i) == group);
            assert_eq!((own.count(), world.train.items(user).len()), (18, 19));
        }
        for user in (0..world.train.n_users()).map(UserIdx::new) {
            let mut items = world.sequences.items(user).to_vec();
            items.sort_unstable();
            assert_eq!(items, world.train.items(user));
        }
        let none = |item: usize| world.features.iter().all(|f| !f.present[item]);
        assert!(none(10) && (0..42).filter(|&i| none(i)).count() == 1);
    }
}

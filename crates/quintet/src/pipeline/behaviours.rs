//! What users did, kind by kind, as models may read it: nothing that is held out, and nothing of
//! what came after.
//!
//! Events that `[shape]` leaves out are among them, such as clicks where purchases count, or low
//! ratings. Of these and of the others there is an event where
//!
//! 1. its user has training interactions,
//! 2. its pair is in training, or in no part at all,
//! 3. it does not come after what is held out, where parts follow each other in time: after the
//!    one moment of `temporal`, after the user's own first held-out event otherwise,
//! 4. its item is not held out whole, where they do not,
//! 5. the source does not call it `valid` or `test`, in a predefined split.

use quintet_core::{Behaviours, CoreError, Interactions, ItemIdx, Triplet, UserIdx};
use quintet_data::{Dataset, Events, Part, ShapeConfig, Split, SplitConfig};

/// Which parts lie after training in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Later {
    /// Both, where the `[split]` is by time.
    HeldOut,
    /// Test alone, where the `[split]` is by time: validation was dealt anew.
    Test,
    /// None: all parts were dealt anew.
    None,
}

/// What decides which events models may read.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    shape: ShapeConfig,
    clock: Clock,
    later: Later,
    /// Whether parts come from the source.
    predefined: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clock {
    None,
    User,
    World,
}

impl Rule {
    pub(super) fn new(shape: &ShapeConfig, split: &SplitConfig, later: Later) -> Self {
        let clock = match split {
            _ if later == Later::None => Clock::None,
            SplitConfig::Temporal { .. } => Clock::World,
            SplitConfig::LeaveOneOut {} | SplitConfig::PerUserTemporal { .. } => Clock::User,
            _ => Clock::None,
        };
        let predefined = matches!(split, SplitConfig::Predefined {});
        Self { shape: shape.clone(), clock, later, predefined }
    }

    /// The events that models may read. Of repeats of a kind by a user of an item there is the one
    /// of the largest value.
    pub(super) fn apply(&self, dataset: &Dataset, split: &Split) -> Result<Behaviours, CoreError> {
        let (events, train) = (&dataset.events, &split.train);
        let door = Door::new(self, events, split);
        let mut cells: Vec<(u32, Triplet)> = (0..events.len())
            .filter(|&row| door.lets_in(row))
            .map(|row| {
                let (user, item) = (events.users()[row], events.items()[row]);
                (events.kind_number(row), Triplet { user, item, value: events.values()[row] })
            })
            .collect();
        let place = |(kind, t): &(u32, Triplet)| (*kind, t.user, t.item);
        cells
            .sort_unstable_by(|a, b| place(a).cmp(&place(b)).then(b.1.value.total_cmp(&a.1.value)));
        cells.dedup_by_key(|cell| place(cell));
        let kinds = cells.chunk_by(|a, b| a.0 == b.0).map(|of_kind| {
            let name = events.kind_names()[of_kind[0].0 as usize].clone();
            let (n_users, n_items) = (train.n_users(), train.n_items());
            let cells = of_kind.iter().map(|cell| cell.1);
            Ok((name, Interactions::from_sorted(n_users, n_items, of_kind.len(), cells)?))
        });
        Behaviours::new(kinds.collect::<Result<Vec<_>, CoreError>>()?)
    }
}

/// Decides row by row.
struct Door<'a> {
    rule: &'a Rule,
    events: &'a Events,
    split: &'a Split,
    /// The first held-out moment of each user, or of all.
    closes: Vec<Option<i64>>,
    /// Items that are held out whole.
    closed_items: Vec<bool>,
}

impl<'a> Door<'a> {
    fn new(rule: &'a Rule, events: &'a Events, split: &'a Split) -> Self {
        let (in_train, valid) = (split.train.item_counts(), split.valid.truth().item_counts());
        let held = split.test.truth().item_counts().into_iter().zip(valid).map(|(t, v)| t + v);
        let closed = held.zip(in_train).map(|(held, train)| held > 0 && train == 0);
        let closed_items = closed.collect();
        let closes = vec![None; split.train.n_users()];
        let mut door = Self { rule, events, split, closes, closed_items };
        if rule.clock != Clock::None {
            door.closes = door.first_held_out();
        }
        door
    }

    fn first_held_out(&self) -> Vec<Option<i64>> {
        let (events, shape) = (self.events, &self.rule.shape);
        let mut first: Vec<Option<i64>> = self.closes.clone();
        for row in 0..events.len() {
            // The time of a pair is that of its first event of those that count.
            let kind = events.kind_name(row);
            let counts = shape.min_value.is_none_or(|min| events.values()[row] >= min)
                && shape.events.as_ref().is_none_or(|kinds| kinds.iter().any(|k| k == kind));
            let (user, item) = (events.users()[row], events.items()[row]);
            let Some(time) = events.timestamp(row).filter(|_| counts) else { continue };
            let valid =
                self.rule.later == Later::HeldOut && self.split.valid.truth().contains(user, item);
            if valid || self.split.test.truth().contains(user, item) {
                let known = &mut first[user.index()];
                *known = Some(known.map_or(time, |known| known.min(time)));
            }
        }
        if self.rule.clock == Clock::World {
            let moment = first.iter().flatten().min().copied();
            first.fill(moment);
        }
        first
    }

    fn lets_in(&self, row: usize) -> bool {
        let (user, item) = (self.events.users()[row], self.events.items()[row]);
        let named_out =
            self.rule.predefined && matches!(self.events.part(row), Some(Part::Valid | Part::Test));
        if named_out || self.split.train.items(user).is_empty() {
            return false;
        }
        let train = self.split.train.contains(user, item);
        if !train && self.is_held_out(user, item) {
            return false;
        }
        match self.rule.clock {
            Clock::None => train || !self.closed_items[item.index()],
            // Parts of equal times are told apart by items, so one of training may be at the moment
            // itself.
            _ => match (self.closes[user.index()], self.events.timestamp(row)) {
                (None, _) => true,
                (Some(closes), Some(time)) => time < closes || (train && time == closes),
                (Some(_), None) => false,
            },
        }
    }

    fn is_held_out(&self, user: UserIdx, item: ItemIdx) -> bool {
        let split = self.split;
        [split.valid.truth(), split.test.truth(), &split.history]
            .iter()
            .any(|part| part.contains(user, item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::SeedStream;
    use quintet_data::{Event, Item, User, shape, split};

    fn event(user: u32, item: u32, kind: &str, value: f32, time: i64) -> Event<'_> {
        let (user, item, timestamp) = (UserIdx(user), ItemIdx(item), Some(time));
        Event { user, item, event: kind, value, timestamp, part: None }
    }

    fn dataset(events: &[Event<'_>]) -> Dataset {
        let user = |u| User { id: format!("u{u}"), ..User::default() };
        let item = |i| Item { id: format!("i{i}"), ..Item::default() };
        Dataset {
            users: (0..3).map(user).collect(),
            items: (0..6).map(item).collect(),
            events: events.iter().copied().collect(),
            ..Dataset::default()
        }
    }

    fn found(data: &Dataset, config: &SplitConfig, later: Later) -> (Behaviours, Split) {
        let purchases =
            ShapeConfig { events: Some(vec!["purchase".into()]), ..ShapeConfig::default() };
        let shaped = shape(data, &purchases).unwrap().events;
        let split = split(&shaped, 3, 6, config, SeedStream::new(1)).unwrap();
        (Rule::new(&purchases, config, later).apply(data, &split).unwrap(), split)
    }

    fn pairs(of: Option<&Interactions>) -> Vec<(u32, u32, f32)> {
        let all = of.into_iter().flat_map(Interactions::iter);
        all.map(|t| (t.user.0, t.item.0, t.value)).collect()
    }

    /// User 0 buys items 0 to 3 at times 10 to 40; the last two are held out, from time 30 on.
    fn log() -> Vec<Event<'static>> {
        vec![
            event(0, 0, "purchase", 1.0, 10),
            event(0, 1, "purchase", 1.0, 20),
            event(0, 2, "purchase", 1.0, 30),
            event(0, 3, "purchase", 1.0, 40),
            event(0, 0, "click", 2.0, 5),
            event(0, 0, "click", 3.0, 6),
            event(0, 1, "click", 1.0, 35),
            event(0, 2, "click", 1.0, 25),
            event(0, 4, "click", 1.0, 7),
            event(0, 5, "click", 1.0, 30),
            event(1, 4, "click", 1.0, 1),
        ]
    }

    #[test]
    fn nothing_held_out_and_nothing_later_is_among_them() {
        let config = SplitConfig::LeaveOneOut {};
        let (all, _) = found(&dataset(&log()), &config, Later::HeldOut);
        // A click on what is held out (2), one after the moment (1 at 35, 5 at 30), and one of
        // somebody without training interactions are left out; repeats are one.
        assert_eq!(pairs(all.get("click")), [(0, 0, 3.0), (0, 4, 1.0)]);
        assert_eq!(pairs(all.get("purchase")), [(0, 0, 1.0), (0, 1, 1.0)]);
        assert_eq!(all.names().collect::<Vec<_>>(), ["click", "purchase"]);
    }

    #[test]
    fn one_moment_holds_for_all() {
        let mut log = log();
        // Bought before the moment by somebody who has nothing held out; clicked after it.
        log.extend([event(2, 0, "purchase", 1.0, 12), event(2, 1, "click", 1.0, 50)]);
        let config = SplitConfig::Temporal { valid: 0.2, test: 0.2 };
        let (all, split) = found(&dataset(&log), &config, Later::HeldOut);
        assert_eq!((split.valid.truth().nnz(), split.test.truth().nnz()), (1, 1));
        assert_eq!(pairs(all.get("click")), [(0, 0, 3.0), (0, 4, 1.0)]);
        // Where validation was dealt anew, only test (from time 40 on) is later.
        let (all, _) = found(&dataset(&log), &config, Later::Test);
        assert_eq!(pairs(all.get("click")), [(0, 0, 3.0), (0, 1, 1.0), (0, 4, 1.0), (0, 5, 1.0)]);
    }

    #[test]
    fn items_and_rows_that_are_held_out_stay_out() {
        let by_source = |event: Event<'static>| {
            let out = (event.item.0 >= 2 && event.event == "purchase") || event.item.0 == 5;
            Event { part: Some(if out { Part::Test } else { Part::Train }), ..event }
        };
        let mut log: Vec<Event<'_>> = log().into_iter().map(by_source).collect();
        log.push(by_source(event(2, 0, "purchase", 1.0, 1)));
        // Item 2 is held out whole, so what others did with it is left out as well.
        log.push(by_source(event(2, 2, "click", 1.0, 2)));
        let (all, _) = found(&dataset(&log), &SplitConfig::Predefined {}, Later::HeldOut);
        assert_eq!(pairs(all.get("click")), [(0, 0, 3.0), (0, 1, 1.0), (0, 4, 1.0)]);
    }
}

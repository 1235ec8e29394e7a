//! Popularity: everyone gets the items that most people used.
//!
//! The baseline that every report shows. Beside all of the training data it can count
//!
//! - lately: only the last `window_days` before the last event, or each event by
//!   `2^(−age / half_life_days)`; Ji, Sun, Zhang, Li, "A Re-visit of the Popularity Baseline in
//!   Recommender Systems", SIGIR 2020, shows how much time matters;
//! - by group: what people with the same value of a user attribute used,
//!   `(c_gi + m p_i) / (n_g + m)` with `c_gi` of the group's `n_g` events and the overall share
//!   `p_i`, so that a small group leans on everybody; people of no group get `p_i`.
//!
//! Cost: one pass over the interactions; memory `O(groups · n_items)`.

use quintet_core::{
    Capability, Interactions, ItemIdx, Matrix, ModelState, Reason, Recommender, ScoreError,
    Sequences, SparseFeatures, UserIdx,
};
use quintet_tensor::{Fit, FitContext, FitError, Fitting, ModelEntry, TrainingData, parse_params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

const NAME: &str = "popularity";

/// Seconds of a day.
const DAY: f64 = 86_400.0;

/// Parameters; by default all events of everybody count the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PopularityConfig {
    /// Only events of the last so many days count; needs times.
    pub window_days: Option<f64>,
    /// An event that is so many days old counts half; needs times.
    pub half_life_days: Option<f64>,
    /// A user attribute, such as `gender`: its features are called `gender=…`.
    pub by_group: Option<String>,
    /// m: how many events of everybody each group is given.
    pub group_prior: f64,
}

impl Default for PopularityConfig {
    fn default() -> Self {
        Self { window_days: None, half_life_days: None, by_group: None, group_prior: 100.0 }
    }
}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "the items that most people used, overall, lately or by group of users",
        build: |params| Ok(Box::new(parse_params::<PopularityConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(Popularity::load(state)?)),
        tiny: "{}",
    }
}

impl Fit for PopularityConfig {
    fn name(&self) -> &str {
        NAME
    }

    fn config(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn start(&self, data: TrainingData<'_>, _: &FitContext) -> Result<Fitting, FitError> {
        let refuse = |reason: String| Err(FitError::Config { model: NAME.into(), reason });
        for (key, days) in
            [("window_days", self.window_days), ("half_life_days", self.half_life_days)]
        {
            if let Some(days) = days.filter(|d| !(d.is_finite() && *d > 0.0)) {
                return refuse(format!("{key} must be above 0; found {days}"));
            }
        }
        if !(self.group_prior.is_finite() && self.group_prior >= 0.0) {
            return refuse(format!("group_prior must be at least 0; found {}", self.group_prior));
        }
        Ok(Fitting::Fitted(Box::new(self.fit(&data)?)))
    }
}

impl PopularityConfig {
    fn fit(&self, data: &TrainingData<'_>) -> Result<Popularity, FitError> {
        let refuse = |reason: String| FitError::Data { model: NAME.into(), reason };
        let recent = self.window_days.is_some() || self.half_life_days.is_some();
        let events = match (recent, data.sequences) {
            (false, _) => Events::All(data.train),
            (true, Some(sequences)) => Events::Recent(self, sequences),
            (true, None) => {
                return Err(refuse("recent events are asked for, and no event has a time".into()));
            }
        };
        let n_users = data.train.n_users();
        let counts = events.count(data.train.n_items(), |_| 1.0);
        let Some(attribute) = &self.by_group else {
            let counts = counts.iter().map(|&c| c as f32).collect();
            return Ok(Popularity { n_users, counts, groups: None });
        };
        let attributes = data
            .user_attributes
            .ok_or_else(|| refuse(format!("by_group = {attribute:?}: users have no attributes")))?;
        let groups = self.groups(attribute, attributes, &events, &counts)?;
        let counts = counts.iter().map(|&c| c as f32).collect();
        Ok(Popularity { n_users, counts, groups: Some(groups) })
    }

    fn groups(
        &self,
        attribute: &str,
        attributes: &SparseFeatures,
        events: &Events<'_>,
        counts: &[f64],
    ) -> Result<Groups, FitError> {
        let prefix = format!("{attribute}=");
        let names = attributes.names().iter().enumerate();
        let columns: Vec<u32> =
            names.filter(|(_, n)| n.starts_with(&prefix)).map(|(c, _)| c as u32).collect();
        if columns.is_empty() {
            let mut known: Vec<&str> =
                attributes.names().iter().filter_map(|n| Some(n.split_once('=')?.0)).collect();
            known.dedup();
            let reason = format!(
                "by_group = {attribute:?} is no attribute of users; known: {}",
                known.join(", ")
            );
            return Err(FitError::Config { model: NAME.into(), reason });
        }
        let group_of = |user: usize| {
            let own = attributes.columns(user).iter();
            own.filter_map(|c| columns.binary_search(c).ok()).next()
        };
        let of_user: Vec<i64> = (0..attributes.n_rows())
            .map(|user| group_of(user).map_or(-1, |group| group as i64))
            .collect();
        let total: f64 = counts.iter().sum();
        let share = |count: f64| if total > 0.0 { count / total } else { 0.0 };
        let mut shares = Matrix::zeros(columns.len() + 1, counts.len());
        for group in 0..columns.len() {
            let own = events.count(counts.len(), |user| {
                if of_user[user.index()] == group as i64 { 1.0 } else { 0.0 }
            });
            let size = own.iter().sum::<f64>() + self.group_prior;
            for ((cell, own), all) in shares.row_mut(group).iter_mut().zip(own).zip(counts) {
                let of_group = own + self.group_prior * share(*all);
                *cell = if size > 0.0 { (of_group / size) as f32 } else { share(*all) as f32 };
            }
        }
        let everybody = shares.row_mut(columns.len()).iter_mut().zip(counts);
        everybody.for_each(|(cell, all)| *cell = share(*all) as f32);
        Ok(Groups { of_user, shares })
    }
}

/// What is counted.
enum Events<'a> {
    All(&'a Interactions),
    Recent(&'a PopularityConfig, &'a Sequences),
}

impl Events<'_> {
    /// By item, the sum over its events of their weight and that of the user.
    fn count(&self, n_items: usize, of_user: impl Fn(UserIdx) -> f64) -> Vec<f64> {
        let mut counts = vec![0.0; n_items];
        match self {
            Self::All(train) => {
                train.iter().for_each(|t| counts[t.item.index()] += of_user(t.user));
            }
            Self::Recent(config, sequences) => {
                let users = || (0..sequences.n_users()).map(UserIdx::new);
                let last = users().filter_map(|u| sequences.times(u).last()).max();
                let Some(&last) = last else { return counts };
                for user in users() {
                    let own = of_user(user);
                    for (item, time) in sequences.items(user).iter().zip(sequences.times(user)) {
                        let age = last.saturating_sub(*time) as f64 / DAY;
                        counts[item.index()] += own * config.weight(age);
                    }
                }
            }
        }
        counts
    }
}

impl PopularityConfig {
    /// How much an event counts that is so many days older than the last one.
    fn weight(&self, age: f64) -> f64 {
        if self.window_days.is_some_and(|window| age > window) {
            return 0.0;
        }
        self.half_life_days.map_or(1.0, |half| (-age / half).exp2())
    }
}

/// The fitted model.
#[derive(Debug, Clone, PartialEq)]
pub struct Popularity {
    n_users: usize,
    counts: Vec<f32>,
    groups: Option<Groups>,
}

#[derive(Debug, Clone, PartialEq)]
struct Groups {
    /// `[n_users]`; −1 for people of no group.
    of_user: Vec<i64>,
    /// `[groups + 1, n_items]`; everybody is the last row.
    shares: Matrix,
}

impl Popularity {
    fn load(state: &ModelState) -> Result<Self, FitError> {
        let counts = state.matrix("counts")?.as_slice().to_vec();
        let n_users = state.whole("n_users")?.first().copied().unwrap_or(0).max(0) as usize;
        let groups = if state.tensors.contains_key("groups") {
            let (of_user, shares) = (state.whole("groups")?.to_vec(), state.matrix("shares")?);
            let largest = shares.rows() as i64 - 1;
            if of_user.len() != n_users || of_user.iter().any(|g| *g >= largest) {
                let expected = format!("a group below {largest} for {n_users} users");
                return Err(state.mismatch("groups", &expected, "others").into());
            }
            if shares.cols() != counts.len() {
                let found = format!("{} columns", shares.cols());
                return Err(state.mismatch("shares", "a column an item", &found).into());
            }
            Some(Groups { of_user, shares: shares.clone() })
        } else {
            None
        };
        Ok(Self { n_users, counts, groups })
    }

    /// The scores of one user, or of a newcomer, of whom no group is known.
    fn scores(&self, user: Option<UserIdx>) -> &[f32] {
        let Some(groups) = &self.groups else { return &self.counts };
        let everybody = groups.shares.rows() - 1;
        let group = user.and_then(|u| usize::try_from(groups.of_user[u.index()]).ok());
        groups.shares.row(group.unwrap_or(everybody))
    }

    fn check_user(&self, user: UserIdx) -> Result<(), ScoreError> {
        let (index, len) = (user.index(), self.n_users);
        if index < len { Ok(()) } else { Err(ScoreError::OutOfRange { what: "user", index, len }) }
    }

    fn check_item(&self, item: ItemIdx) -> Result<(), ScoreError> {
        let (index, len) = (item.index(), self.counts.len());
        if index < len { Ok(()) } else { Err(ScoreError::OutOfRange { what: "item", index, len }) }
    }
}

impl Recommender for Popularity {
    fn name(&self) -> &str {
        NAME
    }

    fn n_users(&self) -> usize {
        self.n_users
    }

    fn n_items(&self) -> usize {
        self.counts.len()
    }

    fn capability(&self) -> Capability {
        Capability::default().with_explanations().with_fold_in()
    }

    fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError> {
        users.iter().try_for_each(|&u| self.check_user(u))?;
        out.reset(users.len(), self.counts.len());
        for (row, user) in users.iter().enumerate() {
            out.row_mut(row).copy_from_slice(self.scores(Some(*user)));
        }
        Ok(())
    }

    fn fold_in(&self, items: &[ItemIdx], _: &[f32], out: &mut [f32]) -> Result<(), ScoreError> {
        assert_eq!(out.len(), self.counts.len(), "the scores hold every item");
        items.iter().try_for_each(|&i| self.check_item(i))?;
        out.copy_from_slice(self.scores(None));
        Ok(())
    }

    fn state(&self) -> ModelState {
        let mut state = ModelState::new(NAME);
        if let Ok(counts) = Matrix::from_vec(1, self.counts.len(), self.counts.clone()) {
            state.put("counts", counts);
        }
        state.put_whole("n_users", vec![self.n_users as i64]);
        if let Some(groups) = &self.groups {
            state.put_whole("groups", groups.of_user.clone());
            state.put("shares", groups.shares.clone());
        }
        state
    }

    fn explain(
        &self,
        user: UserIdx,
        item: ItemIdx,
        _: &[ItemIdx],
        _: usize,
    ) -> Result<Vec<Reason>, ScoreError> {
        self.check_item(item)?;
        let known = (user.index() < self.n_users).then_some(user);
        let weight = self.scores(known)[item.index()];
        Ok(vec![Reason::Part { name: "popularity".into(), weight }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::FeatureSet;

    const DAY: i64 = 86_400;

    fn fit(
        config: &PopularityConfig,
        group: Option<&SparseFeatures>,
    ) -> Result<Vec<f32>, FitError> {
        let pairs = [(0, 0), (0, 1), (1, 1), (2, 2)];
        let train = Interactions::from_pairs(4, 3, pairs).unwrap();
        let at = |u, i, day: i64| (UserIdx(u), ItemIdx(i), day * DAY);
        let events = [at(0, 0, 0), at(0, 1, 1), at(1, 1, 4), at(2, 2, 5)];
        let sequences = Sequences::from_events(4, 3, events).unwrap();
        let features = FeatureSet::new(3);
        let mut data = TrainingData::new(&train, &features).with_sequences(&sequences);
        if let Some(group) = group {
            data = data.with_user_attributes(group);
        }
        let mut scores = Matrix::default();
        let model = config.fit(&data)?;
        assert_eq!(Popularity::load(&model.state())?, model);
        model.score(&[UserIdx(0), UserIdx(3)], &mut scores)?;
        Ok(scores.into_vec())
    }

    #[test]
    fn recent_events_by_hand() {
        let window = PopularityConfig { window_days: Some(2.0), ..PopularityConfig::default() };
        assert_eq!(fit(&window, None).unwrap()[..3], [0.0, 1.0, 1.0]);
        let decay = PopularityConfig { half_life_days: Some(1.0), ..PopularityConfig::default() };
        assert_eq!(fit(&decay, None).unwrap()[..3], [1.0 / 32.0, 1.0 / 16.0 + 0.5, 1.0]);
    }

    #[test]
    fn groups_by_hand_and_people_of_no_group_get_what_everybody_does() {
        let names = ["team=red", "team=blue"].map(str::to_owned).to_vec();
        let teams = SparseFeatures::new(4, names, [(0, 0, 1.0), (1, 0, 1.0), (2, 1, 1.0)]).unwrap();
        let by_group = Some("team".to_owned());
        let config = PopularityConfig { by_group, group_prior: 4.0, ..PopularityConfig::default() };
        let scores = fit(&config, Some(&teams)).unwrap();
        // Red: 1, 2, 0 of 3 events, and 1, 2, 1 of the 4 of everybody.
        let expected = [2.0 / 7.0, 4.0 / 7.0, 1.0 / 7.0, 0.25, 0.5, 0.25];
        for (found, expected) in scores.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{scores:?}");
        }
        let other = PopularityConfig { by_group: Some("age".into()), ..config.clone() };
        let error = fit(&other, Some(&teams)).unwrap_err().to_string();
        assert!(error.contains("known: team"), "{error}");
        assert!(matches!(fit(&config, None), Err(FitError::Data { .. })));
    }
}

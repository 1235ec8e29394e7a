//! The synthetic world of `quintet demo`: a small catalogue written as real media files, in
//! which taste is known exactly, so that a ceiling can be computed: the ranking by true utility.
//!
//! The recipe is [`RECIPE`], in plain English. `taste.rs` makes items, users and clicks;
//! `view.rs` blurs an item's themes once per modality; `text.rs`, `image.rs`, `audio.rs` and
//! `video.rs` each draw one kind of file from such a view; `write.rs` puts them on disk.

mod audio;
mod image;
mod taste;
#[cfg(test)]
mod tests;
mod text;
mod video;
mod view;
mod write;

use anyhow::{Result, ensure};
pub(crate) use write::WorldFiles;

use quintet_core::{Matrix, Modality, SeedStream};
use serde::{Deserialize, Serialize};

/// How the world is made and how its default knobs were chosen, in plain English: for `--help`, `world.json` and the documentation.
pub(crate) const RECIPE: &str = include_str!("recipe.md");

/// The modalities of the world, in the order of [`World::present`].
pub(crate) const MODALITIES: [Modality; 4] =
    [Modality::Text, Modality::Image, Modality::Audio, Modality::Video];

/// Most themes a world can have: more would not be told apart in 96×96 pixels.
const MAX_THEMES: usize = 24;

/// The knobs of the world; [`RECIPE`] says what each of them does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WorldConfig {
    /// Number of users.
    pub users: usize,
    /// Number of items, brand-new ones included.
    pub items: usize,
    /// Number of hidden themes, 2 to 24.
    pub themes: usize,
    /// Median number of clicks of a user; single users have between a quarter and three times
    /// as many.
    pub clicks_per_user: usize,
    /// The seed that everything is made from.
    pub seed: u64,
    /// Weight of a random mixture in every modality's view of an item, against 1 for the truth.
    /// 0: none; 1: half of what a file shows is chance.
    pub noise: f32,
    /// How much the two themes of a pair look alike within a modality, 0 (not at all) to 1 (they
    /// cannot be told apart). Each modality has other pairs.
    pub overlap: f32,
    /// Strength of preference in clicks, an inverse temperature. 0: taste plays no part.
    pub taste: f32,
    /// Strength of the popularity bias in clicks, in standard deviations of log-odds.
    pub popularity: f32,
    /// Share of (item, modality) pairs without a file, 0 to 0.9; every item keeps one file.
    pub missing: f32,
    /// Share of brand-new items, without any click before the last tenth, 0 to 0.5.
    pub cold: f32,
}

impl Default for WorldConfig {
    fn default() -> Self {
        Self {
            users: 600,
            items: 720,
            themes: 20,
            clicks_per_user: 18,
            seed: 1,
            noise: 0.4,
            overlap: 0.8,
            taste: 8.0,
            popularity: 0.3,
            missing: 0.15,
            cold: 0.2,
        }
    }
}

impl WorldConfig {
    /// Refuses knobs out of their range, naming the knob, the range and the value.
    fn validate(&self) -> Result<()> {
        let whole = [
            ("users", self.users, 1, 99_999),
            ("items", self.items, 20, 99_999),
            ("themes", self.themes, 2, MAX_THEMES),
            ("clicks_per_user", self.clicks_per_user, 1, self.items / 5),
        ];
        for (knob, value, low, high) in whole {
            ensure!(
                (low..=high).contains(&value),
                "world: {knob} must be between {low} and {high}, found {value}"
            );
        }
        let real = [
            ("noise", self.noise, 10.0),
            ("overlap", self.overlap, 1.0),
            ("taste", self.taste, 100.0),
            ("popularity", self.popularity, 10.0),
            ("missing", self.missing, 0.9),
            ("cold", self.cold, 0.5),
        ];
        for (knob, value, high) in real {
            // A NaN is in no range, so it is refused here too.
            ensure!(
                (0.0..=high).contains(&value),
                "world: {knob} must be between 0 and {high}, found {value}"
            );
        }
        Ok(())
    }
}

/// One thing a user did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Click {
    /// Row of the user.
    pub user: usize,
    /// Row of the item.
    pub item: usize,
    /// Seconds since 1970.
    pub timestamp: i64,
}

/// The world with its hidden truth.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct World {
    /// The knobs it was made with.
    pub config: WorldConfig,
    /// `[items, themes]`: the mixture of each item; rows are non-negative and sum to 1.
    pub item_themes: Matrix,
    /// `[users, themes]`: what each user likes (positive) and dislikes (negative).
    pub user_taste: Matrix,
    /// Standardised log-popularity of each item: mean 0, variance 1, heavy right tail.
    pub popularity: Vec<f32>,
    /// `[users, items]`: the true utility that generated the clicks. Ranking the released,
    /// unseen items by it is the ceiling.
    pub utility: Matrix,
    /// For each item, whether it has a file in each of [`MODALITIES`].
    pub present: Vec<[bool; 4]>,
    /// For each item, whether it is brand-new.
    pub cold: Vec<bool>,
    /// When each item was released, in seconds since 1970.
    pub released: Vec<i64>,
    /// All clicks, by time, then user.
    pub clicks: Vec<Click>,
    /// Titles, which say nothing about themes.
    pub titles: Vec<String>,
}

impl World {
    /// Makes a world; the same configuration always makes the same one.
    ///
    /// # Errors
    /// A knob out of its range; the message names it, the range and the value.
    pub(crate) fn generate(config: &WorldConfig) -> Result<Self> {
        config.validate()?;
        let seeds = SeedStream::new(config.seed);
        let item_themes = taste::item_mixtures(config, seeds)?;
        let user_taste = taste::user_tastes(config, seeds)?;
        let popularity = taste::popularity(config, seeds)?;
        let utility = taste::utility(config, &user_taste, &item_themes, &popularity);
        let cold = taste::brand_new(config, seeds);
        let times = taste::click_times(config, seeds)?;
        let released = taste::release_times(&cold, &times, seeds);
        let clicks = taste::clicks(&utility, &released, &times, seeds)?;
        let present = taste::presence(config, seeds);
        let titles = text::titles(config.items, seeds);
        Ok(Self {
            config: config.clone(),
            item_themes,
            user_taste,
            popularity,
            utility,
            present,
            cold,
            released,
            clicks,
            titles,
        })
    }

    /// The id of a user row in every file, such as `u0001`.
    pub(crate) fn user_id(user: usize) -> String {
        format!("u{user:04}")
    }

    /// The id of an item row in every file, such as `i0042`.
    pub(crate) fn item_id(item: usize) -> String {
        format!("i{item:04}")
    }

    /// The name of a theme, for people to read.
    pub(crate) fn theme_name(theme: usize) -> String {
        text::theme_name(theme)
    }
}

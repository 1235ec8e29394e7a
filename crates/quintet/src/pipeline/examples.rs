//! A few lists to look at: whom they are for by what they had, what came, and small pictures.
//!
//! People are drawn by chance from those with test items, so that the lists are neither the best
//! nor the worst; they are named only where the run file names them. Everything is bounded:
//! people, lines, pictures and their bytes.

use std::collections::BTreeMap;
use std::path::Path;

use quintet_core::{ItemIdx, Modality, SeedStream, UserIdx};
use quintet_data::{MediaStatus, write_atomic};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::stages::read_json;
use super::thumbnail::thumbnail;
use super::{PipelineError, Prepared, Request, RunConfig, TrainedModel, Workspace, recommend};

const FILE: &str = "examples.json";
/// People drawn where the run file names none.
const PEOPLE: usize = 4;
/// Most people that the run file may name.
const MOST_PEOPLE: usize = 8;
/// Items of a history that are shown, and lines of a list.
const HISTORY: usize = 6;
const LINES: usize = 10;
/// Pictures of all lists together.
const PICTURES: usize = 80;

/// What `examples.json` holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Examples {
    /// The label of the model that made the lists.
    pub model: String,
    /// Whom for.
    pub people: Vec<Example>,
    /// Small pictures as data addresses, by item id.
    pub pictures: BTreeMap<String, String>,
}

/// One list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// The user's id, where the run file names it.
    pub user: Option<String>,
    /// How many items the user had.
    pub history_len: usize,
    /// Some of them: the latest where the order of time is known.
    pub history: Vec<ExampleItem>,
    /// How many items the user has in the test part.
    pub held_out: usize,
    /// The list, best first.
    pub list: Vec<ExampleLine>,
}

/// An item as a person knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExampleItem {
    /// Its id.
    pub item: String,
    /// Its title.
    pub title: String,
}

/// A line of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExampleLine {
    /// The item.
    #[serde(flatten)]
    pub item: ExampleItem,
    /// Whether it is in the user's test part.
    pub hit: bool,
    /// Whether nobody used it in training.
    pub new: bool,
    /// Why it is there.
    pub reasons: Vec<String>,
}

/// Writes `examples.json`: lists of the model of `[recommend]` for its users, or for some drawn
/// by chance. Nothing where that model was not fitted.
///
/// # Errors
/// A user is unknown, a model gives a score that is not a number, the file cannot be written.
pub fn examples_stage(
    config: &RunConfig,
    prepared: &Prepared,
    models: &[TrainedModel],
    workspace: &Workspace,
) -> Result<(), PipelineError> {
    let label = config.recommend.label.as_deref().or(config.reference());
    let Some(model) = models.iter().find(|m| Some(m.label.as_str()) == label) else {
        return Ok(());
    };
    let mut found = Examples { model: model.label.clone(), ..Examples::default() };
    let named: Vec<&str> =
        config.recommend.users.iter().take(MOST_PEOPLE).map(String::as_str).collect();
    let drawn = drawn(config, prepared);
    let people: Vec<(&str, bool)> = match named.is_empty() {
        true => drawn.into_iter().map(|id| (id, false)).collect(),
        false => named.into_iter().map(|id| (id, true)).collect(),
    };
    for (id, name_it) in people {
        found.people.push(example(prepared, model, id, name_it)?);
    }
    found.pictures = pictures(prepared, &found.people);
    write_atomic(&workspace.file(FILE), &serde_json::to_vec_pretty(&found)?)?;
    Ok(())
}

impl Workspace {
    /// The lists that [`examples_stage`] wrote; none where it did not run.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn read_examples(&self) -> Result<Option<Examples>, PipelineError> {
        let path = self.file(FILE);
        path.is_file().then(|| read_json(&path, "examples of lists")).transpose()
    }
}

/// People with test items, by chance.
fn drawn<'a>(config: &RunConfig, prepared: &'a Prepared) -> Vec<&'a str> {
    let truth = prepared.split.test.truth();
    let held = |user: &usize| !truth.items(UserIdx::new(*user)).is_empty();
    let mut users: Vec<usize> = (0..truth.n_users()).filter(held).collect();
    users.shuffle(&mut SeedStream::new(config.seed).rng("examples", 0));
    users.iter().take(PEOPLE).map(|user| prepared.dataset.users[*user].id.as_str()).collect()
}

fn example(
    prepared: &Prepared,
    model: &TrainedModel,
    id: &str,
    name_it: bool,
) -> Result<Example, PipelineError> {
    let list = recommend(prepared, model, Request { user: id, k: LINES, reasons: 2 })?;
    let user = prepared.dataset.users.iter().position(|u| u.id == id).unwrap_or(0);
    let user = UserIdx::new(user);
    let seen = prepared.split.seen_for_test.items(user);
    let truth = prepared.split.test.truth().items(user);
    let item_of = |item: &ItemIdx| prepared.dataset.items[item.index()].id.as_str();
    let hits: Vec<&str> = truth.iter().map(item_of).collect();
    let line = |line: super::Recommendation| ExampleLine {
        hit: hits.contains(&line.item.as_str()),
        new: line.new,
        reasons: line.reasons,
        item: ExampleItem { item: line.item, title: line.title },
    };
    Ok(Example {
        user: name_it.then(|| id.to_owned()),
        history_len: seen.len(),
        history: latest(prepared, user, seen).into_iter().map(|i| named(prepared, i)).collect(),
        held_out: truth.len(),
        list: list.into_iter().map(line).collect(),
    })
}

fn named(prepared: &Prepared, item: ItemIdx) -> ExampleItem {
    let item = &prepared.dataset.items[item.index()];
    ExampleItem { item: item.id.clone(), title: item.title.clone() }
}

/// The latest training items where the order is known, else the first ones of the catalogue.
fn latest(prepared: &Prepared, user: UserIdx, seen: &[ItemIdx]) -> Vec<ItemIdx> {
    let in_order = prepared.sequences.as_ref().map(|s| s.items(user)).filter(|s| !s.is_empty());
    match in_order {
        Some(items) => items.iter().rev().take(HISTORY).copied().collect(),
        None => seen.iter().take(HISTORY).copied().collect(),
    }
}

/// Pictures of the items in lists and histories, as far as there are files and room.
fn pictures(prepared: &Prepared, people: &[Example]) -> BTreeMap<String, String> {
    let images = prepared.dataset.media.iter();
    let images = images.filter(|m| m.modality == Modality::Image && m.status == MediaStatus::Ok);
    let files: BTreeMap<&str, &str> = images
        .map(|m| (prepared.dataset.items[m.item.index()].id.as_str(), m.path.as_str()))
        .collect();
    let lists = people.iter().flat_map(|p| p.list.iter().map(|l| &l.item));
    let histories = people.iter().flat_map(|p| &p.history);
    let mut pictures = BTreeMap::new();
    for item in lists.chain(histories) {
        if pictures.len() == PICTURES {
            break;
        }
        // A file that went or changed since costs its picture, nothing else.
        let file = files.get(item.item.as_str()).filter(|_| !pictures.contains_key(&item.item));
        if let Some(picture) = file.and_then(|file| thumbnail(Path::new(file))) {
            pictures.insert(item.item.clone(), picture);
        }
    }
    pictures
}

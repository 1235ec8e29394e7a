//! The world on disk: tables, media folders, and the truth beside them for people to check.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use fs_err as fs;
use rayon::prelude::*;
use serde::Serialize;

use super::view::Lens;
use super::{MODALITIES, Modality, RECIPE, SeedStream, World, audio, image, text, video};

/// One folder of media files, named by item id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct MediaFolder {
    /// What kind of files it holds.
    pub modality: Modality,
    /// Where it is.
    pub path: PathBuf,
    /// Number of files.
    pub files: usize,
    /// Size of all files together in bytes.
    pub bytes: u64,
}

/// What [`World::write`] wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct WorldFiles {
    /// The folder of the world.
    pub root: PathBuf,
    /// `user,item,timestamp`, by time.
    pub interactions: PathBuf,
    /// `item,title`.
    pub items: PathBuf,
    /// `user`.
    pub users: PathBuf,
    /// The knobs and the recipe as JSON.
    pub about: PathBuf,
    /// Folder of the hidden truth: no model may read it.
    pub truth: PathBuf,
    /// The media folders `text`, `image`, `audio` and `video`, in this order.
    pub media: Vec<MediaFolder>,
    /// Number of files of all kinds.
    pub files: usize,
    /// Size of all files together in bytes.
    pub bytes: u64,
}

/// What `world.json` says.
#[derive(Serialize)]
struct About<'a> {
    config: &'a super::WorldConfig,
    clicks: usize,
    cold_items: usize,
    recipe: Vec<&'static str>,
}

impl World {
    /// Writes the world into `dir`, which is made when it does not exist. The same world gives
    /// the same bytes, whatever the number of threads.
    ///
    /// # Errors
    /// `dir` already holds a part of a world (two worlds must not mix), or a file cannot be
    /// written; the message names the path.
    pub(crate) fn write(&self, dir: &Path) -> Result<WorldFiles> {
        let tables = ["interactions.csv", "items.csv", "users.csv", "world.json", "truth"];
        let folders = MODALITIES.map(|m| dir.join(m.as_str()));
        for taken in tables.iter().map(|t| dir.join(t)).chain(folders.iter().cloned()) {
            ensure!(
                !taken.exists(),
                "{} is already there; a world needs a folder without an earlier one",
                taken.display()
            );
        }
        let [interactions, items, users, about, truth] = tables.map(|name| dir.join(name));
        fs::create_dir_all(&truth)?;
        let plain = [
            (interactions.clone(), self.interactions_csv()),
            (items.clone(), self.items_csv()),
            (users.clone(), self.users_csv()),
            (about.clone(), self.about_json()?),
            (truth.join("items.csv"), self.truth_items_csv()),
            (truth.join("users.csv"), self.truth_users_csv()),
        ];
        for (path, content) in &plain {
            fs::write(path, content)?;
        }
        let media = (0..MODALITIES.len())
            .map(|index| self.write_media(index, &folders[index]))
            .collect::<Result<Vec<_>>>()?;
        let plain_bytes: u64 = plain.iter().map(|(_, content)| content.len() as u64).sum();
        Ok(WorldFiles {
            root: dir.to_owned(),
            interactions,
            items,
            users,
            about,
            truth,
            files: plain.len() + media.iter().map(|m| m.files).sum::<usize>(),
            bytes: plain_bytes + media.iter().map(|m| m.bytes).sum::<u64>(),
            media,
        })
    }

    /// Writes the files of modality `index` of [`MODALITIES`].
    fn write_media(&self, index: usize, folder: &Path) -> Result<MediaFolder> {
        let seeds = SeedStream::new(self.config.seed);
        let lens = Lens::new(self.config.themes, index, seeds);
        fs::create_dir_all(folder)?;
        let sizes = (0..self.config.items)
            .into_par_iter()
            .filter(|&item| self.present[item][index])
            .map(|item| {
                let id = World::item_id(item);
                let (bytes, ending) = self
                    .render(index, &lens, item)
                    .with_context(|| format!("{} of item {id}", MODALITIES[index]))?;
                fs::write(folder.join(format!("{id}.{ending}")), &bytes)?;
                Ok(bytes.len() as u64)
            })
            .collect::<Result<Vec<u64>>>()?;
        Ok(MediaFolder {
            modality: MODALITIES[index],
            path: folder.to_owned(),
            files: sizes.len(),
            bytes: sizes.iter().sum(),
        })
    }

    /// One media file's bytes and the ending of its name.
    fn render(&self, index: usize, lens: &Lens, item: usize) -> Result<(Vec<u8>, &'static str)> {
        let seeds = SeedStream::new(self.config.seed);
        let view = lens.view(self, item)?;
        match index {
            0 => Ok((text::render(&view, item, seeds).into_bytes(), "txt")),
            1 => image::render(lens, &view, item, seeds),
            2 => Ok((audio::render(lens, &view, item, seeds)?, "wav")),
            _ => Ok((video::render(lens, &view, item, seeds)?, "gif")),
        }
    }

    fn interactions_csv(&self) -> String {
        let mut csv = String::from("user,item,timestamp\n");
        for click in &self.clicks {
            let (user, item) = (World::user_id(click.user), World::item_id(click.item));
            // Writing into a `String` cannot fail.
            let _ = writeln!(csv, "{user},{item},{}", click.timestamp);
        }
        csv
    }

    fn items_csv(&self) -> String {
        let mut csv = String::from("item,title\n");
        for (item, title) in self.titles.iter().enumerate() {
            let _ = writeln!(csv, "{},{title}", World::item_id(item));
        }
        csv
    }

    fn users_csv(&self) -> String {
        let mut csv = String::from("user\n");
        for user in 0..self.config.users {
            let _ = writeln!(csv, "{}", World::user_id(user));
        }
        csv
    }

    fn about_json(&self) -> Result<String> {
        let about = About {
            config: &self.config,
            clicks: self.clicks.len(),
            cold_items: self.cold.iter().filter(|&&c| c).count(),
            recipe: RECIPE.lines().collect(),
        };
        Ok(serde_json::to_string_pretty(&about)? + "\n")
    }

    fn truth_items_csv(&self) -> String {
        let mut csv = String::from("item,brand_new,released,popularity");
        self.theme_columns(&mut csv);
        for item in 0..self.config.items {
            let (new, at, pop) = (self.cold[item], self.released[item], self.popularity[item]);
            let _ = write!(csv, "{},{new},{at},{pop}", World::item_id(item));
            numbers(&mut csv, self.item_themes.row(item));
        }
        csv
    }

    fn truth_users_csv(&self) -> String {
        let mut csv = String::from("user");
        self.theme_columns(&mut csv);
        for user in 0..self.config.users {
            csv.push_str(&World::user_id(user));
            numbers(&mut csv, self.user_taste.row(user));
        }
        csv
    }

    fn theme_columns(&self, csv: &mut String) {
        for theme in 0..self.config.themes {
            let _ = write!(csv, ",{}", World::theme_name(theme));
        }
        csv.push('\n');
    }
}

/// Numbers that read back to the same bits, each after a comma, and the end of the line.
fn numbers(csv: &mut String, row: &[f32]) {
    for value in row {
        let _ = write!(csv, ",{value}");
    }
    csv.push('\n');
}

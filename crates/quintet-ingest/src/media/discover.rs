//! Which file belongs to which item: by its name, by a pattern, or by an attribute of the item.

use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use quintet_core::Modality;
use quintet_data::Item;
use walkdir::WalkDir;

use super::code::MediaCode;
use super::pattern::Pattern;
use super::structure::Damage;
use crate::IngestError;
use crate::catalog::Catalog;
use crate::config::MediaConfig;
use crate::log::{Flaw, Log, shown};
use crate::paths::{Root, join};
use crate::report::{FaultCode, MediaReport};

/// A file or folder of frames in a media folder.
pub(super) struct Found {
    /// The path below the folder, with `/` between its parts.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) is_folder: bool,
    /// Why it is not even opened.
    pub(super) damage: Option<Damage>,
}

/// The file of every item, in the order of the items; reports files that are left over and files
/// that are named and not there.
pub(super) fn discover(
    root: &Root,
    folder: &Path,
    media: &MediaConfig,
    catalog: &Catalog,
    log: &mut Log,
    report: &mut MediaReport,
) -> Result<Vec<Option<Found>>, IngestError> {
    if let Some(column) = &media.column {
        let places = Places { root, folder, media, column };
        let one = |item| places.of_item(item, log, report);
        return catalog.items.iter().map(one).collect();
    }
    let pattern = media.pattern.as_deref().and_then(Pattern::parse);
    let found = list(folder, media, pattern.as_ref())?;
    report.found = found.len() as u64;
    assign(found, media, pattern.as_ref(), catalog, log, report)
}

/// Paths that an attribute of the items names.
struct Places<'a> {
    root: &'a Root,
    folder: &'a Path,
    media: &'a MediaConfig,
    column: &'a str,
}

impl Places<'_> {
    fn of_item(
        &self,
        item: &Item,
        log: &mut Log,
        report: &mut MediaReport,
    ) -> Result<Option<Found>, IngestError> {
        let value = item.attributes.get(self.column).map(String::as_str).unwrap_or_default();
        let names = names(value);
        let Some(first) = names.first() else { return Ok(None) };
        let file = join(&self.media.folder, first);
        if names.len() > 1 {
            let further = names.len() as u64 - 1;
            report.found += further;
            report.duplicate += further;
            let flaw = Flaw::new(FaultCode::MediaFurther, "one file", format!("{further} more"));
            log.note_file(file.clone(), Some(&item.id), flaw)?;
        }
        let found = self.resolve(first);
        match found {
            Some(_) => report.found += 1,
            None => {
                let expected = format!("the file that {:?} names", self.column);
                let flaw = Flaw::new(FaultCode::MediaAbsent, expected, "nothing");
                log.note_file(file, Some(&item.id), flaw)?;
            }
        }
        Ok(found)
    }

    /// The file of a relative path; `None` if there is nothing at that place.
    fn resolve(&self, name: &str) -> Option<Found> {
        let mut found = Found {
            name: name.to_owned(),
            path: PathBuf::from(name),
            is_folder: false,
            damage: None,
        };
        let leaves = |part| !matches!(part, Component::Normal(_) | Component::CurDir);
        if Path::new(name).components().any(leaves) {
            let reason = "the path is absolute or leads out of the media folder";
            found.damage = Some(Damage::new(MediaCode::Outside, reason));
            return Some(found);
        }
        found.path = self.folder.join(name);
        match std::fs::canonicalize(&found.path) {
            Ok(real) if self.root.holds(&real) => {
                found.is_folder = self.media.modality == Modality::Video && real.is_dir();
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            // Such as a path through something that is no folder; told when it is looked at.
            Err(_) => {}
        }
        Some(found)
    }
}

/// The paths in a cell: one, several separated by `;`, or a JSON list.
fn names(value: &str) -> Vec<String> {
    if let Ok(list) = serde_json::from_str::<Vec<String>>(value) {
        return list.into_iter().filter(|name| !name.trim().is_empty()).collect();
    }
    let names = value.split(';').map(str::trim).filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// Every file, and every folder that may hold frames, in the order of their names.
fn list(
    folder: &Path,
    media: &MediaConfig,
    pattern: Option<&Pattern>,
) -> Result<Vec<Found>, IngestError> {
    let depth = pattern.map_or(1, Pattern::depth);
    let mut found = Vec::new();
    let mut add = |path: PathBuf, is_folder| {
        found.push(Found { name: below(folder, &path), path, is_folder, damage: None });
    };
    let walk = WalkDir::new(folder).min_depth(1).max_depth(depth).follow_links(true);
    for entry in walk.sort_by_file_name() {
        let entry = match entry {
            Ok(entry) => entry,
            // A link to nowhere is still something that was found in the folder.
            Err(error) => match error.path().map(Path::to_owned) {
                Some(path) if path != folder => {
                    add(path, false);
                    continue;
                }
                _ => return Err(IngestError::io(&media.folder)(error.into())),
            },
        };
        let is_folder = entry.file_type().is_dir();
        if is_folder && entry.depth() < depth {
            continue;
        }
        add(entry.into_path(), is_folder);
    }
    Ok(found)
}

fn below(folder: &Path, path: &Path) -> String {
    let relative = path.strip_prefix(folder).unwrap_or(path);
    let parts: Vec<_> = relative.components().map(|p| p.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}

/// The id that a name stands for, if it is a name as the configuration wants it.
fn id_of(found: &Found, modality: Modality, pattern: Option<&Pattern>) -> Option<String> {
    if found.is_folder && modality != Modality::Video {
        return None;
    }
    let name = found.name.as_str();
    let id = match pattern {
        Some(pattern) => return pattern.id(name),
        None if found.is_folder => name,
        None => {
            let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
            if modality == Modality::Text && extension != "txt" {
                return None;
            }
            stem
        }
    };
    (!id.is_empty()).then(|| id.to_owned())
}

/// Gives every item its file; reports those that are left over.
fn assign(
    found: Vec<Found>,
    media: &MediaConfig,
    pattern: Option<&Pattern>,
    catalog: &Catalog,
    log: &mut Log,
    report: &mut MediaReport,
) -> Result<Vec<Option<Found>>, IngestError> {
    let mut chosen: Vec<Option<Found>> = catalog.items.iter().map(|_| None).collect();
    for found in found {
        let file = join(&media.folder, &found.name);
        let id = id_of(&found, media.modality, pattern);
        let id = id.as_deref();
        let Some(item) = id.and_then(|id| catalog.item(id)) else {
            report.unmatched += 1;
            log.note_file(file, None, unmatched(id, &found, media))?;
            continue;
        };
        match &chosen[item.index()] {
            Some(first) => {
                report.duplicate += 1;
                let expected = format!("one {} file, as {}", media.modality, first.name);
                let flaw = Flaw::new(FaultCode::MediaDuplicate, expected, "another one");
                log.note_file(file, id, flaw)?;
            }
            None => chosen[item.index()] = Some(found),
        }
    }
    Ok(chosen)
}

fn unmatched(id: Option<&str>, found: &Found, media: &MediaConfig) -> Flaw {
    match id {
        Some(id) => {
            let found = format!("the unknown id {}", shown(id));
            Flaw::new(FaultCode::MediaUnmatched, "the id of an item", found)
        }
        None => {
            let expected = format!("a name such as {}", pattern_shown(media));
            Flaw::new(FaultCode::MediaUnmatched, expected, shown(&found.name))
        }
    }
}

fn pattern_shown(media: &MediaConfig) -> &str {
    match (&media.pattern, media.modality) {
        (Some(pattern), _) => pattern,
        (None, Modality::Text) => "{id}.txt",
        (None, Modality::Video) => "{id}.gif or a folder {id}",
        (None, Modality::Audio) => "{id}.wav",
        (None, _) => "{id}.jpg",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(
        name: &str,
        is_folder: bool,
        modality: Modality,
        pattern: Option<&str>,
    ) -> Option<String> {
        let pattern = pattern.map(|p| Pattern::parse(p).unwrap());
        let found = Found { name: name.into(), path: PathBuf::new(), is_folder, damage: None };
        id_of(&found, modality, pattern.as_ref())
    }

    #[test]
    fn names_become_ids() {
        use Modality::{Image, Text, Video};
        let some = |id: &str| Some(id.to_owned());
        assert_eq!(id("7.jpg", false, Image, None), some("7"));
        assert_eq!(id("a.b.png", false, Image, None), some("a.b"));
        assert_eq!(id("7", false, Image, None), some("7"));
        assert_eq!(id("7", true, Image, None), None);
        assert_eq!(id("7.x", true, Video, None), some("7.x"));
        assert_eq!(id("7.txt", false, Text, None), some("7"));
        assert_eq!(id("7.pdf", false, Text, None), None);
        assert_eq!(id("p7.jpg", false, Image, Some("p{id}.jpg")), some("7"));
        assert_eq!(id("7.png", false, Image, Some("{id}.jpg")), None);
        assert_eq!(id("7/cover.png", false, Image, Some("{id}/cover.png")), some("7"));
        assert_eq!(id(".jpg", false, Image, Some("{id}.jpg")), None);
    }

    #[test]
    fn a_cell_can_name_several_files() {
        assert_eq!(names("a b.jpg"), ["a b.jpg"]);
        assert_eq!(names(" a.jpg; b.jpg;;"), ["a.jpg", "b.jpg"]);
        assert_eq!(names(r#"["a;1.jpg", "", "b.jpg"]"#), ["a;1.jpg", "b.jpg"]);
        assert_eq!(names("[x].jpg"), ["[x].jpg"]);
        assert!(names("").is_empty() && names(" ; ").is_empty());
    }
}

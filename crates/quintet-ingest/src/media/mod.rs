//! Media folders: which file belongs to which item, and what is the matter with it.

mod check;
mod sniff;
mod structure;

use std::path::{Path, PathBuf};

use quintet_core::{ItemIdx, Modality};
use quintet_data::{Item, MediaFile, MediaStatus};
use rayon::prelude::*;
use walkdir::WalkDir;

use self::check::Probe;
use self::structure::Damage;
use crate::IngestError;
use crate::catalog::{Catalog, append_text};
use crate::config::{MediaConfig, config};
use crate::log::{Flaw, Log, shown};
use crate::paths::{Root, join};
use crate::report::{FaultCode, MediaReport};

/// A file or folder of frames in a media folder.
struct Found {
    /// The path below the folder, with `/` between its parts.
    name: String,
    path: PathBuf,
    is_folder: bool,
}

/// Reads a media folder: one [`MediaFile`] an item, in the order of the items.
pub(crate) fn read_media(
    root: &Root,
    media: &MediaConfig,
    catalog: &mut Catalog,
    log: &mut Log,
) -> Result<(Vec<MediaFile>, MediaReport), IngestError> {
    let folder = root.resolve(&media.folder)?;
    if !folder.is_dir() {
        let found = format!("{:?}, which is no folder", media.folder);
        return Err(config("media.folder", "a folder", &found));
    }
    let found = list(&folder, media)?;
    let mut report = MediaReport {
        modality: media.modality,
        folder: media.folder.clone(),
        found: found.len() as u64,
        ok: 0,
        missing: 0,
        error: 0,
        unmatched: 0,
        duplicate: 0,
    };
    let chosen = assign(found, media, catalog, log, &mut report)?;
    let probes: Vec<Option<Probe>> = chosen
        .par_iter()
        .map(|found| found.as_ref().map(|found| probe(found, root, media)))
        .collect();
    let mut files = Vec::with_capacity(chosen.len());
    for (position, (found, probe)) in chosen.into_iter().zip(probes).enumerate() {
        let item = &mut catalog.items[position];
        let (path, mut probe) = match (found, probe) {
            (Some(found), Some(probe)) => (found.path, probe),
            _ => {
                report.missing += 1;
                files.push(missing(ItemIdx::new(position), media.modality));
                continue;
            }
        };
        append_text(item, probe.text.take());
        if let Some(damage) = &probe.damage {
            report.error += 1;
            let name = path.strip_prefix(&folder).unwrap_or(&path).to_string_lossy();
            let expected = format!("a usable {} file", media.modality);
            let found = format!("{}: {}", damage.code, damage.reason);
            let flaw = Flaw::new(FaultCode::MediaError, expected, found);
            log.note_file(join(&media.folder, &name), Some(&item.id), flaw)?;
        } else {
            report.ok += 1;
        }
        files.push(media_file(ItemIdx::new(position), media.modality, &path, probe));
    }
    balance(&report, catalog.items.len())?;
    Ok((files, report))
}

/// Every file, and every folder that may hold frames, in the order of their names.
fn list(folder: &Path, media: &MediaConfig) -> Result<Vec<Found>, IngestError> {
    let depth = media.pattern.as_ref().map_or(1, |p| 1 + p.matches('/').count());
    let mut found = Vec::new();
    let walk = WalkDir::new(folder).min_depth(1).max_depth(depth).follow_links(true);
    for entry in walk.sort_by_file_name() {
        let entry = match entry {
            Ok(entry) => entry,
            // A link to nowhere is still something that was found in the folder.
            Err(error) => match error.path().map(Path::to_owned) {
                Some(path) if path != folder => {
                    found.push(Found { name: below(folder, &path), path, is_folder: false });
                    continue;
                }
                _ => return Err(IngestError::io(&media.folder)(error.into())),
            },
        };
        let is_folder = entry.file_type().is_dir();
        if is_folder && entry.depth() < depth {
            continue;
        }
        let path = entry.into_path();
        found.push(Found { name: below(folder, &path), path, is_folder });
    }
    Ok(found)
}

fn below(folder: &Path, path: &Path) -> String {
    let relative = path.strip_prefix(folder).unwrap_or(path);
    let parts: Vec<_> = relative.components().map(|p| p.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}

/// The id that a name stands for, if it is a name as the configuration wants it.
fn id_of<'a>(found: &'a Found, media: &MediaConfig) -> Option<&'a str> {
    if found.is_folder && media.modality != Modality::Video {
        return None;
    }
    let name = found.name.as_str();
    let id = match &media.pattern {
        Some(pattern) => {
            let (before, after) = pattern.split_once("{id}")?;
            name.strip_prefix(before)?.strip_suffix(after)?
        }
        None if found.is_folder => name,
        None => {
            let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
            if media.modality == Modality::Text && extension != "txt" {
                return None;
            }
            stem
        }
    };
    (!id.is_empty()).then_some(id)
}

/// Gives every item its file; reports those that are left over.
fn assign(
    found: Vec<Found>,
    media: &MediaConfig,
    catalog: &Catalog,
    log: &mut Log,
    report: &mut MediaReport,
) -> Result<Vec<Option<Found>>, IngestError> {
    let mut chosen: Vec<Option<Found>> = catalog.items.iter().map(|_| None).collect();
    for found in found {
        let file = join(&media.folder, &found.name);
        let id = id_of(&found, media);
        let Some(item) = id.and_then(|id| catalog.item(id)) else {
            report.unmatched += 1;
            let flaw = match id {
                Some(id) => {
                    let found = format!("the unknown id {}", shown(id));
                    Flaw::new(FaultCode::MediaUnmatched, "the id of an item", found)
                }
                None => {
                    let expected = format!("a name such as {}", pattern_shown(media));
                    Flaw::new(FaultCode::MediaUnmatched, expected, shown(&found.name))
                }
            };
            log.note_file(file, None, flaw)?;
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

fn pattern_shown(media: &MediaConfig) -> &str {
    match (&media.pattern, media.modality) {
        (Some(pattern), _) => pattern,
        (None, Modality::Text) => "{id}.txt",
        (None, Modality::Video) => "{id}.gif or a folder {id}",
        (None, Modality::Audio) => "{id}.wav",
        (None, _) => "{id}.jpg",
    }
}

fn probe(found: &Found, root: &Root, media: &MediaConfig) -> Probe {
    match std::fs::canonicalize(&found.path) {
        Err(error) => damaged(Damage::new("unreadable", error.to_string())),
        Ok(real) if !root.holds(&real) => {
            damaged(Damage::new("outside", "it is a link that leads out of the data root"))
        }
        Ok(real) if found.is_folder => check::frames(&real, media.check),
        Ok(real) => check::file(&real, media.modality, media.check),
    }
}

fn damaged(damage: Damage) -> Probe {
    Probe { damage: Some(damage), ..Probe::default() }
}

fn missing(item: ItemIdx, modality: Modality) -> MediaFile {
    MediaFile {
        item,
        modality,
        path: String::new(),
        blake3: String::new(),
        bytes: 0,
        width: None,
        height: None,
        seconds: None,
        frames: None,
        status: MediaStatus::Missing,
        error: None,
    }
}

fn media_file(item: ItemIdx, modality: Modality, path: &Path, probe: Probe) -> MediaFile {
    let status = if probe.damage.is_some() { MediaStatus::Error } else { MediaStatus::Ok };
    MediaFile {
        item,
        modality,
        path: path.to_string_lossy().into_owned(),
        blake3: probe.blake3,
        bytes: probe.bytes,
        width: probe.width,
        height: probe.height,
        seconds: probe.seconds,
        frames: probe.frames,
        status,
        error: probe.damage.map(|d| format!("{}: {}", d.code, d.reason)),
    }
}

/// Every item has one status, and every file one place.
fn balance(report: &MediaReport, n_items: usize) -> Result<(), IngestError> {
    let what = format!("{} ({})", report.folder, report.modality);
    let books = [
        ("items", n_items as u64, report.ok + report.missing, report.error),
        ("files", report.found, report.ok + report.error, report.unmatched + report.duplicate),
    ];
    for (name, rows_in, kept, reported) in books {
        if rows_in != kept + reported {
            let what = format!("{what}, {name}");
            return Err(IngestError::Accounting { what, rows_in, kept, reported });
        }
    }
    Ok(())
}

/// How many items have text.
pub(crate) fn with_text(items: &[Item]) -> usize {
    items.iter().filter(|i| i.text.is_some()).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MediaCheck;

    fn id(
        name: &str,
        is_folder: bool,
        modality: Modality,
        pattern: Option<&str>,
    ) -> Option<String> {
        let media = MediaConfig {
            modality,
            folder: "m".into(),
            pattern: pattern.map(str::to_owned),
            check: MediaCheck::Full,
        };
        let found = Found { name: name.into(), path: PathBuf::new(), is_folder };
        id_of(&found, &media).map(str::to_owned)
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
}

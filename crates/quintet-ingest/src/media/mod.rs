//! Media folders: which file belongs to which item, and what is the matter with it.

mod boxes;
mod check;
mod code;
mod discover;
mod duplicates;
mod ebml;
mod facts;
mod kind;
mod likeness;
mod mpeg;
mod numbers;
mod ogg;
mod pattern;
mod sniff;
mod structure;

use std::collections::BTreeMap;
use std::path::Path;

use quintet_core::{ItemIdx, Modality};
use quintet_data::{Item, MediaFile, MediaStatus};
use rayon::prelude::*;

use self::check::Probe;
pub use self::check::media_hash;
pub use self::code::MediaCode;
use self::discover::{Found, discover};
pub(crate) use self::duplicates::find as find_duplicates;
pub use self::duplicates::{
    DuplicateCount, DuplicateGroup, DuplicateListing, DuplicateReport, LISTED_GROUPS, Likeness,
    duplicate_groups,
};
pub(crate) use self::pattern::Pattern;
use self::structure::Damage;
use crate::IngestError;
use crate::catalog::{Catalog, append_text};
use crate::config::{MediaConfig, config};
use crate::log::{Flaw, Log};
use crate::paths::{Root, join};
use crate::report::{FaultCode, MediaReport};

/// What a media folder brings.
pub(crate) struct MediaFolder {
    /// One file an item, in the order of the items.
    pub(crate) files: Vec<MediaFile>,
    /// The perceptual hash of each of them, where it has one.
    pub(crate) looks: Vec<Option<u64>>,
    pub(crate) report: MediaReport,
}

/// Reads a media folder: one [`MediaFile`] an item, in the order of the items.
pub(crate) fn read_media(
    root: &Root,
    media: &MediaConfig,
    catalog: &mut Catalog,
    log: &mut Log,
) -> Result<MediaFolder, IngestError> {
    let folder = root.resolve(&media.folder)?;
    if !folder.is_dir() {
        let found = format!("{:?}, which is no folder", media.folder);
        return Err(config("media.folder", "a folder", &found));
    }
    let mut report = empty_report(media);
    let chosen = discover(root, &folder, media, catalog, log, &mut report)?;
    let progress = log.progress;
    let n_files = chosen.iter().flatten().count() as u64;
    progress.start(&media.folder, "files", Some(n_files));
    let look = |found: &Found| {
        let seen = probe(found, root, media);
        progress.advance(1);
        seen
    };
    let probes: Vec<Option<Probe>> =
        chosen.par_iter().map(|found| found.as_ref().map(look)).collect();
    progress.finish();
    let mut files = Vec::with_capacity(chosen.len());
    let mut looks = Vec::with_capacity(chosen.len());
    for (position, (found, probe)) in chosen.into_iter().zip(probes).enumerate() {
        let item = &mut catalog.items[position];
        let (Some(found), Some(mut probe)) = (found, probe) else {
            report.missing += 1;
            files.push(MediaFile::missing(ItemIdx::new(position), media.modality));
            looks.push(None);
            continue;
        };
        append_text(item, probe.text.take());
        note(&found, &probe, &item.id, media, log, &mut report)?;
        looks.push(probe.look);
        files.push(media_file(ItemIdx::new(position), media.modality, &found.path, probe));
    }
    balance(&report, catalog.items.len())?;
    Ok(MediaFolder { files, looks, report })
}

fn empty_report(media: &MediaConfig) -> MediaReport {
    MediaReport {
        modality: media.modality,
        folder: media.folder.clone(),
        found: 0,
        ok: 0,
        missing: 0,
        error: 0,
        unmatched: 0,
        duplicate: 0,
        errors: BTreeMap::new(),
    }
}

/// Books a file as usable or not, and notes a name that lies.
fn note(
    found: &Found,
    probe: &Probe,
    item: &str,
    media: &MediaConfig,
    log: &mut Log,
    report: &mut MediaReport,
) -> Result<(), IngestError> {
    let file = join(&media.folder, &found.name);
    let extension = Path::new(&found.name).extension().and_then(|e| e.to_str());
    let code = probe.damage.as_ref().map(|d| d.code);
    // What is something else altogether is told below.
    if let (Some(kind), Some(extension)) = (probe.kind, extension)
        && code != Some(MediaCode::WrongKind)
        && kind.belies(extension)
    {
        let expected = format!("an extension for {}", kind.name());
        let flaw = Flaw::new(FaultCode::MediaExtension, expected, format!("{extension:?}"));
        log.note_file(file.clone(), Some(item), flaw)?;
    }
    let Some(damage) = &probe.damage else {
        report.ok += 1;
        return Ok(());
    };
    report.error += 1;
    *report.errors.entry(damage.code).or_default() += 1;
    let expected = format!("a usable {} file", media.modality);
    let reason = format!("{}: {}", damage.code, damage.reason);
    log.note_file(file, Some(item), Flaw::new(FaultCode::MediaError, expected, reason))
}

fn probe(found: &Found, root: &Root, media: &MediaConfig) -> Probe {
    if let Some(damage) = &found.damage {
        return damaged(damage.clone());
    }
    match std::fs::canonicalize(&found.path) {
        Err(error) => damaged(Damage::new(MediaCode::Unreadable, error.to_string())),
        Ok(real) if !root.holds(&real) => {
            damaged(Damage::new(MediaCode::Outside, "it is a link that leads out of the data root"))
        }
        Ok(real) if found.is_folder => check::frames(&real, media.check),
        Ok(real) => check::file(&real, media.modality, media.check),
    }
}

fn damaged(damage: Damage) -> Probe {
    Probe { damage: Some(damage), ..Probe::default() }
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

//! What headers say of real files: real films and sounds, and files that were made to hurt.

use std::collections::BTreeMap;
use std::path::Path;

use quintet_data::{MediaFile, MediaStatus};
use quintet_ingest::{FaultCode, IngestReport, Ingested, MediaCode};

use crate::support::{folder, run, shared, write};

/// Ingests a folder whose table names its own files.
fn by_table(root: &Path, table: &str, column: &str, user: &str, modality: &str) -> Ingested {
    let text = format!(
        r#"
        duplicates = "keep_all"
        tables.interactions = [{{ path = "{table}", columns = {{ user = "{user}", item = "{column}" }} }}]
        tables.items = {{ path = "{table}", columns = {{ id = "{column}", attributes = ["{column}"] }} }}
        [[media]]
        modality = "{modality}"
        folder = "."
        column = "{column}"
        check = "probe"
        "#
    );
    run(root, &text)
}

/// Compares what was found in the headers of films with what FFmpeg decoded.
fn golden(root: &Path) {
    let done = by_table(root, "golden_ffmpeg.csv", "file", "codec", "video");
    let mut reader = csv::Reader::from_path(root.join("golden_ffmpeg.csv")).unwrap();
    let rows: Vec<BTreeMap<String, String>> = reader.deserialize().map(Result::unwrap).collect();
    assert_eq!(rows.len(), done.dataset.media.len());
    for (row, file) in rows.iter().zip(&done.dataset.media) {
        let name = &row["file"];
        let number = |key: &str| row[key].parse::<u32>().ok();
        assert_eq!((file.width, file.height), (number("width"), number("height")), "{name}");
        assert_eq!(file.frames, number("frames"), "{name}");
        let seconds = row["frames"].parse::<f32>().unwrap() / row["fps"].parse::<f32>().unwrap();
        let found = file.seconds.unwrap();
        assert!((found - seconds).abs() < 0.15, "{name}: {found} s and {seconds} s");
        let error = file.error.as_deref().unwrap();
        assert_eq!(MediaCode::of(error), Some(MediaCode::Unsupported), "{error}");
        assert!(error.contains("an MPEG-4 film"), "{error}");
        let has_sound = row["has_audio"] == "1";
        assert_eq!(error.contains("Hz"), has_sound, "{name}: {error}");
    }
}

#[test]
fn films_of_a_camera_have_the_sizes_and_lengths_that_ffmpeg_finds() {
    let Some(root) = shared("fight-video-100") else { return };
    golden(&root);
}

#[test]
fn rendered_films_have_the_sizes_and_lengths_that_ffmpeg_finds() {
    let Some(root) = shared("sign-mp4") else { return };
    golden(&root);
}

#[test]
fn ogg_sounds_have_their_lengths() {
    let Some(root) = shared("esc10-f123") else { return };
    let done = by_table(&root, "meta.csv", "path", "class", "audio");
    let mut longer = 0;
    for file in &done.dataset.media {
        let (seconds, error) = (file.seconds.unwrap(), file.error.as_deref().unwrap());
        // Two of the clips have seven seconds in place of five, also by their pages.
        assert!((4.9..7.3).contains(&seconds), "{}: {seconds} s", file.path);
        longer += usize::from(seconds > 5.1);
        assert!(error.starts_with("unsupported: expected WAV sound, found Ogg Vorbis"), "{error}");
    }
    assert_eq!((done.dataset.media.len(), longer), (240, 2));
}

/// Copies the files of a folder into `m` of a root, with a table of their names; gives the
/// names at home.
fn copied(from: &Path, root: &Path) -> Vec<String> {
    fs_err::create_dir(root.join("m")).unwrap();
    let mut table = String::from("id,file\n");
    let mut names = Vec::new();
    for entry in walkdir::WalkDir::new(from).sort_by_file_name() {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let n = names.len();
            let extension = entry.path().extension().and_then(|e| e.to_str()).unwrap_or("none");
            let name = format!("{n}.{}", extension.replace([',', '"', ';'], "_"));
            fs_err::copy(entry.path(), root.join("m").join(&name)).unwrap();
            table.push_str(&format!("{n},{name}\n"));
            names.push(entry.path().strip_prefix(from).unwrap().display().to_string());
        }
    }
    write(root, "items.csv", table.as_bytes());
    write(root, "r.csv", b"user,item\nu,0\n");
    names
}

fn all_modalities(root: &Path, check: &str) -> Ingested {
    let mut text = String::from(
        "tables.interactions = [{ path = \"r.csv\", columns = {} }]\n\
         tables.items = { path = \"items.csv\", columns = { attributes = [\"file\"] } }\n",
    );
    for modality in ["image", "audio", "video"] {
        text += &format!(
            "[[media]]\nmodality = \"{modality}\"\nfolder = \"m\"\ncolumn = \"file\"\n\
             check = \"{check}\"\n"
        );
    }
    run(root, &text)
}

fn ok(report: &IngestReport) -> Vec<u64> {
    report.media.iter().map(|m| m.ok).collect()
}

#[test]
fn hostile_files_are_counted_and_stop_nothing() {
    let Some(hostile) = shared("hostile-media") else { return };
    let dir = folder(&[]);
    let names = copied(&hostile, dir.path());
    let done = ["probe", "header", "full"].map(|check| all_modalities(dir.path(), check));
    for done in &done {
        for media in &done.report.media {
            assert_eq!(media.ok + media.error, names.len() as u64);
            assert!(media.ok > 0 && media.error > 0, "{media:?}");
            assert_eq!(media.errors.values().sum::<u64>(), media.error);
        }
        // A look at the header cannot find less than another look at the header.
        assert_eq!(done.dataset.media.len(), 3 * names.len());
        for file in &done.dataset.media {
            let error = file.error.as_deref();
            assert_eq!(file.status == MediaStatus::Error, error.is_some());
            assert!(error.is_none_or(|e| MediaCode::of(e).is_some()), "{error:?}");
            assert!(file.seconds.is_none_or(f32::is_finite), "{file:?}");
        }
        assert!(done.report.count(FaultCode::MediaExtension) > 0);
    }
    let [probe, header, full] = done.map(|d| ok(&d.report));
    for i in 0..3 {
        assert!(probe[i] >= header[i] && header[i] >= full[i], "{probe:?} {header:?} {full:?}");
    }
}

#[test]
fn known_files_among_the_hostile_ones_say_what_they_are() {
    let Some(hostile) = shared("hostile-media") else { return };
    let dir = folder(&[]);
    let names = copied(&hostile, dir.path());
    let done = all_modalities(dir.path(), "probe");
    let file = |modality: usize, name: &str| -> &MediaFile {
        let at = names.iter().position(|n| n == name).unwrap_or_else(|| panic!("{name}"));
        &done.dataset.media[modality * names.len() + at]
    };
    for (modality, name, what) in KNOWN {
        let file = file(modality, name);
        let found = file.error.as_deref().unwrap_or("ok");
        assert!(found.contains(what), "{name}: {found}");
        assert!(found.starts_with("unsupported: "), "{name}: {found}");
    }
}

/// Files of the test suites (1: sound, 2: film, 0: picture) and what their headers say; the
/// lengths of the first ones are in their names or in the tests of their suites.
const KNOWN: [(usize, &str, &str); 18] = [
    (
        1,
        "audio/mutagen/tests/data/8k-1ch-3.5s-silence.aif",
        "AIFF sound (8000 Hz, 1 channels, 3.5 s)",
    ),
    (1, "audio/mutagen/tests/data/11k-1ch-2s-silence.aif", "(11025 Hz, 1 channels, 2.0 s)"),
    (1, "audio/mutagen/tests/data/silence-44-s.mp3", "MP3 sound (44100 Hz, 2 channels, 3.7 s)"),
    (1, "audio/mutagen/tests/data/silence-44-s-mpeg25.mp3", "MP3 sound (12000 Hz"),
    (1, "audio/mutagen/tests/data/silence-44-s.flac", "FLAC sound (44100 Hz, 2 channels, 3.7 s)"),
    (1, "audio/mutagen/tests/data/silence-44-s.wv", "WavPack sound (44100 Hz, 2 channels, 3.7 s)"),
    (1, "audio/mutagen/tests/data/vbri.mp3", "222.2 s"),
    (1, "audio/mutagen/tests/data/empty.ogg", "Ogg Vorbis sound (44100 Hz, 2 channels, 3.7 s)"),
    (1, "audio/mutagen/tests/data/empty.oggflac", "Ogg FLAC sound (44100 Hz, 2 channels, 3.7 s)"),
    (1, "audio/mutagen/tests/data/empty.spx", "Ogg Speex sound (44100 Hz, 2 channels, 3.7 s)"),
    (1, "audio/mutagen/tests/data/no-tags.m4a", "MPEG-4 sound (44100 Hz, 2 channels, 3.7 s)"),
    (1, "mixed/file-type/fixture/fixture.opus", "Ogg Opus sound (48000 Hz, 1 channels"),
    (2, "audio/mutagen/tests/data/sample.oggtheora", "Theora film (300 × 200 pixels"),
    (2, "mixed/file-type/fixture/fixture-corrupt.mkv", "Matroska film (640 × 356 pixels"),
    (2, "mixed/file-type/fixture/fixture.ps.mpg", "(640 × 356 pixels)"),
    (2, "video/torchcodec/test/resources/nasa_13013.mp4", "(320 × 180 pixels, 325 frames"),
    (2, "video/decord/tests/test_data/video_90.mov", "QuickTime film (568 × 320 pixels"),
    (0, "video/mp4parse/mp4parse/tests/corrupt/imir-before-clap.avif", "AVIF picture (2048 × 858"),
];

//! Items that show the same: copies, pictures that were coded anew, texts that were set anew.

use std::io::Cursor;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use quintet_core::{ItemIdx, Modality};
use quintet_ingest::{DuplicateReport, IngestReport, Ingested, Likeness, duplicate_groups};

use crate::support::{folder, run, shared, write};

/// A picture of discs whose places and colours depend on `seed`.
fn picture(seed: u32) -> DynamicImage {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    let mut next = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    let mut discs = Vec::new();
    for _ in 0..12 {
        discs.push((next(240), next(180), 15 + next(50), [next(256), next(256), next(256)]));
    }
    DynamicImage::ImageRgb8(RgbImage::from_fn(240, 180, |x, y| {
        let inside = |d: &&(u32, u32, u32, [u32; 3])| {
            x.abs_diff(d.0).pow(2) + y.abs_diff(d.1).pow(2) < d.2 * d.2
        };
        let colour = discs.iter().rev().find(inside).map_or([30, 60, 90], |d| d.3);
        Rgb(colour.map(|c| c as u8))
    }))
}

fn jpeg(image: &DynamicImage, quality: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(image).unwrap();
    bytes
}

fn png(image: &DynamicImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn ingest(root: &Path, items: &str, modality: &str, check: &str) -> Ingested {
    write(root, "items.csv", items.as_bytes());
    write(root, "r.csv", b"user,item\nu,0\n");
    run(
        root,
        &format!(
            "tables.interactions = [{{ path = \"r.csv\", columns = {{}} }}]\n\
             tables.items = {{ path = \"items.csv\", columns = {{ text = [\"text\"] }} }}\n\
             [[media]]\nmodality = \"{modality}\"\nfolder = \"m\"\ncheck = \"{check}\"\n"
        ),
    )
}

fn ids(n: usize) -> String {
    (0..n).fold("id,text\n".to_owned(), |table, i| table + &format!("{i},\n"))
}

/// Groups as (likeness, items).
fn groups(done: &Ingested, modality: Modality) -> Vec<(Likeness, Vec<usize>)> {
    let of_modality = done.duplicates.iter().filter(|g| g.modality == modality);
    of_modality.map(|g| (g.likeness, g.items.iter().map(|i| i.index()).collect())).collect()
}

#[test]
fn a_picture_coded_anew_is_found_and_others_are_not() {
    let dir = folder(&[]);
    let first = picture(1);
    let (smaller, larger) = (
        first.resize_exact(120, 90, FilterType::Triangle),
        first.resize_exact(300, 225, FilterType::CatmullRom),
    );
    let mut files = vec![png(&first), jpeg(&first, 90), jpeg(&smaller, 60), jpeg(&larger, 40)];
    files.push(files[1].clone());
    files.extend((2..30).map(|seed| jpeg(&picture(seed), 85)));
    for (i, bytes) in files.iter().enumerate() {
        write(dir.path(), &format!("m/{i}"), bytes);
    }
    let done = ingest(dir.path(), &ids(files.len()), "image", "full");
    let expected = [(Likeness::Exact, vec![1, 4]), (Likeness::Near, vec![0, 1, 2, 3, 4])];
    assert_eq!(groups(&done, Modality::Image), expected);
    let joined = duplicate_groups(&done.duplicates);
    assert_eq!(joined, [[0, 1, 2, 3, 4].map(ItemIdx::new)]);
    // Without decoding there are exact copies only.
    let done = ingest(dir.path(), &ids(files.len()), "image", "header");
    assert_eq!(groups(&done, Modality::Image), expected[..1]);
}

#[test]
fn the_turn_that_a_camera_notes_is_made_before() {
    let dir = folder(&[]);
    let image = picture(5);
    let turned = jpeg(&image.rotate270(), 90);
    // A segment APP1 that says: turn by 90 degrees to the right (Exif, orientation 6).
    let mut exif = b"\xFF\xE1\0\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01".to_vec();
    exif.extend(b"\0\x06\0\0\0\0\0\0");
    let noted = [&turned[..2], &exif, &turned[2..]].concat();
    for (i, bytes) in [jpeg(&image, 90), noted, turned].iter().enumerate() {
        write(dir.path(), &format!("m/{i}"), bytes);
    }
    let done = ingest(dir.path(), &ids(3), "image", "full");
    assert_eq!(groups(&done, Modality::Image), [(Likeness::Near, vec![0, 1])]);
}

#[test]
fn copies_of_sounds_that_are_not_decoded_are_found_and_empty_files_are_none() {
    let dir = folder(&[("m/0.mp3", "ID3"), ("m/3.ogg", "OggS one"), ("m/5.ogg", "OggS one")]);
    write(dir.path(), "m/1.wav", b"");
    write(dir.path(), "m/2.wav", b"");
    let done = ingest(dir.path(), &ids(6), "audio", "full");
    assert_eq!(groups(&done, Modality::Audio), [(Likeness::Exact, vec![3, 5])]);
}

#[test]
fn texts_and_the_report_on_them() {
    let dir = folder(&[("m/x", "")]);
    let items = "id,text\n\
        0,\"A cowboy doll is jealous when a new spaceman figure arrives, and more.\"\n\
        1,\"A COWBOY doll is jealous - when a new spaceman figure arrives and more\"\n\
        2,\"Two kids find a magical board game and release a man trapped in it.\"\n\
        <b>,\"A cowboy doll is jealous when a new spaceman figure arrives, and more.\"\n";
    let done = ingest(dir.path(), items, "image", "full");
    let expected = [(Likeness::Exact, vec![0, 3]), (Likeness::Near, vec![0, 1, 3])];
    assert_eq!(groups(&done, Modality::Text), expected);
    let line = "duplicates: 1 text group of exact copies (2 items), \
                1 text group of near copies (3 items)";
    assert!(done.report.summary().iter().any(|l| l == line), "{:#?}", done.report.summary());
    let out = tempfile::tempdir().unwrap();
    done.report.write(out.path()).unwrap();
    let page = fs_err::read_to_string(out.path().join("report.html")).unwrap();
    assert!(page.contains("<td>near</td><td>0, 1, &lt;b&gt;</td><td class=\"n\">3</td>"));
    let json = fs_err::read_to_string(out.path().join("report.json")).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&json).unwrap();
    let again: IngestReport = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(again, done.report);
    // Reports of before have no such part.
    value.as_object_mut().unwrap().remove("duplicates");
    let before: IngestReport = serde_json::from_value(value).unwrap();
    assert_eq!(before.duplicates, DuplicateReport::default());
}

#[test]
fn real_posters_have_copies_and_nothing_that_only_looks_alike() {
    let Some(path) = shared("ml-100k-mm") else { return };
    let text = "movielens = { folder = \".\" }\n\
                [[media]]\nmodality = \"image\"\nfolder = \"posters\"\n";
    let done = run(&path, text);
    let found = groups(&done, Modality::Image);
    // The catalogue has 18 films twice, under two ids.
    assert_eq!(found.iter().filter(|g| g.0 == Likeness::Exact).count(), 18);
    assert_eq!(found.iter().filter(|g| g.0 == Likeness::Near).count(), 0);
}

#[test]
fn real_posters_are_found_when_they_are_coded_anew() {
    let Some(path) = shared("ml-100k-mm") else { return };
    let dir = folder(&[]);
    let mut n = 0;
    for entry in walkdir::WalkDir::new(path.join("posters")).sort_by_file_name() {
        let entry = entry.unwrap();
        if n < 200 && entry.file_type().is_file() {
            let poster = image::open(entry.path()).unwrap();
            let (width, height) = (poster.width() * 3 / 5, poster.height() * 3 / 5);
            let anew = poster.resize_exact(width, height, FilterType::Triangle);
            fs_err::create_dir_all(dir.path().join("m")).unwrap();
            fs_err::copy(entry.path(), dir.path().join(format!("m/{n}"))).unwrap();
            write(dir.path(), &format!("m/{}", n + 200), &jpeg(&anew, 40));
            n += 1;
        }
    }
    let done = ingest(dir.path(), &ids(400), "image", "full");
    let near = groups(&done, Modality::Image).into_iter().filter(|g| g.0 == Likeness::Near);
    let pairs = near.filter(|(_, items)| items.len() == 2 && items[0] + 200 == items[1]).count();
    println!("{pairs} of 200 posters are found at three fifths of their size and quality 40");
    assert!(pairs >= 190, "{pairs} of 200");
}

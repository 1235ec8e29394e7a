//! Where the file of an item is: patterns with parts of the id, and columns that name paths.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};
use quintet_data::MediaStatus;
use quintet_ingest::{FaultCode as C, IngestError, Ingested};

use crate::support::{fail, folder, places, run, shared, write};

fn picture() -> Vec<u8> {
    let image = RgbImage::from_fn(20, 20, |x, y| Rgb([x as u8 * 9, y as u8 * 9, 7]));
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A configuration with items of `items.csv` and one folder of pictures.
fn text(media: &str) -> String {
    format!(
        r#"
        tables.interactions = [{{ path = "r.csv", columns = {{}} }}]
        tables.items = {{ path = "items.csv", columns = {{}} }}
        [[join]]
        path = "posters.csv"
        id = "movie"
        attributes = ["poster"]
        [[media]]
        modality = "image"
        folder = "m"
        {media}
        "#
    )
}

fn statuses(done: &Ingested) -> Vec<MediaStatus> {
    done.dataset.media.iter().map(|m| m.status).collect()
}

#[test]
fn a_pattern_with_the_start_of_the_id() {
    let dir = folder(&[
        ("r.csv", "user,item\nu,1234\n"),
        ("items.csv", "id\n1234\n7\n99\n"),
        ("posters.csv", "movie,poster\n7,x\n"),
    ]);
    for name in ["m/12/1234.png", "m/7/7.png", "m/98/99.png"] {
        write(dir.path(), name, &picture());
    }
    let done = run(dir.path(), &text("pattern = \"{id:2}/{id}.png\""));
    assert_eq!(statuses(&done), [MediaStatus::Ok, MediaStatus::Ok, MediaStatus::Missing]);
    assert_eq!(places(&done.report), [(C::MediaUnmatched, "m/98/99.png", None)]);
}

#[test]
fn a_column_names_the_files() {
    let dir = folder(&[
        ("r.csv", "user,item\nu,1\n"),
        ("items.csv", "id\n1\n2\n3\n4\n5\n6\n7\n8\n"),
        (
            "posters.csv",
            "movie,poster\n1,sub/a.png\n2,a b.png;sub/a.png;x.png\n3,none.png\n4,../secret.png\n\
             5,/etc/passwd\n6,\"[\"\"sub/a.png\"\", \"\"b.png\"\"]\"\n8,sub\n",
        ),
        ("m/unnamed.txt", "nobody asks for it"),
        ("secret.png", "secret"),
    ]);
    write(dir.path(), "m/sub/a.png", &picture());
    write(dir.path(), "m/a b.png", &picture());
    let done = run(dir.path(), &text("column = \"poster\""));
    use MediaStatus::{Error, Missing, Ok};
    assert_eq!(statuses(&done), [Ok, Ok, Missing, Error, Error, Ok, Missing, Error]);
    let errors: Vec<_> = done.dataset.media.iter().filter_map(|m| m.error.as_deref()).collect();
    assert!(errors[..2].iter().all(|e| e.starts_with("outside: ")), "{errors:?}");
    assert!(errors[2].starts_with("wrong_kind: "), "{errors:?}");
    let report = &done.report.media[0];
    assert_eq!((report.found, report.ok, report.missing), (9, 3, 2));
    assert_eq!((report.error, report.duplicate, report.unmatched), (3, 3, 0));
    let count = |code| done.report.count(code);
    assert_eq!((count(C::MediaAbsent), count(C::MediaFurther)), (1, 2));
    let absent = done.report.faults.iter().find(|f| f.code == C::MediaAbsent).unwrap();
    assert_eq!(
        absent.to_string(),
        "m/none.png, item \"3\": media_absent: expected the file that \"poster\" names, \
         found nothing"
    );
}

#[cfg(unix)]
#[test]
fn a_named_link_out_of_the_root_is_not_followed() {
    let outside = folder(&[("secret.png", "secret")]);
    let dir = folder(&[
        ("r.csv", "user,item\nu,1\n"),
        ("items.csv", "id\n1\n"),
        ("posters.csv", "movie,poster\n1,link.png\n"),
        ("m/x", ""),
    ]);
    let link = dir.path().join("m/link.png");
    std::os::unix::fs::symlink(outside.path().join("secret.png"), link).unwrap();
    let done = run(dir.path(), &text("column = \"poster\""));
    let error = done.dataset.media[0].error.as_deref().unwrap();
    assert!(error.starts_with("outside: "), "{error}");
    assert_eq!(done.dataset.media[0].blake3, "");
}

#[test]
fn a_column_must_be_kept_and_there_is_one_way_only() {
    let dir = folder(&[]);
    for (media, key) in [
        ("column = \"cover\"", "media.column"),
        ("column = \"poster\"\npattern = \"{id}.png\"", "media"),
        ("pattern = \"{name}.png\"", "media.pattern"),
        ("pattern = \"{id:2}.png\"", "media.pattern"),
    ] {
        let error = fail(dir.path(), &text(media));
        let IngestError::Config { key: found, .. } = &error else { panic!("{error}") };
        assert_eq!(found, key, "{error}");
    }
}

#[test]
fn a_real_map_of_posters_that_are_not_there() {
    let Some(path) = shared("ml-latest-small") else { return };
    let text = r#"
        movielens = { folder = "." }
        [[join]]
        path = "poster_map.csv"
        id = "movieId"
        attributes = ["poster"]
        [[media]]
        modality = "image"
        folder = "."
        column = "poster"
    "#;
    let done = run(&path, text);
    let named = done.dataset.items.iter().filter(|i| i.attributes.contains_key("poster")).count();
    let report = &done.report.media[0];
    assert!(named > 9_000, "{named}");
    assert_eq!((report.missing, done.report.count(C::MediaAbsent)), (9_742, named));
}

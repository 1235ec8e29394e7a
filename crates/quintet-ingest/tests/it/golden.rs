//! The real datasets, where they are at hand: their counts are those that their sources state.

use quintet_data::{Dataset, Part};
use quintet_ingest::{FaultCode, Ingested, Severity, mmrec_features};

use crate::support::{run, shared};

fn counts(d: &Dataset) -> (usize, usize, usize) {
    (d.users.len(), d.items.len(), d.events.len())
}

fn parts(d: &Dataset) -> [usize; 3] {
    Part::ALL.map(|part| d.events.iter().filter(|e| e.part == Some(part)).count())
}

fn sound(done: &Ingested) {
    assert_eq!(done.report.total(Severity::Error), 0, "{:#?}", done.report.summary());
}

#[test]
fn movielens() {
    if let Some(path) = shared("ml-100k-mm") {
        let done = run(&path, "movielens = { folder = \".\" }");
        assert_eq!(counts(&done.dataset), (943, 1682, 100_000));
        sound(&done);
    }
    if let Some(path) = shared("ml-latest-small") {
        let done = run(&path, "movielens = { folder = \".\" }");
        assert_eq!(counts(&done.dataset), (610, 9742, 100_836));
        let mut rated: Vec<u32> = done.dataset.events.iter().map(|e| e.item.0).collect();
        rated.sort_unstable();
        rated.dedup();
        assert_eq!(rated.len(), 9724);
    }
}

#[test]
fn amazon_baby_of_mmrec() {
    let Some(path) = shared("amazon-mmrec/baby") else { return };
    let done = run(&path, "mmrec = { folder = \".\" }");
    let d = &done.dataset;
    assert_eq!(counts(d), (19_445, 7050, 160_792));
    assert_eq!(parts(d), [118_551, 21_682, 20_559]);
    assert!(done.report.is_clean(), "{:#?}", done.report.summary());
    assert_eq!(d.items[0].attributes["original_id"], "097293751X");
    let named = run(&path, "mmrec = { folder = \".\", original_ids = true }").dataset;
    assert_eq!(
        (named.items[1].id.as_str(), named.users[0].id.as_str()),
        ("9729375011", "A1HK2FQW6KXQB2")
    );
    assert_eq!(parts(&named), parts(d));
}

#[test]
fn tiktok() {
    let Some(path) = shared("tiktok") else { return };
    let done = run(&path, "mmrec = { folder = \".\" }");
    assert_eq!(counts(&done.dataset), (9308, 6710, 68_722));
    assert_eq!(parts(&done.dataset), [59_541, 3051, 6130]);
    assert_eq!(done.report.count(FaultCode::FileNotRead), 2);
    let matrices = mmrec_features(&path);
    assert_eq!(matrices.len(), 2);
    for (_, matrix) in matrices {
        let matrix = quintet_data::read_npy_matrix(&matrix).unwrap();
        assert_eq!((matrix.rows(), matrix.cols()), (6710, 128));
    }
}

/// Check-ins that came, and users, places and events that are kept.
fn checkins(folder: &str) -> Option<(u64, (usize, usize, usize), usize)> {
    let path = shared(&format!("poi/lbsn/{folder}"))?;
    let done = run(&path, "duplicates = \"keep_all\"\ncheckins = { folder = \".\" }");
    sound(&done);
    let rows = done.report.files.iter().find(|f| f.role == "interactions").unwrap().rows_in;
    Some((rows, counts(&done.dataset), done.report.count(FaultCode::DuplicateRow)))
}

#[test]
fn places() {
    // SOURCE.md counts line ends, and the last line of some files has none; it has 5,000 users for
    // Foursquare_3, of whom 31 have no check-in.
    for (folder, rows, users, items, same) in [
        ("Foursquare/Foursquare_3", 185_984, 4969, 8000, 113),
        ("Gowalla/Gowalla_3", 157_251, 1000, 24_209, 70),
        ("Gowalla/Gowalla_2", 19_855, 100, 6436, 7),
        ("Yelp/Yelp_3", 35_571, 1000, 5255, 12),
    ] {
        let Some((rows_in, found, merged)) = checkins(folder) else { return };
        assert_eq!((rows_in, found.0, found.1), (rows, users, items), "{folder}");
        // A check-in of one user at one place in one second counts once.
        assert_eq!((merged, found.2 + same), (same, rows as usize), "{folder}");
    }
}

#[test]
fn foursquare_of_new_york() {
    let Some(path) = shared("poi/mat-sum-nyc") else { return };
    let text = "duplicates = \"keep_all\"\n[checkins]\nfile = \"foursquare_nyc.csv\"\ncolumns = { user \
                = \"label\", place = \"poi\", lat = \"lat\", lon = \"lon\", category = \"category\" }";
    let done = run(&path, text);
    sound(&done);
    assert_eq!(counts(&done.dataset), (193, 11_081, 44_809));
    // 740 places have other coordinates in some rows; those of the first row stay.
    assert!(done.report.count(FaultCode::OtherCoordinate) >= 740);
    assert!(done.dataset.items.iter().all(|i| i.attributes.contains_key("category")));
}

//! MovieLens: the real folders where they are at hand, and a small one in the form of 1M.

use quintet_core::Modality;
use quintet_data::MediaStatus;

use crate::support::{folder, run, shared, write};

#[test]
fn the_real_100k_with_plots_and_posters() {
    let Some(path) = shared("ml-100k-mm") else { return };
    let text = r#"
        name = "ml-100k"
        movielens = { folder = "." }
        [[join]]
        path = "omdb.jsonl"
        id = "movieId"
        text = ["plot"]
        [[media]]
        modality = "image"
        folder = "posters"
    "#;
    let done = run(&path, text);
    let d = &done.dataset;
    assert_eq!((d.users.len(), d.items.len(), d.events.len()), (943, 1682, 100_000));
    assert!(done.report.is_clean(), "{:#?}", done.report.summary());
    let toy = &d.items[0];
    assert_eq!((toy.id.as_str(), toy.title.as_str()), ("1", "Toy Story (1995)"));
    let text = toy.text.as_deref().unwrap();
    assert!(text.starts_with("Toy Story (1995)\nAnimation, Children's, Comedy\nA cowboy doll"));
    assert_eq!(d.users[0].attributes["occupation"], "technician");
    let first = d.events.get(0);
    assert_eq!(d.users[first.user.index()].id, "196");
    assert_eq!((first.value, first.timestamp), (3.0, Some(881_250_949)));
    let posters = &done.report.media[0];
    assert_eq!((posters.ok, posters.missing, posters.error), (1588, 94, 0));
    let poster = &d.media[0];
    assert_eq!((poster.modality, poster.status), (Modality::Image, MediaStatus::Ok));
    assert!(poster.width.unwrap() > 50 && std::path::Path::new(&poster.path).is_absolute());
}

#[test]
fn the_real_latest_small() {
    let Some(path) = shared("ml-latest-small") else { return };
    let done = run(path.parent().unwrap(), "movielens = { folder = \"ml-latest-small\" }");
    let d = &done.dataset;
    assert_eq!((d.users.len(), d.items.len(), d.events.len()), (610, 9742, 100_836));
    assert!(done.report.is_clean(), "{:#?}", done.report.summary());
    let comma = d.items.iter().find(|i| i.id == "11").unwrap();
    assert_eq!(comma.title, "American President, The (1995)");
}

#[test]
fn the_form_of_1m() {
    let dir = folder(&[
        ("ml/users.dat", "1::F::1::10::48067\n2::M::56::16::70072\n"),
        ("ml/ratings.dat", "1::2::5::978300760\n2::2::3::978302109\n"),
    ]);
    write(
        dir.path(),
        "ml/movies.dat",
        b"1::Toy Story (1995)::Animation|Comedy\n2::Mis\xE9rables, Les (1995)::Drama|Musical\n",
    );
    let done = run(dir.path(), "movielens = { folder = \"ml\" }");
    let d = &done.dataset;
    assert!(done.report.is_clean(), "{:?}", done.report.faults);
    assert_eq!(d.items[1].text.as_deref(), Some("Misérables, Les (1995)\nDrama, Musical"));
    assert_eq!(d.users[1].attributes["gender"], "M");
    assert_eq!((d.events.get(1).item.0, d.events.get(1).event), (1, "rating"));
    assert_eq!(done.report.files[0].file, "ml/movies.dat");
}

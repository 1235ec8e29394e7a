//! What ends a run: one clear line that names the file, what was expected and what was found.

use quintet_ingest::{IngestConfig, IngestError};

use crate::support::{fail, folder, run, write};

const R: &str = r#"
    [[tables.interactions]]
    path = "r.csv"
    columns = { user = "u", item = "i", value = "rating" }
"#;

#[test]
fn a_missing_column_names_the_file_the_column_and_those_there_are() {
    let dir = folder(&[("r.csv", "u,i,stars\na,x,1\n")]);
    let text = fail(dir.path(), R).to_string();
    assert_eq!(text, "r.csv: expected a column \"rating\", found the columns u, i, stars");
}

#[test]
fn an_empty_file_is_named() {
    for (text, found) in [("", "nothing"), ("\n\n", "nothing"), ("u,i,rating\n", "no row")] {
        let dir = folder(&[("r.csv", text)]);
        let line = fail(dir.path(), R).to_string();
        let expected = format!("r.csv is empty: expected a header line and rows, found {found}");
        assert_eq!(line, expected);
    }
}

#[test]
fn a_missing_file_and_a_path_out_of_the_root_are_named() {
    let dir = folder(&[]);
    let text = fail(dir.path(), R).to_string();
    assert!(text.starts_with("r.csv: "), "{text}");
    let text = fail(dir.path(), &R.replace("r.csv", "../r.csv")).to_string();
    assert!(text.contains("\"../r.csv\"") && text.contains("inside the data root"), "{text}");
}

#[test]
fn when_no_row_is_left_the_first_fault_is_told() {
    let dir = folder(&[("r.csv", "u,i,rating\na,x,one\nb,y,two\n")]);
    let text = fail(dir.path(), R).to_string();
    assert!(text.starts_with("no interaction is left: 2 rows were read and 2 reported"), "{text}");
    assert!(text.contains("r.csv, line 2") && text.contains("\"one\""), "{text}");
}

#[test]
fn strict_and_duplicates_error_stop_at_the_line() {
    let dir = folder(&[("r.csv", "u,i,rating\na,x,1\na,y,oops\na,x,2\n")]);
    let err = fail(dir.path(), &format!("strict = true\n{R}"));
    assert!(matches!(&err, IngestError::Strict(f) if f.line == Some(3)), "{err}");
    let err = fail(dir.path(), &format!("duplicates = \"error\"\n{R}"));
    assert!(matches!(&err, IngestError::Duplicate(f) if f.line == Some(4)), "{err}");
    assert_eq!(run(dir.path(), R).dataset.events.get(0).value, 2.0);
    let first = run(dir.path(), &format!("duplicates = \"keep_first\"\n{R}"));
    assert_eq!(first.dataset.events.get(0).value, 1.0);
    let all = run(dir.path(), &format!("duplicates = \"keep_all\"\n{R}"));
    assert_eq!(all.dataset.events.len(), 2);
}

#[test]
fn a_truncated_parquet_file_is_named() {
    let dir = folder(&[]);
    let whole = crate::formats::parquet_ratings();
    let spec = R.replace("r.csv", "r.parquet");
    for end in [0, 3, whole.len() / 2, whole.len() - 1] {
        write(dir.path(), "r.parquet", &whole[..end]);
        let err = fail(dir.path(), &spec);
        assert!(matches!(err, IngestError::Parquet { .. }), "{err}");
        assert!(err.to_string().starts_with("r.parquet: "), "{err}");
    }
}

#[test]
fn a_parquet_file_with_damaged_pages_is_named() {
    let dir = folder(&[]);
    let mut bytes = crate::formats::parquet_ratings();
    bytes[4..40].fill(0xFF);
    write(dir.path(), "r.parquet", &bytes);
    let spec = "[[tables.interactions]]\npath = \"r.parquet\"\n\
                columns = { user = \"u\", item = \"i\" }";
    let err = fail(dir.path(), spec);
    assert!(err.to_string().starts_with("r.parquet: "), "{err}");
}

#[test]
fn a_typo_in_the_configuration_is_refused_with_the_known_keys() {
    for text in [
        "nmae = \"x\"",
        "movielens = { folder = \".\", edition = 1 }",
        "[[media]]\nmodality = \"image\"\nfolder = \"p\"\npatern = \"{id}.jpg\"",
        "[[tables.interactions]]\npath = \"r.csv\"\ncolumns = { usr = \"u\" }",
        "[[tables.interactions]]\npath = \"r.csv\"\ncolumns = {}\ndelim = \";\"",
    ] {
        let err = toml::from_str::<IngestConfig>(text).unwrap_err().to_string();
        assert!(err.contains("unknown field") && err.contains("expected"), "{text}: {err}");
    }
    let err = toml::from_str::<IngestConfig>("duplicates = \"last\"").unwrap_err().to_string();
    assert!(err.contains("keep_last"), "{err}");
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused() {
    let dir = folder(&[("r.csv", "u,i,rating\na,x,1\n")]);
    let media = |rest: &str| format!("{R}\n[[media]]\nfolder = \".\"\n{rest}");
    for (text, key) in [
        (String::new(), "source"),
        (format!("movielens = {{ folder = \".\" }}\n{R}"), "source"),
        (media("modality = \"place\""), "media.modality"),
        (media("modality = \"image\"\npattern = \"x.jpg\""), "media.pattern"),
        (media("modality = \"image\"\npattern = \"../{id}.jpg\""), "media.pattern"),
        (format!("{R}\n[[join]]\npath = \"j.csv\"\nid = \"i\""), "join"),
    ] {
        let err = fail(dir.path(), &text).to_string();
        assert!(err.starts_with("[ingest] ") && err.contains(key), "{err}");
    }
    let err = fail(dir.path(), "movielens = { folder = \".\" }").to_string();
    assert!(err.contains("u.data") && err.contains("found r.csv"), "{err}");
}

#[test]
fn a_configuration_survives_being_written() {
    let text =
        format!("{R}\n[[media]]\nmodality = \"video\"\nfolder = \"clips\"\ncheck = \"header\"");
    let config: IngestConfig = toml::from_str(&text).unwrap();
    let back: IngestConfig = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
    assert_eq!(back, config);
}

#[test]
fn the_configuration_of_the_readme_is_one() {
    let readme = include_str!("../../README.md");
    let text = readme.split("```toml").nth(1).unwrap().split("```").next().unwrap();
    let file: toml::Table = toml::from_str(text).unwrap();
    let config: IngestConfig = file["ingest"].clone().try_into().unwrap();
    assert_eq!(config.validate().map_err(|e| e.to_string()), Ok(()));
    assert_eq!((config.join.len(), config.media.len()), (1, 1));
}

//! The dataset directory: five files, each with its hash in `dataset.toml`.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use quintet_core::{CoreError, IdMap};
use serde::{Deserialize, Serialize};

use crate::dataset_tables::{
    read_events, read_items, read_media, read_users, write_events, write_items, write_media,
    write_users,
};
use crate::{DataError, Dataset, replace_dir_atomic};

/// The file that makes a directory a dataset.
const DATASET_TOML: &str = "dataset.toml";
const USERS: &str = "users.parquet";
const ITEMS: &str = "items.parquet";
const INTERACTIONS: &str = "interactions.parquet";
const MEDIA: &str = "media.parquet";
const TABLES: [&str; 4] = [USERS, ITEMS, INTERACTIONS, MEDIA];

/// Changes when a reader of the old layout would misread the new one.
const FORMAT: u32 = 2;

/// Largest `dataset.toml` that is read, bytes.
const TOML_LIMIT: u64 = 16 << 20;

/// `dataset.toml`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: u32,
    name: String,
    content_blake3: String,
    counts: Counts,
    /// BLAKE3 of each table file.
    files: BTreeMap<String, String>,
    source: BTreeMap<String, String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counts {
    users: usize,
    items: usize,
    events: usize,
    media: usize,
}

impl Counts {
    fn of(data: &Dataset) -> Self {
        Self {
            users: data.users.len(),
            items: data.items.len(),
            events: data.events.len(),
            media: data.media.len(),
        }
    }
}

/// See [`Dataset::write`].
pub(crate) fn write(data: &Dataset, dir: &Path) -> Result<(), DataError> {
    data.validate()?;
    replace_dir_atomic(dir, DATASET_TOML, |temp| {
        write_users(data, &temp.join(USERS))?;
        write_items(data, &temp.join(ITEMS))?;
        write_events(data, &temp.join(INTERACTIONS))?;
        write_media(data, &temp.join(MEDIA))?;
        let mut files = BTreeMap::new();
        for name in TABLES {
            files.insert(name.to_owned(), hash_file(&temp.join(name))?);
        }
        let header = Header {
            format: FORMAT,
            name: data.name.clone(),
            content_blake3: data.content_hash(),
            counts: Counts::of(data),
            files,
            source: data.source.clone(),
        };
        let path = temp.join(DATASET_TOML);
        let text = toml::to_string(&header).map_err(|e| DataError::Content {
            path: path.clone(),
            expected: "a name and a source that TOML can hold".into(),
            found: e.to_string(),
        })?;
        Ok(fs_err::write(path, text)?)
    })
}

/// See [`Dataset::read`].
pub(crate) fn read(dir: &Path) -> Result<Dataset, DataError> {
    let header = read_header(&dir.join(DATASET_TOML))?;
    for name in TABLES {
        let path = dir.join(name);
        let found = hash_file(&path)?;
        check_hash(&path, header.files.get(name).map_or("", String::as_str), &found)?;
    }
    let users = read_users(&dir.join(USERS))?;
    let items = read_items(&dir.join(ITEMS))?;
    let mut data = Dataset { name: header.name, users, items, ..Dataset::default() };
    data.source = header.source;
    let item_ids = ids_of(&dir.join(ITEMS), data.item_ids())?;
    let user_ids = ids_of(&dir.join(USERS), data.user_ids())?;
    let n_events = header.counts.events;
    data.events = read_events(&dir.join(INTERACTIONS), &user_ids, &item_ids, n_events)?;
    data.media = read_media(&dir.join(MEDIA), &item_ids)?;
    let path = dir.join(DATASET_TOML);
    let counts = Counts::of(&data);
    if counts != header.counts {
        return Err(DataError::Content {
            path,
            expected: format!("{:?}", header.counts),
            found: format!("{counts:?}"),
        });
    }
    check_hash(&path, &header.content_blake3, &data.content_hash())?;
    data.validate()?;
    Ok(data)
}

/// BLAKE3 of a file, in hex.
pub(crate) fn hash_file(path: &Path) -> Result<String, DataError> {
    let mut hasher = blake3::Hasher::new();
    let mut file = fs_err::File::open(path)?;
    let mut chunk = vec![0; 1 << 17];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hasher.finalize().to_hex().to_string()),
            n => hasher.update(&chunk[..n]),
        };
    }
}

/// Says which file is not the one that was written.
pub(crate) fn check_hash(path: &Path, expected: &str, found: &str) -> Result<(), DataError> {
    if expected == found {
        return Ok(());
    }
    Err(DataError::Content {
        path: path.to_owned(),
        expected: format!("content with BLAKE3 {expected:?}, as recorded when it was written"),
        found: format!("{found:?}"),
    })
}

/// Reads a small text file.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String, DataError> {
    let mut text = String::new();
    let file = fs_err::File::open(path)?;
    let found = file.metadata()?.len();
    if found > limit {
        return Err(DataError::Content {
            path: path.to_owned(),
            expected: format!("at most {limit} bytes"),
            found: format!("{found}"),
        });
    }
    file.take(limit).read_to_string(&mut text)?;
    Ok(text)
}

fn read_header(path: &Path) -> Result<Header, DataError> {
    let text = read_text(path, TOML_LIMIT)?;
    let toml_error = |source: toml::de::Error| {
        let before = source.span().and_then(|span| text.get(..span.start));
        let line = before.map(|before| before.matches('\n').count() + 1);
        DataError::Toml { path: path.to_owned(), line, source: Box::new(source) }
    };
    let table: toml::Table = toml::from_str(&text).map_err(toml_error)?;
    // The format comes first: another format may well have other keys.
    match table.get("format").and_then(toml::Value::as_integer) {
        Some(format) if format == i64::from(FORMAT) => table.try_into().map_err(toml_error),
        found => Err(DataError::Content {
            path: path.to_owned(),
            expected: format!("a dataset of format {FORMAT}"),
            found: found.map_or("no format".into(), |f| format!("format {f}")),
        }),
    }
}

/// Adds the file to an error about ids.
fn ids_of(path: &Path, ids: Result<IdMap, DataError>) -> Result<IdMap, DataError> {
    ids.map_err(|error| match error {
        DataError::Core(CoreError::DuplicateId { id, first, second }) => DataError::Cell {
            path: path.to_owned(),
            column: "id".into(),
            row: second,
            expected: "an id of its own".into(),
            found: format!("{id:?}, which row {first} has"),
        },
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, Events, Item, MediaFile, MediaStatus, Part, User};
    use proptest::collection::{btree_map, btree_set, vec};
    use proptest::option;
    use proptest::prelude::*;
    use quintet_core::{ItemIdx, Modality, UserIdx};

    fn attributes() -> impl Strategy<Value = BTreeMap<String, String>> {
        btree_map(".{0,4}", ".{0,8}", 0..3)
    }

    fn media(n_items: usize) -> impl Strategy<Value = MediaFile> {
        let size = (option::of(any::<u32>()), option::of(any::<u32>()));
        let time = (option::of(-9.0f32..9.0), option::of(any::<u32>()));
        let text = ("[ -~]{0,9}", "[0-9a-f]{0,4}", option::of(".{0,5}"));
        let kind = (0..n_items as u32, 0usize..5, 0usize..3);
        (kind, text, any::<u64>(), size, time).prop_map(|(kind, text, bytes, size, time)| {
            MediaFile {
                item: ItemIdx(kind.0),
                modality: Modality::ALL[kind.1],
                path: text.0,
                blake3: text.1,
                bytes,
                width: size.0,
                height: size.1,
                seconds: time.0,
                frames: time.1,
                status: [MediaStatus::Ok, MediaStatus::Missing, MediaStatus::Error][kind.2],
                error: text.2,
            }
        })
    }

    type Row = ((u32, u32), String, f32, Option<i64>, Option<usize>);

    fn row(n_users: usize, n_items: usize) -> impl Strategy<Value = Row> {
        let pair = (0..n_users as u32, 0..n_items as u32);
        let time = option::of(i64::MIN + 1..=i64::MAX);
        (pair, "[a-z]{0,5}", -1e9f32..1e9, time, option::of(0usize..3))
    }

    fn events(rows: &[Row]) -> Events {
        let event = |r: &'_ Row| (UserIdx(r.0.0), ItemIdx(r.0.1), r.2, r.3, r.4);
        rows.iter()
            .map(|r| {
                let (user, item, value, timestamp, part) = event(r);
                let part = part.map(|p| Part::ALL[p]);
                Event { user, item, event: &r.1, value, timestamp, part }
            })
            .collect()
    }

    fn dataset() -> impl Strategy<Value = Dataset> {
        let user = (".{0,5}", attributes());
        let item = (".{0,5}", ".{0,9}", option::of(".{0,20}"), attributes());
        let people = btree_set(user, 1..6);
        let things = btree_set(item, 1..8);
        (people, things, attributes(), ".{0,6}").prop_flat_map(|(people, things, source, name)| {
            let users: Vec<User> = (0..)
                .zip(people)
                .map(|(n, (id, attributes))| User { id: format!("{id}{n}"), attributes })
                .collect();
            let items: Vec<Item> = (0..)
                .zip(things)
                .map(|(n, (id, title, text, attributes))| Item {
                    id: format!("{id}{n}"),
                    title,
                    text,
                    attributes,
                })
                .collect();
            let rows = vec(row(users.len(), items.len()), 0..40);
            let media = vec(media(items.len()), 0..6);
            (rows, media).prop_map(move |(rows, media)| Dataset {
                name: name.clone(),
                users: users.clone(),
                items: items.clone(),
                events: events(&rows),
                media,
                source: source.clone(),
            })
        })
    }

    fn small() -> Dataset {
        let item = |id: &str| Item { id: id.into(), title: id.to_uppercase(), ..Item::default() };
        let event = Event {
            user: UserIdx(0),
            item: ItemIdx(1),
            event: "click",
            value: 1.0,
            timestamp: None,
            part: None,
        };
        Dataset {
            name: "small".into(),
            users: vec![User { id: "u".into(), ..User::default() }],
            items: vec![item("a"), item("b")],
            events: [event].into_iter().collect(),
            ..Dataset::default()
        }
    }

    /// The first event, of another user and item.
    fn moved(data: &Dataset, user: UserIdx, item: ItemIdx) -> Events {
        [Event { user, item, ..data.events.get(0) }].into_iter().collect()
    }

    /// Puts the hashes of the files as they are now into `dataset.toml`.
    fn rehash(dir: &Path) {
        let path = dir.join(DATASET_TOML);
        let mut table: toml::Table =
            toml::from_str(&fs_err::read_to_string(&path).unwrap()).unwrap();
        for name in TABLES {
            let hash = hash_file(&dir.join(name)).unwrap();
            table["files"].as_table_mut().unwrap().insert(name.into(), hash.into());
        }
        fs_err::write(path, toml::to_string(&table).unwrap()).unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_dataset_comes_back_and_its_bytes_are_fixed(data in dataset()) {
            let root = tempfile::tempdir().unwrap();
            let (one, two) = (root.path().join("one"), root.path().join("two"));
            data.write(&one).unwrap();
            let back = Dataset::read(&one).unwrap();
            prop_assert_eq!(&back, &data);
            prop_assert_eq!(back.content_hash(), data.content_hash());
            back.write(&two).unwrap();
            for name in TABLES.into_iter().chain([DATASET_TOML]) {
                prop_assert_eq!(
                    fs_err::read(one.join(name)).unwrap(),
                    fs_err::read(two.join(name)).unwrap()
                );
            }
        }
    }

    #[test]
    fn more_rows_than_a_batch_come_back() {
        let mut data = small();
        let rows = crate::parquet_io::BATCH_ROWS as i64 * 2 + 3;
        data.events = (0..rows)
            .map(|t| Event {
                timestamp: Some(t),
                item: ItemIdx((t % 2) as u32),
                ..data.events.get(0)
            })
            .collect();
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("d");
        data.write(&dir).unwrap();
        assert_eq!(Dataset::read(&dir).unwrap(), data);
    }

    #[test]
    fn the_hash_sees_content_and_not_labels() {
        let data = small();
        let mut other = data.clone();
        other.name = "renamed".into();
        other.source.insert("from".into(), "elsewhere".into());
        assert_eq!(other.content_hash(), data.content_hash());
        let mut moved = data.clone();
        // "ab" + "" must not look like "a" + "b".
        moved.items[0].title = "AB".into();
        moved.items[0].id = String::new();
        let mut joined = data.clone();
        joined.items[0].title = "B".into();
        joined.items[0].id = "A".into();
        assert_ne!(moved.content_hash(), joined.content_hash());
        let mut timed = data.clone();
        timed.events.set_timestamp(0, Some(0));
        assert_ne!(timed.content_hash(), data.content_hash());
    }

    #[test]
    fn a_changed_cut_or_missing_file_is_named() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("d");
        small().write(&dir).unwrap();
        for name in TABLES {
            let whole = fs_err::read(dir.join(name)).unwrap();
            fs_err::write(dir.join(name), &whole[..whole.len() - 1]).unwrap();
            let err = Dataset::read(&dir).unwrap_err().to_string();
            assert!(err.contains(name) && err.contains("BLAKE3"), "{err}");
            fs_err::remove_file(dir.join(name)).unwrap();
            let err = Dataset::read(&dir).unwrap_err().to_string();
            assert!(err.contains(name), "{err}");
            fs_err::write(dir.join(name), whole).unwrap();
        }
        assert_eq!(Dataset::read(&dir).unwrap(), small());
    }

    #[test]
    fn broken_headers_are_named() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("d");
        assert!(Dataset::read(&dir).unwrap_err().to_string().contains(DATASET_TOML));
        small().write(&dir).unwrap();
        let path = dir.join(DATASET_TOML);
        let good = fs_err::read_to_string(&path).unwrap();
        let err = |text: String| {
            fs_err::write(&path, text).unwrap();
            Dataset::read(&dir).unwrap_err().to_string()
        };
        let text = err(good.replace("format = 2", "format = 3"));
        assert!(
            text.contains("dataset.toml: expected a dataset of format 2, found format 3"),
            "{text}"
        );
        let text = err(good.replace("name = ", "name == "));
        assert!(text.contains("dataset.toml, line 2: "), "{text}");
        assert!(err(good.replace("name = ", "nmae = ")).contains("nmae"));
        assert!(err(good.replace("items = 2", "items = 3")).contains("items: 3"));
        let hash = small().content_hash();
        assert!(err(good.replace(&hash, &hash.replace(&hash[..1], "x"))).contains("dataset.toml"));
    }

    #[test]
    fn unknown_ids_and_words_in_tables_are_named() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("d");
        let good = small();
        good.write(&dir).unwrap();
        // The events of a larger catalogue, over the tables of the small one.
        let mut larger = good.clone();
        larger.items.push(Item { id: "stray".into(), ..Item::default() });
        larger.events = moved(&larger, UserIdx(0), ItemIdx(2));
        write_events(&larger, &dir.join(INTERACTIONS)).unwrap();
        rehash(&dir);
        let err = Dataset::read(&dir).unwrap_err().to_string();
        let want = "interactions.parquet, column \"item\", row 0: \
                    expected the id of one of 2 items, found \"stray\"";
        assert!(err.contains(want), "{err}");
        // The users where items should be: the right format, the wrong columns.
        fs_err::copy(dir.join(USERS), dir.join(ITEMS)).unwrap();
        rehash(&dir);
        let err = Dataset::read(&dir).unwrap_err().to_string();
        assert!(
            err.contains("items.parquet: no column \"title\"; it has: id, attributes"),
            "{err}"
        );
        let mut twice = good;
        twice.items[1].id = "a".into();
        write_items(&twice, &dir.join(ITEMS)).unwrap();
        rehash(&dir);
        let err = Dataset::read(&dir).unwrap_err().to_string();
        assert!(err.contains("items.parquet, column \"id\", row 1"), "{err}");
    }

    #[test]
    fn an_invalid_dataset_is_not_written() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("d");
        let mut nan = small();
        nan.events.set_value(0, f32::NAN);
        assert!(nan.write(&dir).unwrap_err().to_string().contains("event 0: value is NaN"));
        let mut stray = small();
        stray.events = moved(&stray, UserIdx(1), ItemIdx(1));
        assert!(stray.write(&dir).unwrap_err().to_string().contains("user index 1"));
        let mut twice = small();
        twice.items[0].id = "b".into();
        assert!(twice.write(&dir).unwrap_err().to_string().contains("\"b\" occurs twice"));
        assert!(!dir.exists());
    }
}

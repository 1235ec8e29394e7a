//! Folders that other toolkits read: RecBole, LightGCN, MMRec.

use std::io::{self, Write};
use std::path::Path;

use quintet_data::{Dataset, Events, Part};

use super::sheet::Names;
use super::text::with_file;
use crate::IngestError;

/// The parts of LightGCN's folder.
const PARTS: [(&str, Part); 3] =
    [("train.txt", Part::Train), ("valid.txt", Part::Valid), ("test.txt", Part::Test)];

/// The dataset's name as that of a file.
fn stem(dataset: &Dataset) -> String {
    let plain = |c: char| if c.is_alphanumeric() || "-_".contains(c) { c } else { '_' };
    let name: String = dataset.name.chars().map(plain).take(60).collect();
    if name.is_empty() { "dataset".to_owned() } else { name }
}

/// Ids that a line of tabs or blanks cannot hold are an error; nothing stands for another id.
fn check_ids<'a>(
    what: &str,
    mut ids: impl Iterator<Item = &'a str>,
    no: &[char],
) -> Result<(), IngestError> {
    match ids.find(|id| id.contains(no)) {
        None => Ok(()),
        Some(id) => Err(IngestError::Export {
            what: what.to_owned(),
            expected: "ids without tabs and line ends",
            found: format!("{id:?}"),
        }),
    }
}

fn check_both(dataset: &Dataset) -> Result<(), IngestError> {
    let no = ['\t', '\n', '\r'];
    check_ids("items", dataset.items.iter().map(|i| i.id.as_str()), &no)?;
    check_ids("users", dataset.users.iter().map(|u| u.id.as_str()), &no)
}

/// Text on one line, without tabs.
fn flat(text: &str) -> String {
    text.replace(['\t', '\n', '\r'], " ")
}

pub(super) fn recbole(dataset: &Dataset, dir: &Path) -> Result<Vec<String>, IngestError> {
    check_both(dataset)?;
    let (stem, names) = (stem(dataset), Names::new(dataset));
    let files = ["inter", "item", "user"].map(|end| format!("{stem}.{end}"));
    let events = &dataset.events;
    let timed = events.n_without_time() < events.len();
    with_file(&dir.join(&files[0]), |out| {
        write!(out, "user_id:token\titem_id:token\trating:float\tevent:token")?;
        write!(out, "{}", if timed { "\ttimestamp:float" } else { "" })?;
        writeln!(out, "{}", if events.has_parts() { "\tx_label:token" } else { "" })?;
        for event in events.iter() {
            let user = &dataset.users[event.user.index()].id;
            let item = &dataset.items[event.item.index()].id;
            write!(out, "{user}\t{item}\t{}\t{}", event.value, flat(event.event))?;
            if timed {
                let time = event.timestamp.map(|t| t.to_string()).unwrap_or_default();
                write!(out, "\t{time}")?;
            }
            if events.has_parts() {
                let part = event.part.map(|part| (part as u8).to_string()).unwrap_or_default();
                write!(out, "\t{part}")?;
            }
            writeln!(out)?;
        }
        Ok(())
    })?;
    with_file(&dir.join(&files[1]), |out| {
        write!(out, "item_id:token\ttitle:token_seq\ttext:token_seq")?;
        let kept = |name: &&String| !["title", "text", "item_id"].contains(&name.as_str());
        let attributes: Vec<&String> = names.item_attributes.iter().filter(kept).collect();
        header(out, &attributes)?;
        for item in &dataset.items {
            let text = item.text.as_deref().unwrap_or_default();
            // The reader puts the title before the text.
            let rest =
                text.strip_prefix(&item.title).filter(|t| t.is_empty() || t.starts_with('\n'));
            let text = rest.unwrap_or(text).trim_start();
            write!(out, "{}\t{}\t{}", item.id, flat(&item.title), flat(text))?;
            row(out, &attributes, &item.attributes)?;
        }
        Ok(())
    })?;
    with_file(&dir.join(&files[2]), |out| {
        write!(out, "user_id:token")?;
        let attributes: Vec<&String> = names.user_attributes.iter().collect();
        header(out, &attributes)?;
        for user in &dataset.users {
            write!(out, "{}", user.id)?;
            row(out, &attributes, &user.attributes)?;
        }
        Ok(())
    })?;
    Ok(files.into())
}

fn header(out: &mut impl Write, names: &[&String]) -> io::Result<()> {
    for name in names {
        write!(out, "\t{}:token", flat(name))?;
    }
    writeln!(out)
}

fn row(
    out: &mut impl Write,
    names: &[&String],
    attributes: &std::collections::BTreeMap<String, String>,
) -> io::Result<()> {
    for name in names {
        write!(out, "\t{}", flat(attributes.get(*name).map_or("", String::as_str)))?;
    }
    writeln!(out)
}

pub(super) fn mmrec(dataset: &Dataset, dir: &Path) -> Result<Vec<String>, IngestError> {
    check_both(dataset)?;
    let inter = format!("{}.inter", stem(dataset));
    let events = &dataset.events;
    let timed = events.n_without_time() < events.len();
    let valued = events.values().iter().any(|value| *value != 1.0);
    with_file(&dir.join(&inter), |out| {
        write!(out, "userID\titemID")?;
        write!(out, "{}", if valued { "\trating" } else { "" })?;
        writeln!(out, "{}\tx_label", if timed { "\ttimestamp" } else { "" })?;
        for event in events.iter() {
            write!(out, "{}\t{}", event.user.0, event.item.0)?;
            if valued {
                write!(out, "\t{}", event.value)?;
            }
            if timed {
                let time = event.timestamp.map(|t| t.to_string()).unwrap_or_default();
                write!(out, "\t{time}")?;
            }
            writeln!(out, "\t{}", event.part.unwrap_or(Part::Train) as u8)?;
        }
        Ok(())
    })?;
    let maps = ["i_id_mapping.csv", "u_id_mapping.csv"].map(str::to_owned);
    let items = dataset.items.iter().map(|item| item.id.as_str());
    mapping(&dir.join(&maps[0]), "id\titemID", '\t', items)?;
    let users = dataset.users.iter().map(|user| user.id.as_str());
    mapping(&dir.join(&maps[1]), "user_id\tuserID", '\t', users)?;
    Ok([inter].into_iter().chain(maps).collect())
}

/// Writes the number of every id.
fn mapping<'a>(
    path: &Path,
    header: &str,
    between: char,
    ids: impl Iterator<Item = &'a str>,
) -> Result<(), IngestError> {
    with_file(path, |out| {
        writeln!(out, "{header}")?;
        ids.enumerate().try_for_each(|(number, id)| writeln!(out, "{id}{between}{number}"))
    })
}

pub(super) fn lightgcn(dataset: &Dataset, dir: &Path) -> Result<Vec<String>, IngestError> {
    check_both(dataset)?;
    let mut files = Vec::new();
    for (file, part) in PARTS {
        let rows = by_user(&dataset.events, dataset.users.len(), part);
        // Without parts all is train; a test file without a line could not be read.
        let empty = rows.iter().all(Vec::is_empty);
        if empty && part != Part::Train {
            continue;
        }
        with_file(&dir.join(file), |out| {
            for (user, items) in rows.iter().enumerate() {
                // Every user has a line in the training file, so that none is lost.
                if items.is_empty() && part != Part::Train {
                    continue;
                }
                write!(out, "{user}")?;
                items.iter().try_for_each(|item| write!(out, " {item}"))?;
                writeln!(out)?;
            }
            Ok(())
        })?;
        files.push(file.to_owned());
    }
    let lists = ["item_list.txt", "user_list.txt"];
    let items = dataset.items.iter().map(|item| item.id.as_str());
    mapping(&dir.join(lists[0]), "org_id remap_id", ' ', items)?;
    let users = dataset.users.iter().map(|user| user.id.as_str());
    mapping(&dir.join(lists[1]), "org_id remap_id", ' ', users)?;
    files.extend(lists.map(str::to_owned));
    Ok(files)
}

/// The items of every user in one part; an event without a part is in training.
fn by_user(events: &Events, n_users: usize, part: Part) -> Vec<Vec<u32>> {
    let mut rows = vec![Vec::new(); n_users];
    for row in 0..events.len() {
        if events.part(row).unwrap_or(Part::Train) == part {
            rows[events.users()[row].index()].push(events.items()[row].0);
        }
    }
    rows
}

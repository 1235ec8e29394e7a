//! Folders of LightGCN: He et al., "LightGCN: Simplifying and Powering Graph Convolution Network
//! for Recommendation", SIGIR 2020. A line is a user and all the items of that user.

use quintet_core::{ItemIdx, UserIdx};
use quintet_data::{Item, Part, User};

use super::{Reading, entries};
use crate::IngestError;
use crate::catalog::Catalog;
use crate::config_sources::LightGcnConfig;
use crate::log::{Flaw, Origin, shown};
use crate::paths::join;
use crate::report::FaultCode;
use crate::table::{Line, Lines, open_source, too_long};

/// The files and what their interactions are for.
const FILES: [(&str, Part); 3] =
    [("train.txt", Part::Train), ("valid.txt", Part::Valid), ("test.txt", Part::Test)];
/// Lists of the ids that stand behind the numbers.
const LISTS: [&str; 2] = ["user_list.txt", "item_list.txt"];

pub(super) fn read(reading: &mut Reading, config: &LightGcnConfig) -> Result<(), IngestError> {
    let folder = config.folder.as_str();
    let names = entries(reading.root, folder)?;
    let has = |file: &str| names.iter().any(|name| name == file);
    if !has("train.txt") {
        return Err(IngestError::Layout {
            path: folder.to_owned(),
            expected: "train.txt and test.txt".to_owned(),
            found: names,
        });
    }
    for (file, part) in FILES {
        if has(file) {
            read_part(reading, &join(folder, file), part)?;
        }
    }
    for list in LISTS {
        if has(list) {
            reading.not_read(join(folder, list), "the ids behind the numbers")?;
        }
    }
    Ok(())
}

/// Reads one file. Each item of a line is a row of the books.
fn read_part(reading: &mut Reading, file: &str, part: Part) -> Result<(), IngestError> {
    let path = reading.root.resolve(file)?;
    let id = reading.log.open("interactions", file, &path)?;
    let mut lines = Lines::new(file, open_source(file, &path)?);
    let kind = reading.events.events.kind("interaction");
    let (mut buffer, mut users) = (Vec::new(), 0_u64);
    loop {
        let (line, found) = lines.next(&mut buffer)?;
        let origin = Origin { file: id, line };
        match found {
            Line::End => break,
            Line::TooLong => {
                reading.log.file(id).rows_in += 1;
                reading.log.drop_row(origin, None, too_long("a line"))?;
            }
            Line::Text if buffer.trim_ascii().is_empty() => reading.log.file(id).blank_lines += 1,
            Line::Text => read_line(reading, &buffer, origin, kind, part)?,
        }
        users += u64::from(found != Line::End);
    }
    if users == 0 {
        let expected = "a line for each user";
        return Err(IngestError::Empty { file: file.to_owned(), expected, found: "nothing" });
    }
    Ok(())
}

fn read_line(
    reading: &mut Reading,
    line: &[u8],
    origin: Origin,
    kind: u32,
    part: Part,
) -> Result<(), IngestError> {
    let mut tokens = line.split(u8::is_ascii_whitespace).filter(|token| !token.is_empty());
    let user = match number(tokens.next().unwrap_or_default()) {
        Ok(user) => user_at(reading.catalog, user),
        Err(flaw) => {
            // Without its user every item of the line is lost; without an item, the line.
            let items = tokens.count().max(1);
            reading.log.file(origin.file).rows_in += items as u64;
            return (0..items).try_for_each(|_| reading.log.drop_row(origin, None, flaw.clone()));
        }
    };
    for token in tokens {
        reading.log.file(origin.file).rows_in += 1;
        match number(token) {
            Ok(item) => {
                let item = item_at(reading.catalog, item);
                reading.events.events.push_row(user, item, kind, 1.0, None, Some(part));
                reading.events.places.push(origin);
            }
            Err(flaw) => reading.log.drop_row(origin, None, flaw)?,
        }
    }
    Ok(())
}

/// A whole number without a sign.
fn number(token: &[u8]) -> Result<u64, Flaw> {
    let text = std::str::from_utf8(token).ok();
    text.filter(|text| text.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| {
            let found = shown(&String::from_utf8_lossy(token));
            Flaw::new(FaultCode::BadNumber, "whole numbers: a user and items", found)
        })
}

fn user_at(catalog: &mut Catalog, number: u64) -> UserIdx {
    let id = number.to_string();
    match catalog.user(&id) {
        Some(user) => user,
        None => catalog.add_user(User { id, ..User::default() }, None),
    }
}

fn item_at(catalog: &mut Catalog, number: u64) -> ItemIdx {
    let id = number.to_string();
    match catalog.item(&id) {
        Some(item) => item,
        None => catalog.add_item(Item { id, ..Item::default() }, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_whole_and_has_no_sign() {
        assert_eq!(number(b"007"), Ok(7));
        for token in [&b"x"[..], b"1.0", b"-1", b"+1", b"", b"99999999999999999999", b"\xff"] {
            assert_eq!(number(token).unwrap_err().code, FaultCode::BadNumber, "{token:?}");
        }
    }
}

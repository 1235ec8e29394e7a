//! Many rows of interactions at a time, for tables of millions.
//!
//! A block is parsed on its own, in parallel with others, into columns of numbers. A row that is
//! not plain in every respect (a bad number, a missing field, an id that is not known yet and may
//! not be added) is only marked: whoever puts the blocks together reads it again as text, by the
//! code that reads all other tables. So both ways give the same events and the same faults.

use std::borrow::Cow;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int32Type, Int64Type, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use hashbrown::HashMap;
use quintet_core::{IdMap, id_number};
use quintet_data::Part;

use super::Row;
use super::batches::write_cells;
use super::delimited::split_line;

use super::split::Splitter;
use crate::columns::{Asked, Meaning, plain_id};
use crate::config::TimeUnit;
use crate::parse;

/// Rows as a reader hands them out.
pub(crate) enum RawBlock {
    /// Whole lines of a text file.
    Text {
        /// Number of the first line.
        first_line: u64,
        bytes: Vec<u8>,
    },
    /// Rows of a columnar file.
    Batch {
        /// Number of the first row.
        first_row: u64,
        rows: RecordBatch,
    },
}

/// What has to be known of a table to parse a block of it.
#[derive(Debug, Clone)]
pub(crate) enum BlockLayout {
    Text {
        delimiter: u8,
        quote: bool,
        /// Fields of a row.
        width: usize,
        /// The field of each asked column.
        columns: Vec<usize>,
    },
    Batch {
        /// The column of each asked column.
        columns: Vec<usize>,
        unit: TimeUnit,
    },
}

/// Stands in an id column for a row that has to be read as text.
pub(crate) const ODD: u32 = u32::MAX;
/// Set in an id column for an id that was not known yet: the rest is its number in the block.
pub(crate) const NEW: u32 = 1 << 31;

/// The parsed rows of a block.
#[derive(Debug, Default)]
pub(crate) struct Block {
    /// Line or row number of each row.
    pub(crate) lines: Vec<u64>,
    /// Position of each user in the catalogue, or [`NEW`] or [`ODD`].
    pub(crate) users: Vec<u32>,
    /// Position of each item in the catalogue, or [`NEW`] or [`ODD`].
    pub(crate) items: Vec<u32>,
    /// Empty when no column was asked for; likewise the next three.
    pub(crate) values: Vec<f32>,
    pub(crate) times: Vec<i64>,
    /// Number of each kind of event in `kind_names`.
    pub(crate) kinds: Vec<u32>,
    pub(crate) parts: Vec<Part>,
    pub(crate) new_users: Vec<String>,
    pub(crate) new_items: Vec<String>,
    pub(crate) kind_names: Vec<String>,
    /// Lines without anything on them.
    pub(crate) blank: u64,
    /// Where each row starts in the bytes.
    starts: Vec<u32>,
    /// Memory of ids that wait to be looked up, of users and of items.
    waiting: [Vec<u64>; 2],
}

impl Block {
    /// Empties a block whose memory is used again, and makes room.
    fn start(&mut self, rows: usize, asked: &Asked) {
        let room = |asked: Option<usize>| if asked.is_some() { rows } else { 0 };
        fn clear<T>(column: &mut Vec<T>, rows: usize) {
            column.clear();
            column.reserve(rows);
        }
        clear(&mut self.lines, rows);
        clear(&mut self.starts, rows);
        clear(&mut self.users, rows);
        clear(&mut self.items, rows);
        clear(&mut self.values, room(asked.value));
        clear(&mut self.times, room(asked.timestamp));
        clear(&mut self.kinds, room(asked.event));
        clear(&mut self.parts, room(asked.part));
        self.blank = 0;
    }

    /// Marks a row that has to be read as text; the columns keep their length.
    fn push_odd(&mut self, asked: &Asked) {
        self.users.push(ODD);
        self.items.push(ODD);
        self.push_rest(asked, Rest::default(), 0);
    }

    fn push_rest(&mut self, asked: &Asked, rest: Rest, kind: u32) {
        if asked.value.is_some() {
            self.values.push(rest.value);
        }
        if asked.timestamp.is_some() {
            self.times.push(rest.time);
        }
        if asked.event.is_some() {
            self.kinds.push(kind);
        }
        if asked.part.is_some() {
            self.parts.push(rest.part);
        }
    }
}

/// The cells of a row that are not ids or names.
struct Rest {
    value: f32,
    time: i64,
    part: Part,
}

impl Default for Rest {
    fn default() -> Self {
        Self { value: 1.0, time: 0, part: Part::Train }
    }
}

/// Parses blocks of one table.
pub(crate) struct BlockParser<'a> {
    pub(crate) layout: &'a BlockLayout,
    pub(crate) meaning: &'a Meaning<'a>,
    pub(crate) users: &'a IdMap,
    pub(crate) items: &'a IdMap,
}

impl BlockParser<'_> {
    /// Parses one block into the memory of another.
    pub(crate) fn parse(&self, raw: &RawBlock, block: Block) -> Block {
        match (raw, self.layout) {
            (
                RawBlock::Text { first_line, bytes },
                BlockLayout::Text { delimiter, width, columns, .. },
            ) => self.text(*first_line, bytes, (*delimiter, *width), columns, block),
            (RawBlock::Batch { first_row, rows }, BlockLayout::Batch { columns, unit }) => {
                self.batch(*first_row, rows, columns, *unit, block)
            }
            // A table hands out blocks of its own layout only.
            _ => Block::default(),
        }
    }

    fn text(
        &self,
        first_line: u64,
        bytes: &[u8],
        (delimiter, width): (u8, usize),
        columns: &[usize],
        mut block: Block,
    ) -> Block {
        block.start(bytes.len() / 24, &self.meaning.asked);
        let valid = std::str::from_utf8(bytes).ok();
        let mut new = NewIds::with_memory(&mut block);
        let mut cells = vec![""; columns.len()];
        let mut ends: Vec<usize> = Vec::with_capacity(width);
        let (mut start, mut line) = (0, first_line);
        // One search over all the bytes: starting one a line would cost more than the search.
        let mut marks = memchr::memchr2_iter(delimiter, b'\n', bytes);
        while start < bytes.len() {
            ends.clear();
            let mut next = bytes.len();
            for at in marks.by_ref() {
                if bytes[at] == b'\n' {
                    next = at + 1;
                    break;
                }
                ends.push(at);
            }
            let ended = next > start && bytes[next - 1] == b'\n';
            let mut end = next - usize::from(ended);
            end -= usize::from(ended && end > start && bytes[end - 1] == b'\r');
            ends.push(end);
            let row = std::mem::replace(&mut start, next);
            line += 1;
            if end == row {
                block.blank += 1;
                continue;
            }
            block.lines.push(line - 1);
            block.starts.push(row as u32);
            let Some(text) = valid.filter(|_| ends.len() == width) else {
                new.skip();
                block.push_odd(&self.meaning.asked);
                continue;
            };
            for (cell, &column) in cells.iter_mut().zip(columns) {
                let from = if column == 0 { row } else { ends[column - 1] + 1 };
                *cell = text.get(from..ends[column]).unwrap_or_default();
            }
            self.row(&cells, &mut new, &mut block);
        }
        new.resolve(self, &mut block);
        new.give_back(&mut block);
        block
    }

    /// Parses the cells of one row.
    fn row<'t>(&self, cells: &[&'t str], new: &mut NewIds<'t>, block: &mut Block) {
        let (user, item) = (cells[0], cells[1]);
        let rest = self.rest(cells);
        let kind = match self.meaning.asked.event.map(|c| cells[c].trim()) {
            Some("") => None,
            Some(kind) => Some(new.kinds.number(kind)),
            None => Some(0),
        };
        match (rest, kind) {
            (Some(rest), Some(kind)) if plain_id(user) && plain_id(item) => {
                block.users.push(new.users.find(self.users, user));
                block.items.push(new.items.find(self.items, item));
                block.push_rest(&self.meaning.asked, rest, kind);
            }
            _ => {
                new.skip();
                block.push_odd(&self.meaning.asked);
            }
        }
    }

    fn rest(&self, cells: &[&str]) -> Option<Rest> {
        let mut rest = Rest::default();
        if let Some(c) = self.meaning.asked.value {
            rest.value = parse::number(cells[c]).ok()?;
        }
        if let Some(c) = self.meaning.asked.timestamp {
            rest.time = self.meaning.clock.text(cells[c]).ok()?;
        }
        if let Some(c) = self.meaning.asked.part {
            rest.part = parse::part(cells[c]).ok()??;
        }
        Some(rest)
    }

    fn batch(
        &self,
        first_row: u64,
        rows: &RecordBatch,
        columns: &[usize],
        unit: TimeUnit,
        mut block: Block,
    ) -> Block {
        let n = rows.num_rows();
        block.start(n, &self.meaning.asked);
        block.lines.extend((0..n as u64).map(|row| first_row + row));
        if let Some(numbers) = self.typed(rows, columns) {
            numbers.fill(self, n, &mut block);
            return block;
        }
        let mut row = Row::default();
        let mut texts: Vec<Vec<String>> = Vec::new();
        for at in 0..n {
            row.start(first_row + at as u64);
            write_cells(rows, columns, at, unit, &mut row);
            texts.push((0..columns.len()).map(|c| row.cell(c).to_owned()).collect());
        }
        let mut new = NewIds::default();
        for text in &texts {
            let cells: Vec<&str> = text.iter().map(String::as_str).collect();
            self.row(&cells, &mut new, &mut block);
        }
        new.resolve(self, &mut block);
        new.give_back(&mut block);
        block
    }

    /// The columns as numbers, when ids, values and times are whole or floating numbers without
    /// nulls, which is the common case of large tables.
    fn typed<'r>(&self, rows: &'r RecordBatch, columns: &[usize]) -> Option<Typed<'r>> {
        if self.meaning.asked.event.is_some() || self.meaning.asked.part.is_some() {
            return None;
        }
        let column = |asked: usize| rows.column(columns[asked]);
        let whole = |asked: usize| whole_numbers(column(asked));
        Some(Typed {
            users: whole(0)?,
            items: whole(1)?,
            values: match self.meaning.asked.value {
                Some(c) => Some(floats(column(c))?),
                None => None,
            },
            times: match self.meaning.asked.timestamp {
                Some(c) => Some(whole(c)?),
                None => None,
            },
        })
    }
}

/// Number columns of a batch.
struct Typed<'r> {
    users: Cow<'r, [i64]>,
    items: Cow<'r, [i64]>,
    values: Option<Cow<'r, [f32]>>,
    times: Option<Cow<'r, [i64]>>,
}

impl Typed<'_> {
    fn fill(&self, parser: &BlockParser, n: usize, block: &mut Block) {
        let mut new = NewIds::default();
        for at in 0..n {
            let value = self.values.as_ref().map_or(1.0, |v| v[at]);
            let time = self.times.as_ref().map(|t| parser.meaning.clock.number(t[at]));
            let plain = value.is_finite()
                && self.users[at] >= 0
                && self.items[at] >= 0
                && time.is_none_or(|t| t.is_some());
            if !plain {
                block.push_odd(&parser.meaning.asked);
                continue;
            }
            block.users.push(new.users.find_number(parser.users, self.users[at] as u64));
            block.items.push(new.items.find_number(parser.items, self.items[at] as u64));
            let rest = Rest { value, time: time.flatten().unwrap_or(0), ..Rest::default() };
            block.push_rest(&parser.meaning.asked, rest, 0);
        }
        new.give_back(block);
    }
}

/// A column of whole numbers without nulls.
fn whole_numbers(column: &ArrayRef) -> Option<Cow<'_, [i64]>> {
    use DataType as D;
    if column.null_count() > 0 {
        return None;
    }
    Some(match column.data_type() {
        D::Int64 => Cow::Borrowed(column.as_primitive::<Int64Type>().values()),
        D::Int32 => {
            column.as_primitive::<Int32Type>().values().iter().map(|v| (*v).into()).collect()
        }
        D::UInt32 => {
            column.as_primitive::<UInt32Type>().values().iter().map(|v| (*v).into()).collect()
        }
        D::UInt64 => {
            let values = column.as_primitive::<UInt64Type>().values().iter();
            values.map(|v| i64::try_from(*v).ok()).collect::<Option<_>>()?
        }
        _ => return None,
    })
}

/// A column of numbers without nulls. Their text would round to the same 32 bits.
fn floats(column: &ArrayRef) -> Option<Cow<'_, [f32]>> {
    use DataType as D;
    if column.null_count() > 0 {
        return None;
    }
    Some(match column.data_type() {
        D::Float32 => Cow::Borrowed(column.as_primitive::<Float32Type>().values()),
        D::Float64 => {
            column.as_primitive::<Float64Type>().values().iter().map(|v| *v as f32).collect()
        }
        D::Int32 => column.as_primitive::<Int32Type>().values().iter().map(|v| *v as f32).collect(),
        // By way of 64 bits, as `parse::number` does.
        D::Int64 => {
            column.as_primitive::<Int64Type>().values().iter().map(|v| *v as f64 as f32).collect()
        }
        _ => return None,
    })
}

/// Ids and names that a block brings.
#[derive(Default)]
struct NewIds<'t> {
    users: Names<'t>,
    items: Names<'t>,
    kinds: Names<'t>,
}

impl NewIds<'_> {
    /// With the memory that a block kept of its last use.
    fn with_memory(block: &mut Block) -> Self {
        let mut new = Self::default();
        [new.users.waiting, new.items.waiting] = std::mem::take(&mut block.waiting);
        new
    }

    fn skip(&mut self) {
        self.users.skip();
        self.items.skip();
    }

    fn resolve(&mut self, parser: &BlockParser, block: &mut Block) {
        self.users.resolve(parser.users, &mut block.users);
        self.items.resolve(parser.items, &mut block.items);
        let waiting = [&mut self.users.waiting, &mut self.items.waiting];
        block.waiting = waiting.map(std::mem::take);
    }

    fn give_back(self, block: &mut Block) {
        let owned = |names: Names| names.names.into_iter().map(Cow::into_owned).collect();
        block.new_users = owned(self.users);
        block.new_items = owned(self.items);
        block.kind_names = owned(self.kinds);
    }
}

/// No number of at most 19 digits.
const NOTHING: u64 = u64::MAX;

/// Texts, numbered in the order in which they come.
#[derive(Default)]
struct Names<'t> {
    /// The id of each row, where it is a number, and else [`NOTHING`].
    waiting: Vec<u64>,
    numbers: HashMap<u64, u32>,
    texts: HashMap<&'t str, u32>,
    names: Vec<Cow<'t, str>>,
}

impl<'t> Names<'t> {
    fn number(&mut self, name: &'t str) -> u32 {
        let names = &mut self.names;
        let next = || {
            names.push(Cow::Borrowed(name));
            names.len() as u32 - 1
        };
        match id_number(name) {
            Some(number) => *self.numbers.entry(number).or_insert_with(next),
            None => *self.texts.entry(name).or_insert_with(next),
        }
    }

    /// The position of an id, or its number among the new ones. Ids that are numbers are looked
    /// up later, by [`Names::resolve`].
    fn find(&mut self, known: &IdMap, id: &'t str) -> u32 {
        let number = id_number(id);
        self.waiting.push(number.unwrap_or(NOTHING));
        match number {
            Some(_) => 0,
            None => found(known.position(id)).unwrap_or_else(|| NEW | self.number(id)),
        }
    }

    /// Nothing to look up for the next row.
    fn skip(&mut self) {
        self.waiting.push(NOTHING);
    }

    /// Looks up the numbers of all rows: one after the other without anything between, so that
    /// the processor waits for many of them at once.
    fn resolve(&mut self, known: &IdMap, column: &mut [u32]) {
        let mut waiting = std::mem::take(&mut self.waiting);
        for (slot, number) in column.iter_mut().zip(waiting.drain(..)) {
            if number != NOTHING {
                *slot = self.find_number(known, number);
            }
        }
        self.waiting = waiting;
    }

    fn find_number(&mut self, known: &IdMap, number: u64) -> u32 {
        if let Some(found) = found(known.position_of_number(number)) {
            return found;
        }
        let names = &mut self.names;
        NEW | *self.numbers.entry(number).or_insert_with(|| {
            names.push(Cow::Owned(number.to_string()));
            names.len() as u32 - 1
        })
    }
}

/// A position in the catalogue; a catalogue of 2³¹ ids is beyond this way of reading.
fn found(position: Option<usize>) -> Option<u32> {
    position.map(|position| if position < NEW as usize { position as u32 } else { ODD })
}

/// Reads one row of a block as text, as [`super::Table::next`] would have.
pub(crate) fn read_row(
    raw: &RawBlock,
    layout: &BlockLayout,
    block: &Block,
    at: usize,
    row: &mut Row,
) -> Option<crate::log::Flaw> {
    row.start(block.lines[at]);
    match (raw, layout) {
        (RawBlock::Text { bytes, .. }, BlockLayout::Text { delimiter, quote, width, columns }) => {
            let start = block.starts[at] as usize;
            let rest = &bytes[start..];
            // Without a `\n` after it, as on the last line, a `\r` belongs to its cell.
            let line = match memchr::memchr(b'\n', rest) {
                Some(end) => rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]),
                None => rest,
            };
            let mut splitter = Splitter::new(vec![*delimiter], *quote);
            split_line(line, &mut splitter, *width, columns, row).err()
        }
        (RawBlock::Batch { rows, .. }, BlockLayout::Batch { columns, unit }) => {
            write_cells(rows, columns, at, *unit, row);
            None
        }
        _ => None,
    }
}

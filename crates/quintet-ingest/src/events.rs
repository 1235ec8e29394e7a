//! Interactions: rows into events.

use quintet_core::{ItemIdx, UserIdx};
use quintet_data::{Events, Item, User};
use rayon::prelude::*;

use crate::IngestError;
use crate::catalog::Catalog;
use crate::columns::{Draft, Meaning};
use crate::config::{IngestConfig, InteractionColumns};
use crate::log::{FileId, Flaw, Log, Origin, shown};
use crate::paths::Root;
use crate::places::Places;
use crate::report::FaultCode;
use crate::table::{Block, BlockLayout, BlockParser, NEW, ODD, RawBlock, Row, Table, TableSource};

/// Events with the rows they come from.
#[derive(Default)]
pub(crate) struct Sourced {
    pub(crate) events: Events,
    pub(crate) places: Places,
}

/// Reads a table of interactions.
pub(crate) fn read_events(
    root: &Root,
    source: &dyn TableSource,
    columns: &InteractionColumns,
    config: &IngestConfig,
    catalog: &mut Catalog,
    into: &mut Sourced,
    log: &mut Log,
) -> Result<(), IngestError> {
    let (meaning, names) = Meaning::new(columns, config)?;
    let mut table = source.open(root, &names, log)?;
    let mut sink = Sink { meaning: &meaning, catalog, into, log };
    // Blocks are read ahead, so that all threads have work, and put together in their order.
    let most = 4 * rayon::current_num_threads();
    // The first block alone makes most ids known, which is cheaper for all the others.
    let mut ahead = table.read_ahead(1);
    let mut n = 1;
    let mut blocks = Vec::new();
    loop {
        if let Some(layout) = ahead.layout.filter(|_| !ahead.raws.is_empty()) {
            n = (2 * n).min(most);
            let read = || if ahead.damage.is_none() { Some(table.read_ahead(n)) } else { None };
            let old = std::mem::take(&mut blocks);
            let next;
            (next, blocks) = rayon::join(read, || sink.parse(&layout, &ahead.raws, old));
            if n == 2 {
                let rows = table.expected_rows(&ahead.raws[0], blocks[0].lines.len());
                sink.into.events.reserve(rows as usize);
            }
            // The rows before the damage come first: what ends a strict run does not depend on
            // how many blocks are read ahead.
            for (raw, block) in ahead.raws.iter().zip(&blocks) {
                sink.block(&mut table, &layout, raw, block)?;
            }
            table.recycle(ahead.raws);
            match (next, ahead.damage) {
                (Some(next), _) => ahead = next,
                (None, Some(damage)) => return Err(damage),
                (None, None) => return Ok(()),
            }
            continue;
        }
        if let Some(damage) = ahead.damage {
            return Err(damage);
        }
        if !table.next(sink.log)? {
            return Ok(());
        }
        sink.row(table.row(), table.origin())?;
        ahead = table.read_ahead(n);
    }
}

/// Where rows become events.
pub(crate) struct Sink<'a, 'p> {
    pub(crate) meaning: &'a Meaning<'a>,
    pub(crate) catalog: &'a mut Catalog,
    pub(crate) into: &'a mut Sourced,
    pub(crate) log: &'a mut Log<'p>,
}

impl Sink<'_, '_> {
    /// Takes one row, or reports it.
    pub(crate) fn row(&mut self, row: &Row, origin: Origin) -> Result<(), IngestError> {
        match self.meaning.draft(row, &self.catalog.known()) {
            Ok(draft) => self.settle(&draft, origin),
            Err(flaw) => {
                let item = Some(row.cell(1)).filter(|id| !id.trim().is_empty());
                self.log.drop_row(origin, item, flaw)
            }
        }
    }

    /// Finds the user and the item, adding those that are new.
    fn settle(&mut self, draft: &Draft, origin: Origin) -> Result<(), IngestError> {
        let item = match self.catalog.item(draft.item) {
            Some(item) => item,
            None => {
                if self.catalog.knows_items {
                    let expected = "an item of the catalogue";
                    let flaw = Flaw::new(FaultCode::AddedItem, expected, "a new one, added");
                    self.log.note_row(origin, Some(draft.item), flaw)?;
                }
                let item = Item { id: draft.item.to_owned(), ..Item::default() };
                self.catalog.add_item(item, None)
            }
        };
        let user = match self.catalog.user(draft.user) {
            Some(user) => user,
            None => {
                if self.catalog.knows_users {
                    let found = format!("{}, added", shown(draft.user));
                    let expected = "a user of the users table";
                    let flaw = Flaw::new(FaultCode::AddedUser, expected, found);
                    self.log.note_row(origin, None, flaw)?;
                }
                self.catalog.add_user(User { id: draft.user.to_owned(), ..User::default() }, None)
            }
        };
        let events = &mut self.into.events;
        let kind = events.kind(draft.event);
        events.push_row(user, item, kind, draft.value, draft.timestamp, draft.part);
        self.into.places.push(origin);
        Ok(())
    }

    /// Parses blocks in parallel.
    fn parse(&self, layout: &BlockLayout, raws: &[RawBlock], mut old: Vec<Block>) -> Vec<Block> {
        let parser = BlockParser {
            layout,
            meaning: self.meaning,
            users: self.catalog.user_ids(),
            items: self.catalog.item_ids(),
        };
        old.resize_with(raws.len(), Block::default);
        raws.par_iter().zip(old).map(|(raw, block)| parser.parse(raw, block)).collect()
    }

    /// Takes the rows of a block.
    fn block(
        &mut self,
        table: &mut Table,
        layout: &BlockLayout,
        raw: &RawBlock,
        block: &Block,
    ) -> Result<(), IngestError> {
        let file = table.id();
        self.log.file(file).rows_in += block.lines.len() as u64;
        self.log.file(file).blank_lines += block.blank;
        self.log.progress.advance(block.lines.len() as u64);
        let mut resolved = Resolved::new(block, self);
        if resolved.push_all(self, block, file) {
            return Ok(());
        }
        for at in 0..block.lines.len() {
            if resolved.push(self, block, at, file) {
                continue;
            }
            let origin = Origin { file, line: block.lines[at] };
            match table.read_block_row(raw, layout, block, at) {
                Ok(()) => self.row(table.row(), origin)?,
                Err(flaw) => self.log.drop_row(origin, None, flaw)?,
            }
        }
        Ok(())
    }
}

/// Where the ids and names of a block are in the catalogue, as far as is known.
struct Resolved {
    users: Vec<Option<UserIdx>>,
    items: Vec<Option<ItemIdx>>,
    /// Number and weight of each kind of event of the block; none if it has no weight.
    kinds: Vec<Option<(u32, f32)>>,
}

impl Resolved {
    fn new(block: &Block, sink: &mut Sink) -> Self {
        let meaning = sink.meaning;
        let single = [meaning.columns.event_name.clone()];
        let names = if meaning.asked.event.is_some() { &block.kind_names[..] } else { &single };
        let weigh = |name: &String| meaning.weigh(name, 1.0).ok();
        let weights: Vec<Option<f32>> = names.iter().map(weigh).collect();
        Self {
            users: vec![None; block.new_users.len()],
            items: vec![None; block.new_items.len()],
            kinds: weights.iter().map(|weight| weight.map(|w| (u32::MAX, w))).collect(),
        }
    }

    /// Takes all rows at once, if all are plain and of one kind.
    fn push_all(&mut self, sink: &mut Sink, block: &Block, file: FileId) -> bool {
        let catalog = &*sink.catalog;
        let n = block.lines.len();
        let odd = block.users.contains(&ODD) || block.items.contains(&ODD);
        if odd || catalog.knows_items || catalog.knows_users || !block.kinds.is_empty() {
            return false;
        }
        let Some((_, weight)) = self.kinds[0] else { return false };
        let mut values = block.values.clone();
        values.resize(n, 1.0);
        if weight != 1.0 {
            values.iter_mut().for_each(|value| *value *= weight);
            if !values.iter().all(|value| value.is_finite()) {
                return false;
            }
        }
        // Blocks before this one may have added what was new when it was parsed.
        for slot in 0..block.new_items.len() as u32 {
            self.find_item(sink, block, NEW | slot);
        }
        for slot in 0..block.new_users.len() as u32 {
            self.find_user(sink, block, NEW | slot);
        }
        let items: Vec<ItemIdx> = block.items.iter().map(|i| self.item(sink, block, *i)).collect();
        let users: Vec<UserIdx> = block.users.iter().map(|u| self.user(sink, block, *u)).collect();
        let events = &mut sink.into.events;
        let kind = events.kind(&sink.meaning.columns.event_name);
        let parts = match sink.meaning.columns.part_name {
            Some(part) if block.parts.is_empty() => &vec![part; n],
            _ => &block.parts,
        };
        events.push_rows(&users, &items, kind, &values, &block.times, parts);
        for at in 0..n {
            sink.into.places.push(Origin { file, line: block.lines[at] });
        }
        true
    }

    /// Takes a row, if it is plain.
    fn push(&mut self, sink: &mut Sink, block: &Block, at: usize, file: FileId) -> bool {
        let (user, item) = (block.users[at], block.items[at]);
        if user == ODD || item == ODD {
            return false;
        }
        let kind_at = block.kinds.get(at).map_or(0, |k| *k as usize);
        let Some((mut kind, weight)) = self.kinds[kind_at] else { return false };
        let value = weight * block.values.get(at).copied().unwrap_or(1.0);
        // Whether the row can be taken has to be known before its user or item is added.
        let item_known = item & NEW == 0 || self.find_item(sink, block, item);
        let user_known = user & NEW == 0 || self.find_user(sink, block, user);
        let catalog = &*sink.catalog;
        if !value.is_finite()
            || (!item_known && catalog.knows_items)
            || (!user_known && catalog.knows_users)
        {
            return false;
        }
        let item = self.item(sink, block, item);
        let user = self.user(sink, block, user);
        let events = &mut sink.into.events;
        if kind == u32::MAX {
            kind = match block.kind_names.get(kind_at) {
                Some(name) => events.kind(name),
                None => events.kind(&sink.meaning.columns.event_name),
            };
            self.kinds[kind_at] = Some((kind, weight));
        }
        let part = block.parts.get(at).copied().or(sink.meaning.columns.part_name);
        events.push_row(user, item, kind, value, block.times.get(at).copied(), part);
        sink.into.places.push(Origin { file, line: block.lines[at] });
        true
    }

    /// Looks once more for an id that was new when its block was parsed.
    fn find_item(&mut self, sink: &Sink, block: &Block, item: u32) -> bool {
        let slot = (item & !NEW) as usize;
        if self.items[slot].is_none() {
            self.items[slot] = sink.catalog.item(&block.new_items[slot]);
        }
        self.items[slot].is_some()
    }

    fn find_user(&mut self, sink: &Sink, block: &Block, user: u32) -> bool {
        let slot = (user & !NEW) as usize;
        if self.users[slot].is_none() {
            self.users[slot] = sink.catalog.user(&block.new_users[slot]);
        }
        self.users[slot].is_some()
    }

    fn item(&mut self, sink: &mut Sink, block: &Block, item: u32) -> ItemIdx {
        if item & NEW == 0 {
            return ItemIdx(item);
        }
        let slot = (item & !NEW) as usize;
        *self.items[slot].get_or_insert_with(|| {
            let item = Item { id: block.new_items[slot].clone(), ..Item::default() };
            sink.catalog.add_item(item, None)
        })
    }

    fn user(&mut self, sink: &mut Sink, block: &Block, user: u32) -> UserIdx {
        if user & NEW == 0 {
            return UserIdx(user);
        }
        let slot = (user & !NEW) as usize;
        *self.users[slot].get_or_insert_with(|| {
            let user = User { id: block.new_users[slot].clone(), ..User::default() };
            sink.catalog.add_user(user, None)
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{
        IngestConfig, InteractionColumns, ItemColumns, TableFile, TablesConfig, UnknownPolicy,
    };
    use crate::{Ingested, ingest};
    use proptest::prelude::*;

    /// Reads a table of interactions; `quoted` puts the first user in quotes, after which rows
    /// are read one by one.
    fn read(rows: &[[String; 5]], quoted: bool, policy: Option<UnknownPolicy>) -> Ingested {
        let dir = tempfile::tempdir().unwrap();
        let mut text = "user,item,value,time,kind\n".to_owned();
        for (at, row) in rows.iter().enumerate() {
            let [user, rest @ ..] = row;
            let mark = if quoted && at == 0 { "\"" } else { "" };
            text += &format!("{mark}{user}{mark},{}\n", rest.join(","));
        }
        fs_err::write(dir.path().join("r.csv"), text).unwrap();
        fs_err::write(dir.path().join("i.csv"), "id\ni1\ni2\n17\n").unwrap();
        let columns = InteractionColumns {
            value: Some("value".into()),
            timestamp: Some("time".into()),
            event: Some("kind".into()),
            weights: [("view".to_owned(), 1.0), ("buy".to_owned(), 3.0)].into(),
            ..InteractionColumns::default()
        };
        let file = TableFile { path: "r.csv".into(), columns, ..TableFile::default() };
        let items = TableFile {
            path: "i.csv".into(),
            columns: ItemColumns::default(),
            ..TableFile::default()
        };
        let tables = TablesConfig {
            interactions: vec![file],
            items: policy.map(|_| items),
            ..TablesConfig::default()
        };
        let config = IngestConfig {
            tables: Some(tables),
            unknown_items: policy.unwrap_or_default(),
            ..IngestConfig::default()
        };
        ingest(&config, dir.path()).unwrap()
    }

    fn cell(good: &'static [&'static str], bad: &'static [&'static str]) -> BoxedStrategy<String> {
        let pick = |from| prop::sample::select(from).prop_map(str::to_owned);
        prop_oneof![9 => pick(good), 1 => pick(bad)].boxed()
    }

    proptest! {
        /// Blocks and single rows give the same events and the same faults.
        #[test]
        fn blocks_change_nothing(
            mut rows in prop::collection::vec(
                (
                    cell(&["u1", "u2", "5", "05", "ü"], &["", " ", "x,y", "u\u{0}1"]),
                    cell(&["i1", "i2", "17", "i9"], &["", "\r"]),
                    cell(&["1", "2.5", "3"], &["", "x", "nan", "1e40"]),
                    cell(&["10", "20.0", "30"], &["", "-1", "1e3"]),
                    cell(&["view", "buy", " buy"], &["", "like"]),
                ), 0..60),
            policy in prop_oneof![
                Just(None), Just(Some(UnknownPolicy::Report)), Just(Some(UnknownPolicy::Add))
            ]
        ) {
            let first = ["u1", "i1", "1", "10", "view"].map(str::to_owned);
            rows.insert(0, first.into());
            let rows: Vec<[String; 5]> = rows.into_iter().map(<[String; 5]>::from).collect();
            let (blocks, single) = (read(&rows, false, policy), read(&rows, true, policy));
            prop_assert_eq!(&blocks.dataset.events, &single.dataset.events);
            prop_assert_eq!(&blocks.dataset.users, &single.dataset.users);
            prop_assert_eq!(&blocks.dataset.items, &single.dataset.items);
            prop_assert_eq!(&blocks.report.faults, &single.report.faults);
            prop_assert_eq!(&blocks.report.counts, &single.report.counts);
            let kept = |done: &Ingested| {
                let file = done.report.files.iter().find(|f| f.role == "interactions").unwrap();
                (file.rows_in, file.rows_kept, file.rows_reported)
            };
            prop_assert_eq!(kept(&blocks), kept(&single));
        }
    }
}

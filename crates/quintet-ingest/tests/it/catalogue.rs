//! A catalogue of every kind of source without a fault, as a place to plant faults in.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::path::Path;

use image::codecs::gif::GifEncoder;
use image::{Delay, Frame, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use quintet_ingest::{FaultCode, MediaCode};

use crate::support::write;

/// How the catalogue is read.
pub(crate) const CONFIG: &str = r#"
    name = "catalogue"
    not_before = "2020-01-01"
    not_after = "2020-12-31"
    [[tables.interactions]]
    path = "r.csv"
    [tables.interactions.columns]
    value = "rating"
    timestamp = "time"
    event = "kind"
    part = "part"
    weights = { view = 1, buy = 3 }
    [tables.items]
    path = "items.csv"
    columns = { title = "title", text = ["title"], attributes = ["year"] }
    [tables.users]
    path = "users.csv"
    columns = { attributes = ["age"] }
    [[join]]
    path = "plots.jsonl"
    id = "movie"
    text = ["plot"]
    [[media]]
    modality = "image"
    folder = "image"
    [[media]]
    modality = "audio"
    folder = "audio"
    [[media]]
    modality = "video"
    folder = "video"
    [[media]]
    modality = "text"
    folder = "text"
"#;

/// Items of the catalogue: enough for every planted media fault to have one of its own.
pub(crate) const N_ITEMS: usize = 24;
/// Interactions of a user.
pub(crate) const N_EACH: usize = 20;
/// Seconds at the start of 2020.
const START: usize = 1_577_836_800;

/// Numbers that look random and are the same every time (an LCG of Knuth, TAOCP 2, 3.3.4).
pub(crate) struct Draws(pub(crate) u64);

impl Draws {
    pub(crate) fn below(&mut self, below: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }

    /// The numbers below `n` in a random order (Fisher and Yates).
    pub(crate) fn order(&mut self, n: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..n).collect();
        for last in (1..n).rev() {
            all.swap(last, self.below(last + 1));
        }
        all
    }
}

/// The tables of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    Events,
    Items,
    Users,
    Plots,
}

impl Table {
    pub(crate) const ALL: [Self; 4] = [Self::Events, Self::Items, Self::Users, Self::Plots];

    pub(crate) fn file(self) -> &'static str {
        ["r.csv", "items.csv", "users.csv", "plots.jsonl"][self as usize]
    }

    /// Lines before the first row.
    fn header(self) -> usize {
        usize::from(self != Self::Plots)
    }
}

/// A line of a table, and the code of the fault that it is.
#[derive(Debug, Clone)]
struct Line {
    bytes: Vec<u8>,
    fault: Option<FaultCode>,
}

/// What a media file is.
#[derive(Debug, Clone)]
pub(crate) enum File {
    Bytes(Vec<u8>),
    /// A link to a file beside the data root.
    LinkOut,
    /// A link to nothing.
    LinkNowhere,
}

/// A fault as the report should have it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Expected {
    pub(crate) code: FaultCode,
    pub(crate) file: String,
    pub(crate) line: Option<u64>,
    /// Of media only.
    pub(crate) item: Option<String>,
    /// Of media that cannot be used.
    pub(crate) reason: Option<MediaCode>,
}

/// Tables and media files, and the faults in them.
#[derive(Debug, Clone)]
pub(crate) struct Catalogue {
    lines: [Vec<Line>; 4],
    pub(crate) files: BTreeMap<String, File>,
    media_faults: Vec<Expected>,
    /// Items whose text is not what it was.
    pub(crate) other_text: BTreeSet<String>,
}

impl Catalogue {
    /// A catalogue without a fault.
    pub(crate) fn clean(n_users: usize) -> Self {
        let mut events = vec!["user,item,rating,time,kind,part".to_owned()];
        for at in 0..n_users * N_EACH {
            let (user, k) = (at / N_EACH, at % N_EACH);
            let item = (user + k) % N_ITEMS;
            let rating = 1.0 + (at % 9) as f32 / 2.0;
            let time = START + 7_777 + at * 61 % 31_000_000;
            let kind = ["view", "buy"][at % 2];
            let part = ["train", "1", "2", "", "0", "dev"][at % 6];
            events.push(format!("u{user},i{item},{rating},{time},{kind},{part}"));
        }
        let items = (0..N_ITEMS).map(|i| format!("i{i},\"Title, the {i}th\",{}", 1990 + i));
        let users = (0..n_users).map(|u| format!("u{u},{}", 20 + u % 50));
        let plots =
            (0..N_ITEMS).map(|i| format!("{{\"movie\": \"i{i}\", \"plot\": \"plot {i}\"}}"));
        let first = |header: &str| std::iter::once(header.to_owned());
        let line = |text: String| Line { bytes: text.into_bytes(), fault: None };
        let lines = [
            events.into_iter().map(line).collect(),
            first("id,title,year").chain(items).map(line).collect(),
            first("id,age").chain(users).map(line).collect(),
            plots.map(line).collect(),
        ];
        Self { lines, files: media(), media_faults: Vec::new(), other_text: BTreeSet::new() }
    }

    /// Rows of a table: all, and those that are faults.
    pub(crate) fn rows(&self, table: Table) -> (u64, u64) {
        let lines = &self.lines[table as usize];
        let faults = lines.iter().filter(|line| line.fault.is_some()).count();
        ((lines.len() - table.header()) as u64, faults as u64)
    }

    /// Puts a row into a table that `make` makes of a good one, at a random place; with `after`,
    /// somewhere behind the good one.
    pub(crate) fn plant_row(
        &mut self,
        table: Table,
        code: FaultCode,
        after: bool,
        draws: &mut Draws,
        make: impl Fn(&str) -> Vec<u8>,
    ) {
        let header = table.header();
        let lines = &mut self.lines[table as usize];
        let good = loop {
            let at = header + draws.below(lines.len() - header);
            if lines[at].fault.is_none() {
                break at;
            }
        };
        let first = if after { good + 1 } else { header };
        let at = first + draws.below(lines.len() + 1 - first);
        let bytes = make(std::str::from_utf8(&lines[good].bytes).unwrap());
        lines.insert(at, Line { bytes, fault: Some(code) });
    }

    /// Notes what should be said about a media file.
    pub(crate) fn expect(
        &mut self,
        code: FaultCode,
        file: &str,
        item: Option<&str>,
        reason: Option<MediaCode>,
    ) {
        let (file, item) = (file.to_owned(), item.map(str::to_owned));
        self.media_faults.push(Expected { code, file, line: None, item, reason });
    }

    /// Everything that the report should say, sorted.
    pub(crate) fn expected(&self) -> Vec<Expected> {
        let mut all = self.media_faults.clone();
        for table in Table::ALL {
            for (line, number) in self.lines[table as usize].iter().zip(1..) {
                all.extend(line.fault.map(|code| Expected {
                    code,
                    file: table.file().to_owned(),
                    line: Some(number),
                    item: None,
                    reason: None,
                }));
            }
        }
        all.sort_unstable();
        all
    }

    /// Writes everything into the folder `root/data`, and a secret beside it.
    pub(crate) fn write(&self, root: &Path) {
        write(root, "secret", &picture(9_999, ImageFormat::Jpeg));
        let data = root.join("data");
        for table in Table::ALL {
            let mut bytes = Vec::new();
            for line in &self.lines[table as usize] {
                bytes.extend_from_slice(&line.bytes);
                bytes.push(b'\n');
            }
            write(&data, table.file(), &bytes);
        }
        for (name, file) in &self.files {
            match file {
                File::Bytes(bytes) => write(&data, name, bytes),
                File::LinkOut => link("../../secret", &data.join(name)),
                File::LinkNowhere => link("nowhere", &data.join(name)),
            }
        }
    }
}

#[cfg(unix)]
fn link(to: &str, from: &Path) {
    fs_err::create_dir_all(from.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(to, from).unwrap();
}

#[cfg(not(unix))]
fn link(_: &str, _: &Path) {}

/// Four files of every item.
fn media() -> BTreeMap<String, File> {
    let mut files = BTreeMap::new();
    for i in 0..N_ITEMS {
        let seed = i as u64;
        files.insert(format!("image/i{i}.jpg"), picture(seed, ImageFormat::Jpeg));
        files.insert(format!("audio/i{i}.wav"), wav(seed));
        files.insert(format!("video/i{i}.gif"), gif(seed));
        files.insert(format!("text/i{i}.txt"), format!("what is told of {i}\n").into_bytes());
    }
    files.into_iter().map(|(name, bytes)| (name, File::Bytes(bytes))).collect()
}

pub(crate) fn picture(seed: u64, format: ImageFormat) -> Vec<u8> {
    let mut draws = Draws(seed);
    let image = RgbImage::from_fn(24, 16, |_, _| Rgb([0; 3].map(|_: u8| draws.below(256) as u8)));
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

pub(crate) fn gif(seed: u64) -> Vec<u8> {
    let mut draws = Draws(seed);
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new(&mut bytes);
    for _ in 0..2 {
        let image = RgbaImage::from_fn(8, 8, |_, _| Rgba([draws.below(256) as u8, 40, 90, 255]));
        let delay = Delay::from_numer_denom_ms(200, 1);
        encoder.encode_frame(Frame::from_parts(image, 0, 0, delay)).unwrap();
    }
    drop(encoder);
    bytes
}

pub(crate) fn wav(seed: u64) -> Vec<u8> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut draws = Draws(seed);
    let mut bytes = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
    (0..400).for_each(|_| writer.write_sample(draws.below(1_000) as i16).unwrap());
    writer.finalize().unwrap();
    bytes.into_inner()
}

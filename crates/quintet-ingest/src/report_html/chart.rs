//! Charts as SVG that stands in the page: bars, histograms and lines, all of a fixed width.
//!
//! The SVG has no script, no style sheet and no link. Text and axes take the colour of the page
//! around them, so that they can be read on light and on dark ground.

use std::io;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::markup::escape;

/// Colours of pieces and lines, in between light and dark.
pub(super) const COLOURS: [&str; 4] = ["#4C8DD6", "#DB8A34", "#4CA36B", "#9A9A9A"];
const RGB: [RGBColor; 4] = [
    RGBColor(0x4C, 0x8D, 0xD6),
    RGBColor(0xDB, 0x8A, 0x34),
    RGBColor(0x4C, 0xA3, 0x6B),
    RGBColor(0x9A, 0x9A, 0x9A),
];

/// Pixels from side to side.
const WIDTH: u32 = 760;
const HEIGHT: u32 = 260;
/// Pixels left for the numbers of the upward axis, and for the names of bars.
const NUMBERS: u32 = 74;
const NAMES: u32 = 170;
/// Pixels of a bar, of what is below an axis, and of one letter.
const BAR: u32 = 28;
const BELOW: u32 = 42;
const LETTER: usize = 6;
/// The longest label, in characters.
const LONGEST: usize = 22;
const FONT: (&str, f64) = ("sans-serif", 15.0);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Painted = Result<(), DrawingAreaErrorKind<io::Error>>;

/// What a chart is called, and what its axes count.
pub(super) struct Frame<'a> {
    pub(super) title: &'a str,
    /// From left to right.
    pub(super) x: &'a str,
    /// Upwards.
    pub(super) y: &'a str,
}

/// A part of a bar.
pub(super) struct Piece {
    pub(super) from: f64,
    pub(super) to: f64,
    /// Position in [`COLOURS`].
    pub(super) colour: usize,
}

/// A bar from left to right with its name before and a note after it.
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) pieces: Vec<Piece>,
    pub(super) note: String,
}

impl Bar {
    /// A bar of one count.
    pub(super) fn of(name: &str, count: u64) -> Self {
        let pieces = vec![Piece { from: 0.0, to: count as f64, colour: 0 }];
        Self { name: name.to_owned(), pieces, note: short(count as f64) }
    }
}

/// Horizontal bars, one below the other; `tick` writes the numbers of the axis.
pub(super) fn bars(frame: &Frame<'_>, bars: &[Bar], tick: fn(f64) -> String) -> String {
    let ends = || bars.iter().flat_map(|b| &b.pieces).flat_map(|p| [p.from, p.to]);
    let (low, high) = range(ends());
    let n = bars.len();
    let size = (WIDTH, n as u32 * BAR + BELOW + 16);
    draw(frame, size, |root| {
        let mut chart = ChartBuilder::on(root)
            .margin(8)
            .margin_right(100)
            .x_label_area_size(BELOW)
            .y_label_area_size(NAMES)
            .build_cartesian_2d(low..high, 0.0..n as f64)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .bold_line_style(BLACK.mix(0.15))
            .light_line_style(TRANSPARENT)
            .axis_style(BLACK.mix(0.5))
            .label_style(FONT)
            .x_labels(5)
            .y_labels(0)
            .x_desc(frame.x)
            .x_label_formatter(&|v| tick(*v))
            .draw()?;
        for (row, bar) in bars.iter().enumerate() {
            let middle = (n - row) as f64 - 0.5;
            let pieces = bar.pieces.iter().filter(|p| p.from.is_finite() && p.to.is_finite());
            chart.draw_series(pieces.map(|p| {
                let corners = [(p.from, middle + 0.36), (p.to, middle - 0.36)];
                Rectangle::new(corners, RGB[p.colour % RGB.len()].filled())
            }))?;
            let end = bar.pieces.iter().map(|p| p.to).fold(low, f64::max).min(high);
            let text = |at, offset: i32, text: String, side| {
                let style = FONT.into_font().color(&BLACK).pos(Pos::new(side, VPos::Center));
                EmptyElement::at((at, middle)) + Text::new(text, (offset, 0), style)
            };
            chart.draw_series([
                text(low, -8, label(&bar.name), HPos::Right),
                text(end, 6, bar.note.clone(), HPos::Left),
            ])?;
        }
        Ok(())
    })
}

/// Columns of counts side by side, each with the name of its range.
pub(super) fn histogram(frame: &Frame<'_>, columns: &[(String, u64)]) -> String {
    let n = columns.len();
    let top = columns.iter().map(|c| c.1).max().unwrap_or(0).max(1) as f64;
    draw(frame, (WIDTH, HEIGHT), |root| {
        let mut chart = upright(root, frame, n as f64, top * 1.12, 0)?;
        let gap = if n > 40 { 0.0 } else { 0.08 };
        chart.draw_series(columns.iter().enumerate().map(|(i, (_, count))| {
            let (left, right) = (i as f64 + gap, (i + 1) as f64 - gap);
            Rectangle::new([(left, 0.0), (right, *count as f64)], RGB[0].filled())
        }))?;
        if n <= 16 {
            chart.draw_series(columns.iter().enumerate().map(|(i, (_, count))| {
                let style =
                    FONT.into_font().color(&BLACK).pos(Pos::new(HPos::Center, VPos::Bottom));
                EmptyElement::at((i as f64 + 0.5, *count as f64))
                    + Text::new(short(*count as f64), (0, -2), style)
            }))?;
        }
        let names: Vec<&str> = columns.iter().map(|c| c.0.as_str()).collect();
        below(&mut chart, &names)
    })
}

/// Lines over named places, such as shares over k; every line has a value for every place.
pub(super) fn lines(frame: &Frame<'_>, names: &[String], series: &[Vec<f64>]) -> String {
    let (_, top) = range(series.iter().flatten().copied());
    draw(frame, (WIDTH, HEIGHT), |root| {
        let mut chart = upright(root, frame, names.len() as f64, top * 1.05, 1)?;
        for (number, values) in series.iter().enumerate() {
            let colour = RGB[number % RGB.len()];
            let point =
                |(i, v): (usize, &f64)| (i as f64 + 0.5, if v.is_finite() { *v } else { 0.0 });
            let points: Vec<(f64, f64)> = values.iter().enumerate().map(point).collect();
            chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
            chart.draw_series(points.iter().map(|p| Circle::new(*p, 4, colour.filled())))?;
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        below(&mut chart, &names)
    })
}

type Upright<'a, 'b> = ChartContext<
    'b,
    SVGBackend<'a>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

/// The axes of a chart whose places stand side by side.
fn upright<'a, 'b>(
    root: &'b Area<'a>,
    frame: &Frame<'_>,
    places: f64,
    top: f64,
    decimals: usize,
) -> Result<Upright<'a, 'b>, DrawingAreaErrorKind<io::Error>> {
    let mut chart = ChartBuilder::on(root)
        .margin(8)
        .x_label_area_size(BELOW)
        .y_label_area_size(NUMBERS)
        .build_cartesian_2d(0.0..places.max(1.0), 0.0..top)?;
    let whole = |v: &f64| if decimals == 0 && v.fract() != 0.0 { String::new() } else { short(*v) };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(BLACK.mix(0.15))
        .light_line_style(TRANSPARENT)
        .axis_style(BLACK.mix(0.5))
        .label_style(FONT)
        .x_labels(0)
        .y_labels(6)
        .x_desc(frame.x)
        .y_desc(frame.y)
        .y_label_formatter(&whole)
        .draw()?;
    Ok(chart)
}

/// Writes the names of places below the axis, as many as have room.
fn below(chart: &mut Upright<'_, '_>, names: &[&str]) -> Painted {
    let names: Vec<String> = names.iter().map(|name| label(name)).collect();
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let room = (WIDTH - NUMBERS - 16) as usize;
    let each = ((longest * LETTER + 8) * names.len()).div_ceil(room).max(1);
    let shown = names.iter().enumerate().step_by(each);
    chart.draw_series(shown.map(|(i, name)| {
        let style = FONT.into_font().color(&BLACK).pos(Pos::new(HPos::Center, VPos::Top));
        EmptyElement::at((i as f64 + 0.5, 0.0)) + Text::new(name.clone(), (0, 6), style)
    }))?;
    Ok(())
}

/// The smallest and largest number, apart from each other.
fn range(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    let numbers = numbers.filter(|v| v.is_finite());
    let (low, high) = numbers
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    match low < high {
        true => (low, high),
        false if low == high => {
            let room = (low.abs() * 1e-6).max(1.0);
            (low - room, high + room)
        }
        false => (0.0, 1.0),
    }
}

/// A picture by what paints it. One that cannot be painted leaves its place to a line of text:
/// its numbers stand in a table all the same.
fn draw(frame: &Frame<'_>, size: (u32, u32), paint: impl FnOnce(&Area<'_>) -> Painted) -> String {
    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    let painted = paint(&root).and_then(|()| root.present());
    drop(root);
    if let Err(error) = painted {
        return format!("<p>This chart cannot be drawn: {}</p>", escape(&error.to_string()));
    }
    let title = escape(frame.title);
    let svg = svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{title}\" "), 1);
    let svg = svg.replacen('>', &format!("><title>{title}</title>"), 1);
    // Quotes of texts are escaped, so that this meets attributes only.
    svg.replace("\"#000000\"", "\"currentColor\"")
}

/// A text as a label: one line, not too long, without control characters.
pub(super) fn label(text: &str) -> String {
    let one_line: String = text
        .chars()
        .take(LONGEST + 1)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    match one_line.char_indices().nth(LONGEST) {
        Some(_) => one_line.chars().take(LONGEST - 1).chain(['…']).collect(),
        None => one_line,
    }
}

/// A number in few letters: `950`, `1.5k`, `20M`.
pub(super) fn short(number: f64) -> String {
    for (unit, letter) in [(1e9, "G"), (1e6, "M"), (1e4, "k")] {
        if number.abs() >= unit {
            let unit = if letter == "k" { 1e3 } else { unit };
            let text = format!("{:.1}", number / unit);
            return format!("{}{letter}", text.strip_suffix(".0").unwrap_or(&text));
        }
    }
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Frame<'static> = Frame { title: "a <b> \"c\"", x: "x", y: "y" };

    #[test]
    fn numbers_and_labels_are_short() {
        let got = [0.0, 0.25, 7.0, 950.0, 9_999.0, 15_000.0, 2_500_000.0, 3e9].map(short);
        assert_eq!(got, ["0", "0.25", "7", "950", "9999", "15k", "2.5M", "3G"]);
        assert_eq!(label("a\nb\0"), "a\u{fffd}b\u{fffd}");
        assert_eq!(label(&"é".repeat(22)).chars().count(), 22);
        assert_eq!(label(&"é".repeat(99)).chars().count(), 22);
    }

    #[test]
    fn charts_of_nothing_and_of_no_numbers_are_drawn() {
        let bar = |from, to| Bar {
            name: "n".into(),
            pieces: vec![Piece { from, to, colour: 9 }],
            note: String::new(),
        };
        let all = [
            histogram(&FRAME, &[]),
            histogram(&FRAME, &[("a".into(), 0)]),
            histogram(&FRAME, &[("a".into(), u64::MAX), ("b".into(), 1)]),
            bars(&FRAME, &[], short),
            bars(&FRAME, &[bar(f64::NAN, 1.0), bar(3.0, 3.0), bar(f64::INFINITY, 0.0)], short),
            bars(&FRAME, &[bar(8e8, 8e8)], short),
            lines(&FRAME, &[], &[]),
            lines(&FRAME, &["a".into()], &[vec![f64::NAN], vec![2.0]]),
        ];
        for svg in all {
            assert!(svg.starts_with("<svg role=\"img\" aria-label=\"a &lt;b&gt;"), "{svg}");
            assert!(svg.contains("<title>a &lt;b&gt; &quot;c&quot;</title>"), "{svg}");
            assert!(!svg.contains("NaN") && !svg.contains("#000000"), "{svg}");
            assert!(svg.trim_end().ends_with("</svg>"), "{svg}");
        }
    }

    #[test]
    fn a_column_is_as_high_as_its_count() {
        let svg = histogram(&FRAME, &[("one".into(), 50), ("two".into(), 100)]);
        let blue = svg.lines().filter(|l| l.starts_with("<rect") && l.contains(COLOURS[0]));
        let heights: Vec<f64> = blue
            .map(|l| l.split("height=\"").nth(1).unwrap().split('"').next().unwrap())
            .map(|h| h.parse().unwrap())
            .collect();
        assert_eq!(heights.len(), 2, "{svg}");
        assert!((heights[1] / heights[0] - 2.0).abs() < 0.03, "{heights:?}");
        assert!(svg.contains(">\none\n</text>") && svg.contains(">\n100\n</text>"), "{svg}");
    }
}

//! Charts as SVG that stands in the page: curves over epochs, and means with their intervals.
//!
//! No script, no style sheet, no link. Text and axes take the colour of the page around them, so
//! that they can be read on light and on dark ground.

use std::io;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::markup::{escape, four};
use crate::pipeline::Interval;

/// Colours of curves, in between light and dark.
pub(super) const COLOURS: [&str; 8] =
    ["#4C8DD6", "#DB8A34", "#4CA36B", "#C65B6B", "#8B78C9", "#9A9A9A", "#3AA6A0", "#B08A3E"];

const WIDTH: u32 = 760;
const HEIGHT: u32 = 280;
/// Pixels of a row of intervals, of what is below an axis, and left of one.
const ROW: u32 = 26;
const BELOW: u32 = 42;
const NUMBERS: u32 = 74;
const NAMES: u32 = 190;
/// The longest label, in characters, and the most points of a curve.
const LONGEST: usize = 24;
const POINTS: usize = 600;
const FONT: (&str, f64) = ("sans-serif", 15.0);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Painted = Result<(), DrawingAreaErrorKind<io::Error>>;

/// A curve with its points from left to right.
pub(super) struct Curve {
    /// Position in [`COLOURS`].
    pub(super) colour: usize,
    pub(super) points: Vec<(f64, f64)>,
    /// A point to mark, such as the epoch that was kept.
    pub(super) mark: Option<(f64, f64)>,
}

/// Curves over epochs.
pub(super) fn curves(title: &str, y: &str, curves: &[Curve]) -> String {
    let points = || curves.iter().flat_map(|c| c.points.iter().copied());
    let (left, right) = range(points().map(|p| p.0));
    let (low, high) = range(points().map(|p| p.1));
    let room = (high - low) * 0.06;
    draw(title, (WIDTH, HEIGHT), |root| {
        let mut chart = ChartBuilder::on(root)
            .margin(8)
            .x_label_area_size(BELOW)
            .y_label_area_size(NUMBERS)
            .build_cartesian_2d(left..right, low - room..high + room)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(BLACK.mix(0.15))
            .light_line_style(TRANSPARENT)
            .axis_style(BLACK.mix(0.5))
            .label_style(FONT)
            .x_labels(8)
            .y_labels(6)
            .x_desc("epoch")
            .y_desc(y)
            .x_label_formatter(&|v| if v.fract() == 0.0 { format!("{v}") } else { String::new() })
            .y_label_formatter(&|v| short(*v))
            .draw()?;
        for curve in curves {
            let colour = colour(curve.colour);
            let shown = thinned(&curve.points);
            chart.draw_series(LineSeries::new(shown.iter().copied(), colour.stroke_width(2)))?;
            let dots = if shown.len() == 1 { shown.first() } else { None };
            let marks = curve.mark.iter().chain(dots);
            chart.draw_series(marks.map(|p| Circle::new(*p, 4, colour.filled())))?;
        }
        Ok(())
    })
}

/// A point that goes from one place to another.
pub(super) struct Move {
    /// Position in [`COLOURS`].
    pub(super) colour: usize,
    pub(super) before: (f64, f64),
    pub(super) after: (f64, f64),
}

/// Points in a plane, each with where it was: a ring before, a dot after, a line between.
pub(super) fn moves(title: &str, x: &str, y: &str, moves: &[Move]) -> String {
    let finite = |p: &(f64, f64)| p.0.is_finite() && p.1.is_finite();
    let shown = || moves.iter().filter(|m| finite(&m.before) && finite(&m.after));
    let ends = || shown().flat_map(|m| [m.before, m.after]);
    let padded = |(low, high): (f64, f64)| {
        let room = (high - low) * 0.06;
        low - room..high + room
    };
    let (across, up) = (padded(range(ends().map(|p| p.0))), padded(range(ends().map(|p| p.1))));
    draw(title, (WIDTH, HEIGHT), |root| {
        let mut chart = ChartBuilder::on(root)
            .margin(8)
            .x_label_area_size(BELOW)
            .y_label_area_size(NUMBERS)
            .build_cartesian_2d(across, up)?;
        chart
            .configure_mesh()
            .bold_line_style(BLACK.mix(0.15))
            .light_line_style(TRANSPARENT)
            .axis_style(BLACK.mix(0.5))
            .label_style(FONT)
            .x_labels(6)
            .y_labels(6)
            .x_desc(x)
            .y_desc(y)
            .x_label_formatter(&|v| short(*v))
            .y_label_formatter(&|v| short(*v))
            .draw()?;
        for Move { colour: number, before, after } in shown() {
            let colour = colour(*number);
            let line = [*before, *after];
            chart.draw_series([PathElement::new(line, colour.stroke_width(2))])?;
            chart.draw_series([Circle::new(*before, 5, colour.stroke_width(2))])?;
            chart.draw_series([Circle::new(*after, 5, colour.filled())])?;
        }
        Ok(())
    })
}

/// A point with its interval in each row.
pub(super) fn intervals(title: &str, x: &str, rows: &[(&str, Interval)]) -> String {
    let ends = rows.iter().flat_map(|(_, i)| [i.lower, i.upper, i.mean]);
    let (low, high) = range(ends);
    let room = (high - low) * 0.03;
    let n = rows.len();
    draw(title, (WIDTH, n as u32 * ROW + BELOW + 16), |root| {
        let mut chart = ChartBuilder::on(root)
            .margin(8)
            .margin_right(70)
            .x_label_area_size(BELOW)
            .y_label_area_size(NAMES)
            .build_cartesian_2d(low - room..high + room, 0.0..n.max(1) as f64)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .bold_line_style(BLACK.mix(0.15))
            .light_line_style(TRANSPARENT)
            .axis_style(BLACK.mix(0.5))
            .label_style(FONT)
            .x_labels(5)
            .y_labels(0)
            .x_desc(x)
            .x_label_formatter(&|v| short(*v))
            .draw()?;
        let finite =
            |i: &Interval| i.lower.is_finite() && i.upper.is_finite() && i.mean.is_finite();
        for (row, (name, i)) in rows.iter().enumerate() {
            let middle = (n - row) as f64 - 0.5;
            let style = |side| FONT.into_font().color(&BLACK).pos(Pos::new(side, VPos::Center));
            chart.draw_series([EmptyElement::at((low - room, middle))
                + Text::new(label(name), (-8, 0), style(HPos::Right))])?;
            if !finite(i) {
                continue;
            }
            let line = [(i.lower, middle), (i.upper, middle)];
            chart.draw_series([PathElement::new(line, colour(0).stroke_width(2))])?;
            chart.draw_series([Circle::new((i.mean, middle), 5, colour(0).filled())])?;
            chart.draw_series([EmptyElement::at((i.upper, middle))
                + Text::new(four(i.mean), (8, 0), style(HPos::Left))])?;
        }
        Ok(())
    })
}

fn colour(number: usize) -> RGBColor {
    let text = COLOURS[number % COLOURS.len()];
    let part = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap_or(0);
    RGBColor(part(1), part(3), part(5))
}

/// Finite points, at most [`POINTS`] of them.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let finite: Vec<(f64, f64)> =
        points.iter().copied().filter(|p| p.0.is_finite() && p.1.is_finite()).collect();
    let each = finite.len().div_ceil(POINTS).max(1);
    finite.into_iter().step_by(each).collect()
}

/// The smallest and largest number, apart from each other.
fn range(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = numbers
        .filter(|v| v.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    match low < high {
        true => (low, high),
        false if low == high => {
            let room = (low.abs() * 0.05).max(1e-3);
            (low - room, high + room)
        }
        false => (0.0, 1.0),
    }
}

/// A picture by what paints it. One that cannot be painted leaves its place to a line of text:
/// its numbers stand in a table all the same.
fn draw(title: &str, size: (u32, u32), paint: impl FnOnce(&Area<'_>) -> Painted) -> String {
    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    let painted = paint(&root).and_then(|()| root.present());
    drop(root);
    if let Err(error) = painted {
        return format!("<p>This chart cannot be drawn: {}</p>", escape(&error.to_string()));
    }
    let title = escape(title);
    let svg = svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{title}\" "), 1);
    let svg = svg.replacen('>', &format!("><title>{title}</title>"), 1);
    // Quotes of texts are escaped, so that this meets attributes only.
    svg.replace("\"#000000\"", "\"currentColor\"")
}

/// A text as a label: one line, not too long, without control characters.
fn label(text: &str) -> String {
    let shown = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    match text.chars().count() > LONGEST {
        true => shown.take(LONGEST - 1).chain(['…']).collect(),
        false => shown.collect(),
    }
}

/// A number in few letters.
fn short(number: f64) -> String {
    let text = match number.abs() {
        size if size >= 1e5 || (size < 1e-4 && size > 0.0) => return format!("{number:.1e}"),
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 1.0 => format!("{number:.2}"),
        _ => format!("{number:.4}"),
    };
    if !text.contains('.') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_labels_are_short() {
        let got = [0.0, 0.25, 7.0, 250.0, 1e7, 0.00002, 0.1234].map(short);
        assert_eq!(got, ["0", "0.25", "7", "250", "1.0e7", "2.0e-5", "0.1234"]);
        assert_eq!(label("a\nb\0"), "a\u{fffd}b\u{fffd}");
        assert_eq!(label(&"é".repeat(99)).chars().count(), LONGEST);
    }

    #[test]
    fn charts_of_nothing_and_of_no_numbers_are_drawn() {
        let i = |mean: f64| Interval { mean, lower: mean, upper: mean };
        let curve = |points| Curve { colour: 9, points, mark: Some((1.0, 0.5)) };
        let way = |before, after| Move { colour: 9, before, after };
        let all = [
            curves("a <b>", "y", &[]),
            curves("a <b>", "y", &[curve(vec![])]),
            curves("a <b>", "y", &[curve(vec![(1.0, f64::NAN), (2.0, f64::INFINITY)])]),
            curves("a <b>", "y", &[curve((0..5_000).map(|e| (e as f64, 1.0)).collect())]),
            moves("a <b>", "x", "y", &[]),
            moves("a <b>", "x", "y", &[way((0.1, 0.2), (0.3, f64::NAN))]),
            moves("a <b>", "x", "y", &[way((0.1, 0.2), (0.1, 0.2)), way((0.0, 1.0), (1.0, 0.0))]),
            intervals("a <b>", "x", &[]),
            intervals("a <b>", "x", &[("one", i(0.5)), ("none", i(f64::NAN))]),
        ];
        for svg in all {
            assert!(svg.starts_with("<svg role=\"img\" aria-label=\"a &lt;b&gt;"), "{svg}");
            assert!(!svg.contains("NaN") && !svg.contains("inf,"), "{svg}");
            assert!(!svg.contains("#000000") && svg.trim_end().ends_with("</svg>"), "{svg}");
            assert!(svg.len() < 40_000, "{} bytes", svg.len());
        }
    }
}

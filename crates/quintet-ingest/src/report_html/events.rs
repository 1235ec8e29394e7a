//! Sections on events: how many, when, with what values, and what a k-core leaves.

use super::chart::{self, Bar, Frame, Piece, short};
use super::markup::{Figure, grid, paragraph, percent, row};
use crate::report_stats::{
    Bucket, DatasetStats, EVENTS_FOR_ALL_CORES, EventsPer, PartStats, Spread, TimeStats,
    ValueStats, date, day,
};

/// Bars of a chart with names from strangers; the table below has them all.
pub(super) const MOST_BARS: usize = 30;

pub(super) fn write(out: &mut String, stats: &DatasetStats) {
    if stats.per_user.spread.n + stats.per_item.spread.n > 0 {
        out.push_str("<h2>Events of users and items</h2>");
        let sides = [("user", &stats.per_user), ("item", &stats.per_item)];
        let of = |(side, per): (&str, &EventsPer)| {
            let mut cells = spread_cells(&per.spread);
            cells.extend([percent(per.share_fewer_than_5), format!("{:.3}", per.gini)]);
            row(&[side], &cells)
        };
        let mut head = vec!["Events per"];
        head.extend(SPREAD);
        head.extend(["Fewer than 5", "Gini"]);
        grid(out, &head, sides.into_iter().map(of));
        for (side, per) in sides {
            let title = format!("Events per {side}");
            let y = format!("{side}s");
            spread(out, &title, &per.spread, ["events (steps double)", &y]);
        }
    }
    times(out, &stats.times);
    values(out, &stats.values);
    if stats.kinds.len() > 1 {
        let kinds: Vec<_> = stats.kinds.iter().map(|k| (k.kind.as_str(), k.events)).collect();
        counted(out, ["Kinds of events", "Kind", "events"], &kinds);
    }
    parts(out, &stats.parts);
    cores(out, stats);
}

/// The columns of [`spread_cells`].
pub(super) const SPREAD: [&str; 6] = ["Number", "Min", "Median", "Mean", "90 %", "Max"];

pub(super) fn spread_cells(s: &Spread) -> Vec<String> {
    let mean = format!("{:.1}", s.mean);
    vec![
        s.n.to_string(),
        s.min.to_string(),
        s.median.to_string(),
        mean,
        s.p90.to_string(),
        s.max.to_string(),
    ]
}

/// A histogram of counts in powers of two; `axes` are what is counted and how many there are.
pub(super) fn spread(out: &mut String, title: &str, spread: &Spread, axes: [&str; 2]) {
    if spread.n == 0 {
        return;
    }
    let columns: Vec<_> = spread.buckets.iter().map(|b| (compact(b), b.count)).collect();
    let rows = spread.buckets.iter().map(|b| row(&[&b.label()], &[b.count]));
    let frame = Frame { title, x: axes[0], y: axes[1] };
    let svg = chart::histogram(&frame, &columns);
    Figure { title, svg, key: &[], head: &axes, rows: rows.collect() }.write(out);
}

/// The range of a bucket as a label that has room.
fn compact(bucket: &Bucket) -> String {
    if bucket.to < 10_000 {
        return bucket.label();
    }
    format!("≤{}", short(bucket.to as f64))
}

fn times(out: &mut String, times: &TimeStats) {
    let (Some(first), Some(last)) = (times.first, times.last) else {
        return;
    };
    out.push_str("<h2>Time</h2>");
    paragraph(out, &format!("From {} to {} (UTC).", date(first), date(last)));
    if times.without_time > 0 {
        paragraph(out, &format!("{} events have no time.", times.without_time));
    }
    let Some(step) = times.step else { return };
    let columns: Vec<_> = times.buckets.iter().map(|b| (step.label(b.from), b.count)).collect();
    let rows = times.buckets.iter().map(|b| row(&[&date(b.from)], &[b.count]));
    let title = format!("Events per {}", step.as_str());
    let x = format!("beginning of the {} (UTC)", step.as_str());
    let svg = chart::histogram(&Frame { title: &title, x: &x, y: "events" }, &columns);
    let head = ["From (UTC)", "Events"];
    Figure { title: &title, svg, key: &[], head: &head, rows: rows.collect() }.write(out);
}

fn values(out: &mut String, values: &ValueStats) {
    let (Some(min), Some(mean), Some(max)) = (values.min, values.mean, values.max) else {
        return;
    };
    out.push_str("<h2>Values</h2>");
    let text = format!("From {} to {}, {} in the mean.", plain(min), plain(max), plain(mean));
    paragraph(out, &text);
    if values.bins.len() < 2 {
        return;
    }
    let columns: Vec<_> = values.bins.iter().map(|b| (plain(b.from), b.count)).collect();
    let numbers =
        |b: &crate::report_stats::ValueBin| [plain(b.from), plain(b.to), b.count.to_string()];
    let rows = values.bins.iter().map(|b| row(&[], &numbers(b)));
    let x = if values.distinct.is_some() { "value" } else { "value, from" };
    let title = "Values of events";
    let svg = chart::histogram(&Frame { title, x, y: "events" }, &columns);
    Figure { title, svg, key: &[], head: &["From", "To", "Events"], rows: rows.collect() }
        .write(out);
}

/// A value without digits that nobody reads.
fn plain(value: f64) -> String {
    if value != 0.0 && !(1e-3..1e6).contains(&value.abs()) {
        return format!("{value:.2e}");
    }
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Bars of counts: a title, what is named and what is counted.
pub(super) fn counted(out: &mut String, [title, named, counts]: [&str; 3], all: &[(&str, u64)]) {
    if all.is_empty() {
        return;
    }
    let bars: Vec<Bar> = all.iter().take(MOST_BARS).map(|(name, n)| Bar::of(name, *n)).collect();
    let svg = chart::bars(&Frame { title, x: counts, y: named }, &bars, short);
    let rows = all.iter().map(|(name, n)| row(&[name], &[*n])).collect();
    if all.len() > MOST_BARS {
        paragraph(out, &format!("{title}: the first {MOST_BARS} of {}.", all.len()));
    }
    Figure { title, svg, key: &[], head: &[named, counts], rows }.write(out);
}

fn parts(out: &mut String, parts: &[PartStats]) {
    if parts.is_empty() {
        return;
    }
    out.push_str("<h2>Parts of the source</h2>");
    let name = |p: &PartStats| p.part.map_or("without a part", |part| part.as_str());
    let counts: Vec<_> = parts.iter().map(|p| (name(p), p.events)).collect();
    counted(out, ["Events of each part", "Part", "events"], &counts);
    let spans: Vec<_> = parts.iter().map(|p| (name(p), p.first, p.last)).collect();
    gantt(out, "Time of each part", &spans);
}

/// Bars from a first to a last time; nothing when none is known.
pub(super) fn gantt(out: &mut String, title: &str, spans: &[(&str, Option<i64>, Option<i64>)]) {
    let known: Vec<(&str, i64, i64)> =
        spans.iter().filter_map(|(name, first, last)| Some((*name, (*first)?, (*last)?))).collect();
    let ends = (known.iter().map(|s| s.1).min(), known.iter().map(|s| s.2).max());
    let (Some(start), Some(end)) = ends else { return };
    // A part that is a single moment must be seen as well.
    let whole = end as f64 - start as f64;
    let bar = |(name, first, last): &(&str, i64, i64)| {
        let from = *first as f64;
        let pieces = vec![Piece { from, to: (*last as f64).max(from + whole * 0.005), colour: 0 }];
        Bar { name: (*name).to_owned(), pieces, note: String::new() }
    };
    let rows = |(name, first, last): &(&str, i64, i64)| {
        row::<String>(&[name, &date(*first), &date(*last)], &[])
    };
    let bars: Vec<Bar> = known.iter().map(bar).collect();
    let rows = known.iter().map(rows).collect();
    // Days tell nothing apart within a few of them.
    let tick = if whole < 5.0 * 86_400.0 { |t| date(t as i64) } else { |t| day(t as i64) };
    let svg = chart::bars(&Frame { title, x: "time (UTC)", y: "part" }, &bars, tick);
    Figure { title, svg, key: &[], head: &["Part", "First", "Last"], rows }.write(out);
}

fn cores(out: &mut String, stats: &DatasetStats) {
    if stats.cores.is_empty() {
        return;
    }
    out.push_str("<h2>What a k-core leaves</h2>");
    paragraph(
        out,
        "Users with fewer than k items and items with fewer than k users are taken away until \
         none is left. Repeats of a user and an item count once.",
    );
    let cells = |c: &crate::report_stats::CoreStats| [c.k as u64, c.users, c.items, c.events];
    let rows: Vec<String> = stats.cores.iter().map(|c| row(&[], &cells(c))).collect();
    let head = ["k", "Users", "Items", "Events"];
    if stats.cores_cut {
        let most = EVENTS_FOR_ALL_CORES;
        paragraph(out, &format!("With more than {most} events only k = 5 is tried."));
    }
    if stats.cores.len() < 2 {
        grid(out, &head, rows.into_iter());
        return;
    }
    let names: Vec<String> = stats.cores.iter().map(|c| c.k.to_string()).collect();
    let all = [stats.per_user.spread.n, stats.per_item.spread.n, stats.pairs.unwrap_or(0)];
    let share = |i: usize| {
        let left = stats.cores.iter().map(|c| [c.users, c.items, c.events][i]);
        left.map(|n| 100.0 * n as f64 / all[i].max(1) as f64).collect()
    };
    let title = "Share left in the k-core";
    let frame = Frame { title, x: "k", y: "% left" };
    let key = [("users", 0), ("items", 1), ("events", 2)];
    let svg = chart::lines(&frame, &names, &[share(0), share(1), share(2)]);
    Figure { title, svg, key: &key, head: &head, rows }.write(out);
}

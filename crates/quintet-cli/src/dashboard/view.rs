//! The screen: models on the left, the curves of the one that trains on the right.

use std::time::Duration;

use indicatif::HumanDuration;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Chart, Dataset, Gauge, GraphType, Paragraph};

use super::board::{Board, ModelBoard};

/// Columns of the list of models.
const LIST: u16 = 34;

/// Draws the whole board.
pub(super) fn draw(frame: &mut Frame<'_>, board: &Board) {
    let [top, middle, gauge, note, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(3),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let bold = Style::new().add_modifier(Modifier::BOLD);
    frame.render_widget(Line::styled(format!("quintet · {}", board.title), bold), top);
    let time = Line::from(HumanDuration(board.begun.elapsed()).to_string());
    frame.render_widget(Paragraph::new(time).alignment(Alignment::Right), top);
    let [list, curves] =
        Layout::horizontal([Constraint::Max(LIST), Constraint::Min(0)]).areas(middle);
    models(frame, board, list);
    if let Some(model) = board.models.last() {
        let [above, below] =
            Layout::vertical([Constraint::Fill(1), Constraint::Fill(1)]).areas(curves);
        curve(frame, above, "training loss", &model.losses, Color::Yellow);
        let metric = if model.metric_name.is_empty() { "metric" } else { &model.metric_name };
        curve(frame, below, &format!("validation {metric}"), &model.metric, Color::Green);
        progress(frame, model, gauge);
    }
    if let Some(last) = board.notes.last() {
        frame.render_widget(Line::styled(last.as_str(), Color::Yellow), note);
    }
    let text = "q: leave this screen, training goes on · Ctrl-C: stop; run again to go on";
    frame.render_widget(Line::styled(text, Color::DarkGray), keys);
}

/// The models that fit, the latest at the bottom.
fn models(frame: &mut Frame<'_>, board: &Board, area: Rect) {
    let block = Block::bordered().title("models");
    let room = usize::from(block.inner(area).height);
    let width = usize::from(block.inner(area).width);
    let hidden = board.models.len().saturating_sub(room);
    let lines: Vec<Line<'_>> = board.models[hidden..]
        .iter()
        .map(|model| {
            let best = model.best.map_or(String::new(), |best| format!("{best:.4}"));
            let (mark, colour) = match model.took {
                Some(_) => ('✓', Color::Green),
                None => ('▶', Color::Yellow),
            };
            let room = width.saturating_sub(best.len() + 3);
            let name: String = model.name.chars().take(room).collect();
            Line::from(vec![
                Span::styled(format!("{mark} "), colour),
                Span::raw(format!("{name:<room$} {best}")),
            ])
        })
        .collect();
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// One curve over epochs.
fn curve(frame: &mut Frame<'_>, area: Rect, title: &str, points: &[(f64, f64)], colour: Color) {
    let points: Vec<(f64, f64)> = points.iter().copied().filter(|p| p.1.is_finite()).collect();
    let block = Block::bordered();
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        frame.render_widget(block.title(title.to_owned()), area);
        return;
    };
    let (low, high) = points
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), p| (low.min(p.1), high.max(p.1)));
    // A curve of one height is drawn in the middle.
    let margin = if high > low { 0.0 } else { (high.abs() * 0.1).max(1e-3) };
    let (y, x) = ([low - margin, high + margin], [first.0, last.0.max(first.0 + 1.0)]);
    let data = Dataset::default()
        .marker(Marker::Braille)
        .graph_type(GraphType::Line)
        .style(colour)
        .data(&points);
    let chart = Chart::new(vec![data])
        .block(block.title(format!("{title} {:.4}", last.1)))
        .x_axis(Axis::default().bounds(x).labels(x.map(|epoch| format!("{epoch:.0}"))))
        .y_axis(Axis::default().bounds(y).labels(y.map(|value| format!("{value:.4}"))));
    frame.render_widget(chart, area);
}

fn progress(frame: &mut Frame<'_>, model: &ModelBoard, area: Rect) {
    let (done, most) = (model.done(), model.most.max(1));
    let [train, valid] = model.seconds;
    let left = model.left().map_or(String::new(), |left| {
        format!(" · at most {} more", HumanDuration(Duration::from_secs(left.as_secs())))
    });
    let label = format!("{done}/{} epochs · {train:.1} s + {valid:.1} s each{left}", model.most);
    let gauge = Gauge::default()
        .block(Block::bordered().title(model.name.as_str()))
        .gauge_style(Color::Blue)
        .ratio((done as f64 / most as f64).clamp(0.0, 1.0))
        .label(label);
    frame.render_widget(gauge, area);
}

#[cfg(test)]
mod tests {
    use quintet::train::EpochRecord;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn shown(board: &Board, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, board)).unwrap();
        terminal.backend().to_string()
    }

    fn board() -> Board {
        let mut board = Board::new("shop".into());
        board.begin("popularity", 1);
        board.begin("vbpr", 40);
        for epoch in 1..=10 {
            let record = EpochRecord {
                epoch,
                loss: 1.0 / epoch as f64,
                batches: 1,
                samples: 1,
                train_seconds: 1.25,
                valid_seconds: 0.5,
                valid: [("ndcg@10".to_owned(), 0.02 * epoch as f64)].into(),
            };
            board.epoch(&record, "ndcg@10", 0.02 * epoch as f64);
        }
        board
    }

    #[test]
    fn models_curves_and_what_is_left_are_shown() {
        let text = shown(&board(), 100, 30);
        for part in [
            "quintet · shop",
            "✓ popularity",
            "▶ vbpr",
            "0.2000",
            "training loss 0.1000",
            "validation ndcg@10 0.2000",
            "10/40 epochs · 1.2 s + 0.5 s each",
            "q: leave this screen",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        let dots = text.chars().filter(|c| ('\u{2801}'..='\u{28ff}').contains(c)).count();
        assert!(dots > 50, "two curves have {dots} cells in\n{text}");
    }

    #[test]
    fn no_size_and_no_number_is_too_strange() {
        let mut board = board();
        for n in 0..50 {
            board.begin(&format!("model {n}"), 0);
        }
        board.models[51].losses = vec![(1.0, f64::NAN), (2.0, f64::INFINITY), (3.0, 2.0)];
        board.models[51].metric = vec![(1.0, 0.0)];
        for (width, height) in [(1, 1), (5, 3), (20, 8), (34, 12), (200, 60)] {
            shown(&board, width, height);
        }
        let text = shown(&board, 100, 24);
        assert!(text.contains("model 49") && !text.contains("vbpr"), "{text}");
        shown(&Board::new("nothing yet".into()), 80, 24);
    }
}

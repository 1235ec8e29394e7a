//! A full screen of what trains, for those who want to watch.
//!
//! A thread of its own draws four times a second and hears keys; training only writes down what it
//! did. The screen is left when training ends, on `q`, and on Ctrl-C, which also ends the program:
//! what was trained lies in its checkpoints.

mod board;
mod view;

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use quintet::train::{EpochRecord, Progress, TerminalProgress};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::lines::Lines;
use board::Board;

/// Time between two pictures.
const TICK: Duration = Duration::from_millis(250);
/// What a program that Ctrl-C ended says to its caller.
const INTERRUPTED: i32 = 130;

/// What a person sees while models train.
pub(crate) enum Watch {
    /// A line at the bottom of the terminal.
    Bar(TerminalProgress),
    /// Plain lines, where standard error is no terminal.
    Lines(Lines),
    /// The whole terminal.
    Screen(Dashboard),
}

impl Watch {
    /// The screen when it is asked for, else the bar, or lines where there is no terminal; `title`
    /// says what runs.
    ///
    /// # Errors
    /// There is no terminal to show the screen on.
    pub(crate) fn new(dashboard: bool, title: &str) -> anyhow::Result<Self> {
        if !dashboard {
            return Ok(match std::io::stderr().is_terminal() {
                true => Self::Bar(TerminalProgress::default()),
                false => Self::Lines(Lines::default()),
            });
        }
        anyhow::ensure!(
            std::io::stdout().is_terminal() && std::io::stdin().is_terminal(),
            "--dashboard: expected a terminal, and this program's input or output is none"
        );
        Ok(Self::Screen(Dashboard::open(title)?))
    }

    /// Leaves the screen; gives what a person should know and may not have seen.
    pub(crate) fn finish(self) -> Vec<String> {
        match self {
            Self::Bar(mut bar) => bar.take_notes(),
            Self::Lines(mut lines) => lines.take_notes(),
            Self::Screen(screen) => screen.notes(),
        }
    }

    fn inner(&mut self) -> &mut dyn Progress {
        match self {
            Self::Bar(bar) => bar,
            Self::Lines(lines) => lines,
            Self::Screen(screen) => screen,
        }
    }
}

impl Progress for Watch {
    fn begin(&mut self, model: &str, epochs: usize) {
        self.inner().begin(model, epochs);
    }

    fn epoch(&mut self, record: &EpochRecord, metric: &str, best: f64) {
        self.inner().epoch(record, metric, best);
    }

    fn note(&mut self, message: &str) {
        self.inner().note(message);
    }

    fn end(&mut self) {
        self.inner().end();
    }
}

/// The screen and what is on it.
pub(crate) struct Dashboard {
    board: Arc<Mutex<Board>>,
    over: Arc<AtomicBool>,
    painter: Option<JoinHandle<()>>,
}

impl Dashboard {
    fn open(title: &str) -> anyhow::Result<Self> {
        let terminal = ratatui::try_init().context("--dashboard: the terminal")?;
        let board = Arc::new(Mutex::new(Board::new(title.to_owned())));
        let over = Arc::new(AtomicBool::new(false));
        let (seen, stop) = (Arc::clone(&board), Arc::clone(&over));
        let painter = std::thread::spawn(move || paint(terminal, &seen, &stop));
        Ok(Self { board, over, painter: Some(painter) })
    }

    fn notes(self) -> Vec<String> {
        self.board.lock().map(|mut board| std::mem::take(&mut board.notes)).unwrap_or_default()
    }

    fn write(&self, change: impl FnOnce(&mut Board)) {
        if let Ok(mut board) = self.board.lock() {
            change(&mut board);
        }
    }
}

impl Progress for Dashboard {
    fn begin(&mut self, model: &str, epochs: usize) {
        self.write(|board| board.begin(model, epochs));
    }

    fn epoch(&mut self, record: &EpochRecord, metric: &str, best: f64) {
        self.write(|board| board.epoch(record, metric, best));
    }

    fn note(&mut self, message: &str) {
        self.write(|board| board.notes.push(message.to_owned()));
    }

    fn end(&mut self) {
        self.write(Board::end);
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // The thread has nothing to say, and a panic of its own is on the screen already.
        if let Some(painter) = self.painter.take() {
            painter.join().ok();
        }
    }
}

/// What a key asks for.
#[derive(Debug, PartialEq)]
enum Wish {
    Leave,
    Stop,
}

fn wish(key: &KeyEvent) -> Option<Wish> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Wish::Stop),
        KeyCode::Char('q') | KeyCode::Esc => Some(Wish::Leave),
        _ => None,
    }
}

/// Draws until it is over, or until somebody leaves. A terminal that is gone ends the drawing and
/// not the training.
fn paint(mut terminal: DefaultTerminal, board: &Mutex<Board>, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let Ok(seen) = board.lock() else { break };
        let drawn = terminal.draw(|frame| view::draw(frame, &seen)).is_ok();
        drop(seen);
        match (drawn, pressed()) {
            (false, _) | (_, Some(Wish::Leave)) => break,
            (_, Some(Wish::Stop)) => {
                ratatui::restore();
                std::process::exit(INTERRUPTED);
            }
            _ => {}
        }
    }
    ratatui::restore();
}

/// Waits for the next picture, or for a key that asks for something.
fn pressed() -> Option<Wish> {
    if !event::poll(TICK).unwrap_or(false) {
        return None;
    }
    match event::read() {
        Ok(Event::Key(key)) => wish(&key),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_leave_or_stop() {
        let key = |code, modifiers| wish(&KeyEvent::new(code, modifiers));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Wish::Stop));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), None);
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::NONE), Some(Wish::Leave));
        assert_eq!(key(KeyCode::Esc, KeyModifiers::NONE), Some(Wish::Leave));
    }

    #[test]
    fn without_a_terminal_the_reason_is_given() {
        // Tests run with their output captured or in a pipe; at a terminal there is nothing to see.
        if std::io::stdout().is_terminal() && std::io::stdin().is_terminal() {
            return;
        }
        let refused = Watch::new(true, "shop").err().map(|e| e.to_string());
        assert!(refused.is_some_and(|text| text.contains("--dashboard: expected a terminal")));
        assert!(!matches!(Watch::new(false, "shop"), Ok(Watch::Screen(_))));
    }
}

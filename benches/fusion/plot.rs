//! The table as a picture: worlds across, strategies down, a colour for the share of the best.

use std::path::Path;

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::worlds::Kind;
use crate::{Table, mean};

const LEFT: i32 = 250;
const TOP: i32 = 46;
const CELL: (i32, i32) = (104, 24);

/// Writes an SVG.
pub(crate) fn draw(table: &Table, path: &Path) -> Result<()> {
    let size = (
        (LEFT + CELL.0 * Kind::ALL.len() as i32 + 10) as u32,
        (TOP + CELL.1 * table.strategies.len() as i32 + 10) as u32,
    );
    let area = SVGBackend::new(path, size).into_drawing_area();
    area.fill(&WHITE)?;
    let text = |anchor| ("sans-serif", 13).into_font().color(&BLACK).pos(anchor);
    let (right, centre) =
        (Pos::new(HPos::Right, VPos::Center), Pos::new(HPos::Center, VPos::Center));
    for (w, kind) in Kind::ALL.into_iter().enumerate() {
        let x = LEFT + CELL.0 * w as i32 + CELL.0 / 2;
        area.draw(&Text::new(kind.title(), (x, TOP - 14), text(centre)))?;
    }
    for (s, name) in table.strategies.iter().enumerate() {
        let y = TOP + CELL.1 * s as i32;
        area.draw(&Text::new(name.clone(), (LEFT - 8, y + CELL.1 / 2), text(right)))?;
        for (w, cell) in table.cells[s].iter().enumerate().filter(|(_, c)| !c.is_empty()) {
            let (x, percent) = (LEFT + CELL.0 * w as i32, mean(cell));
            let corners = [(x + 1, y + 1), (x + CELL.0 - 1, y + CELL.1 - 1)];
            area.draw(&Rectangle::new(corners, colour(percent).filled()))?;
            let middle = (x + CELL.0 / 2, y + CELL.1 / 2);
            area.draw(&Text::new(format!("{percent:.0}"), middle, text(centre)))?;
        }
    }
    area.present()?;
    Ok(())
}

/// From white at 0 to a strong green at 100.
fn colour(percent: f64) -> RGBColor {
    let share = (percent / 100.0).clamp(0.0, 1.0).powi(2);
    let fade = |full: f64| (255.0 - share * (255.0 - full)) as u8;
    RGBColor(fade(64.0), fade(170.0), fade(90.0))
}

//! Rates as a table of coloured cells.

use anyhow::Result;
use plotters::prelude::*;

use super::{INK, Image, centred, draw_title, heat, left};

/// A row: its name, and for each column a rate between 0 and 1 with the text of its cell.
pub struct HeatRow {
    /// Name.
    pub name: String,
    /// Cells, left to right.
    pub cells: Vec<(f64, String)>,
}

const ROW: f64 = 20.0;
const COLUMN: f64 = 96.0;
const NAMES: f64 = 190.0;
const HEAD: f64 = 62.0;

/// Draws the rows below the names of their columns; `axes` says what columns and rows are. Rates below `low` have one colour.
///
/// # Errors
/// When plotters cannot draw.
pub fn heat_map(
    title: &str,
    axes: Option<[&str; 2]>,
    columns: &[String],
    rows: &[HeatRow],
    low: f64,
) -> Result<Image> {
    // As wide as the title at least.
    let width = (NAMES + COLUMN * columns.len() as f64 + 16.0).max(7.5 * title.len() as f64);
    let size = [width as u32, (HEAD + ROW * rows.len() as f64 + 12.0) as u32];
    Image::draw(size, |area, scale| {
        draw_title(area, scale, title)?;
        let x_of = |column: usize| NAMES + COLUMN * column as f64;
        if let Some([x, y]) = axes {
            let middle = x_of(0) + 0.5 * COLUMN * columns.len() as f64;
            let at = (scale.px(middle), scale.px(HEAD - 26.0));
            area.draw(&Text::new(x.to_owned(), at, centred(scale.font(12.0, INK))))?;
            let at = (scale.px(16.0), scale.px(HEAD - 11.0));
            area.draw(&Text::new(y.to_owned(), at, left(scale.font(12.0, INK))))?;
        }
        for (column, name) in columns.iter().enumerate() {
            let at = (scale.px(x_of(column) + 0.5 * COLUMN), scale.px(HEAD - 11.0));
            let style = centred(scale.font(12.0, INK));
            area.draw(&Text::new(name.clone(), at, style))?;
        }
        for (index, row) in rows.iter().enumerate() {
            let (top, middle) = (HEAD + ROW * index as f64, HEAD + ROW * (index as f64 + 0.5));
            let at = (scale.px(16.0), scale.px(middle));
            area.draw(&Text::new(
                row.name.clone(),
                at,
                left(scale.font(11.5, INK)),
            ))?;
            for (column, (rate, text)) in row.cells.iter().enumerate() {
                let x = x_of(column);
                let value = (rate - low) / (1.0 - low);
                let corners = [
                    (scale.px(x + 1.0), scale.px(top + 1.0)),
                    (scale.px(x + COLUMN - 1.0), scale.px(top + ROW - 1.0)),
                ];
                area.draw(&Rectangle::new(corners, heat(value).filled()))?;
                // The upper half of the colours is bright.
                let color = if value > 0.5 { INK } else { WHITE };
                let at = (scale.px(x + 0.5 * COLUMN), scale.px(middle));
                let style = centred(scale.font(11.0, color));
                area.draw(&Text::new(text.clone(), at, style))?;
            }
        }
        Ok(())
    })
}

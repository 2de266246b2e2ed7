//! Where the time goes.

use anyhow::Result;
use plotters::prelude::*;
use policies::training::Times;

use super::{FAINT, GRID, INK, Image, centred, draw_title, left, series};

const WIDTH: f64 = 640.0;
const ROW: f64 = 58.0;
const MARGIN: f64 = 16.0;

/// One bar of the whole width for each measurement, with its parts and their shares of the time.
///
/// # Errors
/// When plotters cannot draw.
pub fn time_bars(title: &str, bars: &[(String, Times)]) -> Result<Image> {
    let top = 44.0;
    let legend = top + ROW * bars.len() as f64;
    let size = [WIDTH as u32, (legend + 30.0) as u32];
    Image::draw(size, |area, scale| {
        draw_title(area, scale, title)?;
        for (row, (label, times)) in bars.iter().enumerate() {
            let y = top + ROW * row as f64;
            let at = (scale.px(MARGIN), scale.px(y + 5.0));
            area.draw(&Text::new(label.clone(), at, left(scale.font(11.5, INK))))?;
            let mut from = MARGIN;
            for (part, (_, share)) in times.fractions().enumerate() {
                let to = from + share * (WIDTH - 2.0 * MARGIN);
                let corners = [(from, y + 15.0), (to, y + 43.0)];
                area.draw(&Rectangle::new(
                    corners.map(|(x, y)| (scale.px(x), scale.px(y))),
                    series(part).mix(0.85).filled(),
                ))?;
                if to - from > 30.0 {
                    let middle = (scale.px(0.5 * (from + to)), scale.px(y + 29.0));
                    let text = format!("{:.0}%", 100.0 * share);
                    area.draw(&Text::new(text, middle, centred(scale.font(11.5, WHITE))))?;
                }
                from = to;
            }
            let frame = [(MARGIN, y + 15.0), (WIDTH - MARGIN, y + 43.0)];
            area.draw(&Rectangle::new(
                frame.map(|(x, y)| (scale.px(x), scale.px(y))),
                scale.line(0.75, GRID),
            ))?;
        }
        let names = bars.first().map(|(_, times)| times.fractions());
        for (part, (name, _)) in names.into_iter().flatten().enumerate() {
            let x = MARGIN + part as f64 * 102.0;
            let corners = [(x, legend + 6.0), (x + 10.0, legend + 16.0)];
            area.draw(&Rectangle::new(
                corners.map(|(x, y)| (scale.px(x), scale.px(y))),
                series(part).mix(0.85).filled(),
            ))?;
            let at = (scale.px(x + 15.0), scale.px(legend + 11.0));
            area.draw(&Text::new(
                name.to_owned(),
                at,
                left(scale.font(11.5, FAINT)),
            ))?;
        }
        Ok(())
    })
}

//! Agility against safety, as in the paper's Figure 7.

use anyhow::Result;
use plotters::prelude::*;
use sim::eval::EvalReport;

use super::{
    Area, FAINT, GRID, INK, Image, Scale,
    axis::Axis,
    centred, darker, draw_title,
    labels::{self, Rect},
    left, right, series,
    style::style,
    trimmed,
};

/// A row of the paper's Table III: 10,000 episodes, three seeds, in its simulator.
pub struct PaperResult {
    /// Method and variant.
    pub name: &'static str,
    /// Mean and standard deviation, %.
    pub reach: [f64; 2],
    /// Mean and standard deviation, %.
    pub collision: [f64; 2],
    /// %.
    pub time_out: f64,
    /// Over successful episodes.
    pub mean_mps: f64,
    /// Over successful episodes.
    pub peak_mps: f64,
}

/// The paper's Table III.
#[rustfmt::skip]
pub const PAPER: [PaperResult; 7] = [
    PaperResult { name: "ABS-a", reach: [78.9, 1.4], collision: [4.4, 0.5], time_out: 16.7, mean_mps: 2.15, peak_mps: 3.74 },
    PaperResult { name: "ABS-n", reach: [79.1, 4.4], collision: [5.7, 2.9], time_out: 15.2, mean_mps: 2.08, peak_mps: 3.48 },
    PaperResult { name: "ABS-c", reach: [85.8, 5.6], collision: [2.9, 0.7], time_out: 11.3, mean_mps: 1.87, peak_mps: 2.98 },
    PaperResult { name: "agile-a", reach: [73.3, 4.3], collision: [26.1, 4.4], time_out: 0.6, mean_mps: 2.55, peak_mps: 3.83 },
    PaperResult { name: "agile-n", reach: [77.3, 4.2], collision: [21.7, 3.9], time_out: 1.0, mean_mps: 2.39, peak_mps: 3.55 },
    PaperResult { name: "agile-c", reach: [83.2, 1.7], collision: [15.5, 2.0], time_out: 1.3, mean_mps: 2.04, peak_mps: 3.04 },
    PaperResult { name: "LAG-n", reach: [77.4, 11.5], collision: [9.1, 1.8], time_out: 13.5, mean_mps: 1.41, peak_mps: 2.45 },
];

/// Distance of the axes from the edges of the picture: left, top, right, bottom, points.
const FRAME: [f64; 4] = [66.0, 44.0, 20.0, 52.0];
const SIZE: [f64; 2] = [560.0, 420.0];
/// Size of the font of labels, points.
const LABEL: f64 = 10.5;
/// Half of the width of the ends of an interval, points.
const CAP: f64 = 2.5;

/// A dot of the picture.
struct Dot {
    name: String,
    mean_mps: f64,
    /// Collision rate, %.
    rate: f64,
    /// 95% interval, %.
    interval: Option<[f64; 2]>,
    /// None for a published result.
    color: Option<RGBColor>,
    /// With the switch, not the agile policy alone.
    switches: bool,
}

/// Collision rate over mean speed, one dot per evaluation with its 95% interval, a square where the reach-avoid value switches policies; with `paper`,
/// the paper's results as open dots. Lower right is better.
///
/// # Errors
/// When plotters cannot draw.
pub fn speed_against_collision(
    title: &str,
    evaluations: &[(String, EvalReport)],
    paper: bool,
) -> Result<Image> {
    let dots = dots(evaluations, paper);
    let rates = |dot: &Dot| -> Vec<f64> {
        let interval = dot.interval.iter().flatten();
        interval.copied().chain([dot.rate]).collect()
    };
    let x_axis = Axis::linear(dots.iter().map(|dot| dot.mean_mps));
    let y_axis = Axis::rates(dots.iter().flat_map(rates));
    let [left_pt, top_pt, right_pt, bottom_pt] = FRAME;
    let frame = [left_pt, top_pt, SIZE[0] - right_pt, SIZE[1] - bottom_pt];
    let place = |mps: f64, rate: f64| {
        let [left, top, right, bottom] = frame;
        [
            left + x_axis.place(mps) * (right - left),
            bottom - y_axis.place(rate) * (bottom - top),
        ]
    };
    let points: Vec<[f64; 2]> = dots
        .iter()
        .map(|dot| place(dot.mean_mps, dot.rate))
        .collect();
    let sizes: Vec<[f64; 2]> = dots.iter().map(|dot| text_size(&dot.name)).collect();
    let whiskers = dots.iter().map(|dot| {
        let [low, high] = dot.interval.unwrap_or([dot.rate; 2]);
        let [[x, bottom], [_, top]] = [low, high].map(|rate| place(dot.mean_mps, rate));
        Rect([x - 2.0, top, x + 2.0, bottom])
    });
    let marks = points.iter().map(|point| Rect::around(*point, 5.5));
    let taken: Vec<Rect> = marks.chain(whiskers).collect();
    let labels = labels::place(&points, &sizes, &taken, Rect(frame));
    Image::draw(SIZE.map(|side| side as u32), |area, scale| {
        draw_title(area, scale, title)?;
        draw_frame(area, scale, frame, &x_axis, &y_axis)?;
        let to_pixels = |[x, y]: [f64; 2]| (scale.px(x), scale.px(y));
        for dot in &dots {
            let Some([low, high]) = dot.interval else {
                continue;
            };
            let line = scale.line(1.0, dot.color.unwrap_or(FAINT));
            let ends @ [[x, bottom], [_, top]] = [low, high].map(|rate| place(dot.mean_mps, rate));
            let cap = |y: f64| [[x - CAP, y], [x + CAP, y]];
            for ends in [ends, cap(bottom), cap(top)] {
                area.draw(&PathElement::new(ends.map(to_pixels), line))?;
            }
        }
        for ((dot, point), label) in dots.iter().zip(&points).zip(&labels) {
            if let Some(end) = labels::leader(*point, *label) {
                let ends = [*point, end].map(to_pixels);
                area.draw(&PathElement::new(ends, scale.line(0.6, FAINT)))?;
            }
            let (at, half) = (to_pixels(*point), scale.px(4.0));
            let draw = |half: i32, mark: ShapeStyle| match dot.switches {
                true => area.draw(&Rectangle::new(
                    [(at.0 - half, at.1 - half), (at.0 + half, at.1 + half)],
                    mark,
                )),
                false => area.draw(&Circle::new(at, half, mark)),
            };
            match dot.color {
                Some(color) => {
                    // A rim keeps marks apart that lie on each other.
                    draw(half + scale.px(0.8).max(1), WHITE.filled())?;
                    draw(half, color.filled())?;
                }
                None => draw(half, scale.line(1.1, FAINT))?,
            }
            let Rect([left_edge, top_edge, _, bottom_edge]) = *label;
            let middle = 0.5 * (top_edge + bottom_edge);
            let style = left(scale.font(LABEL, darker(dot.color.unwrap_or(FAINT))));
            area.draw(&Text::new(
                dot.name.clone(),
                to_pixels([left_edge, middle]),
                style,
            ))?;
        }
        Ok(())
    })
}

/// Width and height of a label, points.
fn text_size(text: &str) -> [f64; 2] {
    // Fonts have whole pixels, so a large one is measured. The font of an SVG may be a little wider.
    let font = Scale(20).font(LABEL, INK).font;
    let width = font
        .box_size(text)
        .map_or(0.0, |(width, _)| f64::from(width) / 20.0);
    [1.06 * width + 1.0, 12.0 * style().text]
}

fn dots(evaluations: &[(String, EvalReport)], paper: bool) -> Vec<Dot> {
    let ours = evaluations.iter().enumerate();
    let ours = ours.map(|(index, (name, report))| Dot {
        name: name.clone(),
        mean_mps: report.mean_speed,
        rate: 100.0 * report.collision_rate,
        interval: Some(report.collision_ci95.map(|rate| 100.0 * rate)),
        color: Some(series(index)),
        switches: report.switch.is_some(),
    });
    let published = PAPER.iter().filter(|_| paper).map(|row| Dot {
        name: format!("{} (paper)", row.name),
        mean_mps: row.mean_mps,
        rate: row.collision[0],
        interval: None,
        color: None,
        switches: row.name.starts_with("ABS"),
    });
    ours.chain(published).collect()
}

/// Grid, ticks and names of the axes.
fn draw_frame(
    area: &Area<'_>,
    scale: Scale,
    [left_edge, top, right_edge, bottom]: [f64; 4],
    x_axis: &Axis,
    y_axis: &Axis,
) -> Result<()> {
    let to_pixels = |x: f64, y: f64| (scale.px(x), scale.px(y));
    let grid = scale.line(0.75, GRID);
    let number = |tick: &f64| trimmed(*tick);
    for tick in &x_axis.ticks {
        let x = left_edge + x_axis.place(*tick) * (right_edge - left_edge);
        let ends = [to_pixels(x, top), to_pixels(x, bottom)];
        area.draw(&PathElement::new(ends, grid))?;
        let style = centred(scale.font(11.0, INK));
        area.draw(&Text::new(number(tick), to_pixels(x, bottom + 12.0), style))?;
    }
    for tick in &y_axis.ticks {
        let y = bottom - y_axis.place(*tick) * (bottom - top);
        let ends = [to_pixels(left_edge, y), to_pixels(right_edge, y)];
        area.draw(&PathElement::new(ends, grid))?;
        let style = right(scale.font(11.0, INK));
        area.draw(&Text::new(
            number(tick),
            to_pixels(left_edge - 7.0, y),
            style,
        ))?;
    }
    let corner = [
        to_pixels(left_edge, top),
        to_pixels(left_edge, bottom),
        to_pixels(right_edge, bottom),
    ];
    area.draw(&PathElement::new(corner, scale.line(0.75, FAINT)))?;
    let middle = 0.5 * (left_edge + right_edge);
    let x_name = "mean speed of episodes that reached / (m/s)";
    let style = centred(scale.font(12.0, INK));
    area.draw(&Text::new(x_name, to_pixels(middle, bottom + 34.0), style))?;
    let y_name = match y_axis.is_logarithmic() {
        true => "collision rate / %, logarithmic",
        false => "collision rate / %",
    };
    let style = centred(scale.font(12.0, INK)).transform(FontTransform::Rotate270);
    let at = to_pixels(20.0, 0.5 * (top + bottom));
    area.draw(&Text::new(y_name, at, style))?;
    Ok(())
}

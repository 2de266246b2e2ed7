//! Pictures: outcome bars, speed histograms, views of episodes, learning curves.
//!
//! Sizes are in points, 1 point being one pixel of an animation and two pixels of a PNG. Everything is drawn larger and
//! averaged down, since plotters smooths hardly any edge.

mod animation;
mod curves;
mod cycle_times;
mod depth;
mod heat_map;
mod outcomes;
mod palette;
mod robot_sheet;
mod robot_view;
mod scene_sheet;
mod speeds;
mod switch_view;
mod times;
mod top_view;
mod tracking;
mod tradeoff;
#[cfg_attr(
    not(feature = "train"),
    expect(dead_code, reason = "drawn at the end of training")
)]
mod value;

use std::{fs, path::Path, sync::Once};

use anyhow::{Context, Result, anyhow};
use plotters::{
    coord::{Shift, types::RangedCoordf64},
    prelude::*,
    style::{
        FontStyle, register_font,
        text_anchor::{HPos, Pos, VPos},
    },
};
use policies::file::write_atomic;
use sim::eval::Outcome;

#[cfg(any(feature = "train", test))]
pub use self::value::{ValuePlane, reliability, value_planes};
pub use self::{
    animation::Film,
    curves::{Curves, learning_curves},
    cycle_times::cycle_times,
    depth::{DepthPicture, depth_sheet, ray_errors},
    heat_map::{HeatRow, heat_map},
    outcomes::outcome_bars,
    robot_sheet::robot_sheet,
    scene_sheet::scene_sheet,
    speeds::{Speeds, speed_histograms},
    times::time_bars,
    top_view::{caption_of, contact_sheet, top_view},
    tracking::twist_tracking,
    tradeoff::{PAPER, speed_against_collision},
};

/// Something to draw on.
type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;
/// A chart with two linear axes.
type Chart<'a, 'b> =
    ChartContext<'a, BitMapBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Text, axes.
const INK: RGBColor = RGBColor(38, 43, 51);
/// Secondary text.
const FAINT: RGBColor = RGBColor(112, 120, 132);
/// Grid lines.
const GRID: RGBColor = RGBColor(226, 229, 234);
/// Outcomes: reach, collision, timeout.
const REACH: RGBColor = RGBColor(42, 142, 120);
const COLLISION: RGBColor = RGBColor(200, 62, 77);
const TIME_OUT: RGBColor = RGBColor(233, 168, 52);
/// Where the recovery policy acts, and its commanded twist.
const RECOVERY: RGBColor = RGBColor(160, 86, 164);
/// Colours of runs that are compared; colour-blind readers can tell them apart.
const SERIES: [RGBColor; 9] = [
    RGBColor(44, 105, 176),
    RGBColor(222, 120, 31),
    RGBColor(42, 142, 120),
    RGBColor(160, 86, 164),
    RGBColor(200, 62, 77),
    RGBColor(122, 104, 84),
    RGBColor(95, 186, 220),
    RGBColor(190, 174, 40),
    RGBColor(60, 60, 66),
];

const FONT: &str = "sans-serif";
const SUPERSAMPLE: u32 = 2;

/// Pixels per point while drawing.
#[derive(Clone, Copy)]
struct Scale(u32);

impl Scale {
    fn px(self, points: f64) -> i32 {
        (points * f64::from(self.0)).round() as i32
    }

    fn font(self, points: f64, color: RGBColor) -> TextStyle<'static> {
        (FONT, points * f64::from(self.0)).into_font().color(&color)
    }

    fn line(self, points: f64, color: impl Color) -> ShapeStyle {
        color.stroke_width(self.px(points).max(1) as u32)
    }
}

fn centred(style: TextStyle<'_>) -> TextStyle<'_> {
    style.pos(Pos::new(HPos::Center, VPos::Center))
}

fn left(style: TextStyle<'_>) -> TextStyle<'_> {
    style.pos(Pos::new(HPos::Left, VPos::Center))
}

fn right(style: TextStyle<'_>) -> TextStyle<'_> {
    style.pos(Pos::new(HPos::Right, VPos::Center))
}

fn outcome_color(outcome: Outcome) -> RGBColor {
    match outcome {
        Outcome::Reach => REACH,
        Outcome::Collision => COLLISION,
        Outcome::Timeout => TIME_OUT,
    }
}

/// The colour of an outcome, dark enough for text.
fn outcome_text_color(outcome: Outcome) -> RGBColor {
    let RGBColor(red, green, blue) = outcome_color(outcome);
    let [red, green, blue] = [red, green, blue].map(|channel| (u16::from(channel) * 3 / 4) as u8);
    RGBColor(red, green, blue)
}

/// A finished picture, 8-bit RGB rows.
pub struct Image {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

impl Image {
    /// Draws a picture of `width` x `height` points.
    fn draw(
        [width, height]: [u32; 2],
        pixels_per_point: u32,
        draw: impl FnOnce(&Area<'_>, Scale) -> Result<()>,
    ) -> Result<Self> {
        register_fonts()?;
        let scale = pixels_per_point * SUPERSAMPLE;
        let (large_width, large_height) = (width * scale, height * scale);
        let mut large = vec![255; 3 * (large_width * large_height) as usize];
        {
            let backend = BitMapBackend::with_buffer(&mut large, (large_width, large_height));
            let area = backend.into_drawing_area();
            draw(&area, Scale(scale))?;
            area.present()?;
        }
        Ok(Self::averaged_down(
            &large,
            width * pixels_per_point,
            height * pixels_per_point,
        ))
    }

    fn averaged_down(large: &[u8], width: u32, height: u32) -> Self {
        let block = SUPERSAMPLE as usize;
        let (columns, rows) = (width as usize, height as usize);
        let stride = 3 * columns * block;
        let mut rgb = Vec::with_capacity(3 * columns * rows);
        for row in 0..rows {
            for column in 0..columns {
                for channel in 0..3 {
                    let mut sum = 0;
                    for y in 0..block {
                        let start = (row * block + y) * stride + 3 * column * block + channel;
                        sum += (0..block)
                            .map(|x| u32::from(large[start + 3 * x]))
                            .sum::<u32>();
                    }
                    rgb.push((sum / (SUPERSAMPLE * SUPERSAMPLE)) as u8);
                }
            }
        }
        Self { width, height, rgb }
    }

    /// Writes the picture, replacing the file atomically.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn save_png(&self, path: &Path) -> Result<()> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Best);
        encoder.set_adaptive_filter(png::AdaptiveFilterType::Adaptive);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.rgb)?;
        writer.finish()?;
        write_file(path, &bytes)
    }
}

/// Writes a file atomically, and makes its folder.
fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(folder)
        .and_then(|()| write_atomic(path, bytes))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// plotters finds fonts by name in a table of the process; this fills it once.
fn register_fonts() -> Result<()> {
    static REGISTER: Once = Once::new();
    let mut result = Ok(());
    REGISTER.call_once(|| {
        result = register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
            .map_err(|_| anyhow!("the built-in font is not readable"));
    });
    result
}

/// The colour of a value between 0 and 1, dark blue to yellow, perceptually uniform (viridis).
fn heat(value: f64) -> RGBColor {
    // Every eighth of the published table.
    const ANCHORS: [(f64, f64, f64); 9] = [
        (68.0, 1.0, 84.0),
        (71.0, 45.0, 123.0),
        (59.0, 82.0, 139.0),
        (44.0, 114.0, 142.0),
        (33.0, 145.0, 140.0),
        (40.0, 174.0, 128.0),
        (94.0, 201.0, 98.0),
        (173.0, 220.0, 48.0),
        (253.0, 231.0, 37.0),
    ];
    let at = value.clamp(0.0, 1.0) * 8.0;
    let index = (at as usize).min(7);
    let (low, high, t) = (ANCHORS[index], ANCHORS[index + 1], at - index as f64);
    let mix = |a: f64, b: f64| (a + t * (b - a)).round() as u8;
    RGBColor(mix(low.0, high.0), mix(low.1, high.1), mix(low.2, high.2))
}

/// The next round number (1, 2, 2.5, 5 times a power of ten) that is not below `value`.
fn round_up(value: f64) -> f64 {
    if !(value > 0.0 && value.is_finite()) {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    let step = steps
        .iter()
        .find(|step| *step * power >= value * (1.0 - 1e-9));
    power * step.unwrap_or(&10.0)
}

/// Axes in the house style: light grid, few labels.
fn draw_axes(
    chart: &mut Chart<'_, '_>,
    scale: Scale,
    [x_label, y_label]: [&str; 2],
    [x_ticks, y_ticks]: [usize; 2],
) -> Result<()> {
    let number = |value: &f64| trimmed(*value);
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(scale.line(0.75, GRID))
        .axis_style(scale.line(0.75, FAINT))
        .label_style(scale.font(11.0, INK))
        .axis_desc_style(scale.font(12.0, INK))
        .x_desc(x_label)
        .y_desc(y_label)
        .x_labels(x_ticks)
        .y_labels(y_ticks)
        .x_label_formatter(&number)
        .y_label_formatter(&number)
        .set_all_tick_mark_size(scale.px(3.0))
        .draw()?;
    Ok(())
}

/// A number with as many digits as it needs, at most four significant ones.
fn trimmed(value: f64) -> String {
    if value == 0.0 || (value.abs() < 1e-12) {
        return "0".to_owned();
    }
    let magnitude = value.abs().log10().floor() as i32;
    if magnitude >= 9 {
        return format!("{}G", trimmed(value / 1e9));
    }
    if magnitude >= 6 {
        return format!("{}M", trimmed(value / 1e6));
    }
    if magnitude >= 4 {
        return format!("{}k", trimmed(value / 1e3));
    }
    if magnitude < -4 {
        return format!("{value:.0e}");
    }
    let decimals = (3 - magnitude).clamp(0, 7) as usize;
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// The title of a picture, at its upper left.
fn draw_title(area: &Area<'_>, scale: Scale, title: &str) -> Result<()> {
    let at = (scale.px(16.0), scale.px(19.0));
    area.draw(&Text::new(
        title.to_owned(),
        at,
        left(scale.font(15.0, INK)),
    ))?;
    Ok(())
}

/// Height of the legend at the foot of a picture, points.
fn legend_height(names: &[&str]) -> u32 {
    match names.len() {
        0 => 0,
        rows => 18 * rows as u32 + 4,
    }
}

/// Colours and names of the series, one per row, at the foot of a picture.
fn draw_legend(area: &Area<'_>, scale: Scale, names: &[&str]) -> Result<()> {
    let top = area.dim_in_pixel().1 as i32 - scale.px(f64::from(legend_height(names)));
    for (row, name) in names.iter().enumerate() {
        let y = top + scale.px(18.0 * row as f64 + 6.0);
        let x = scale.px(56.0);
        let half = scale.px(5.0);
        let color = SERIES[row % SERIES.len()].mix(0.85);
        area.draw(&Rectangle::new(
            [(x, y - half), (x + 2 * half, y + half)],
            color.filled(),
        ))?;
        let style = left(scale.font(11.5, INK));
        area.draw(&Text::new(
            (*name).to_owned(),
            (x + scale.px(16.0), y),
            style,
        ))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;

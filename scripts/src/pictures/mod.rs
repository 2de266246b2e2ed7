//! Pictures: outcome bars, speed histograms, views of episodes, learning curves.
//!
//! Sizes are in points, 1 point being one pixel of an animation and two pixels of a PNG. Everything is drawn larger and
//! averaged down, since plotters smooths hardly any edge.

mod animation;
mod axis;
mod canvas;
mod curves;
mod cycle_times;
mod depth;
mod heat_map;
mod labels;
mod outcomes;
mod palette;
mod robot_sheet;
mod robot_view;
mod scene_sheet;
mod speeds;
mod style;
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

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Once,
};

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
    outcomes::{outcome_bars, outcome_intervals},
    robot_sheet::robot_sheet,
    scene_sheet::scene_sheet,
    speeds::{Speeds, speed_histograms},
    style::Style,
    times::time_bars,
    top_view::{caption_of, contact_sheet, top_view},
    tracking::twist_tracking,
    tradeoff::{PAPER, speed_against_collision},
};
use self::{
    canvas::Canvas,
    style::{Format, series, style},
};

/// Something to draw on.
type Area<'a> = DrawingArea<Canvas<'a>, Shift>;
/// A chart with two linear axes.
type Chart<'a, 'b> = ChartContext<'a, Canvas<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

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
const FONT: &str = "sans-serif";
/// Of files; animations have one.
const PIXELS_PER_POINT: u32 = 2;
const SUPERSAMPLE: u32 = 2;

/// Pixels per point while drawing.
#[derive(Clone, Copy)]
struct Scale(u32);

impl Scale {
    fn px(self, points: f64) -> i32 {
        (points * f64::from(self.0)).round() as i32
    }

    fn font(self, points: f64, color: RGBColor) -> TextStyle<'static> {
        (FONT, points * style().text * f64::from(self.0))
            .into_font()
            .color(&color)
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
    darker(outcome_color(outcome))
}

/// A colour of lines, dark enough for text.
fn darker(RGBColor(red, green, blue): RGBColor) -> RGBColor {
    let [red, green, blue] = [red, green, blue].map(|channel| (u16::from(channel) * 3 / 4) as u8);
    RGBColor(red, green, blue)
}

/// A finished picture.
pub struct Image {
    width: u32,
    height: u32,
    /// 8-bit, rows.
    rgb: Vec<u8>,
    /// The same as SVG, if the style asks for it.
    svg: Option<String>,
}

impl Image {
    /// Draws a picture of `width` x `height` points.
    fn draw(
        [width, height]: [u32; 2],
        mut draw: impl FnMut(&Area<'_>, Scale) -> Result<()>,
    ) -> Result<Self> {
        let picture = Self::draw_pixels([width, height], PIXELS_PER_POINT, &mut draw)?;
        let with_svg = style().formats.contains(&Format::Svg);
        let svg = match with_svg {
            true => Some(vector([width, height], &mut draw)?),
            false => None,
        };
        Ok(Self { svg, ..picture })
    }

    /// Draws the pixels alone.
    fn draw_pixels(
        [width, height]: [u32; 2],
        pixels_per_point: u32,
        mut draw: impl FnMut(&Area<'_>, Scale) -> Result<()>,
    ) -> Result<Self> {
        register_fonts()?;
        let scale = pixels_per_point * SUPERSAMPLE;
        let (large_width, large_height) = (width * scale, height * scale);
        let mut large = vec![255; 3 * (large_width * large_height) as usize];
        {
            let backend = BitMapBackend::with_buffer(&mut large, (large_width, large_height));
            let area = Canvas::Pixels(backend).into_drawing_area();
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
        Self {
            width,
            height,
            rgb,
            svg: None,
        }
    }

    /// Writes the picture in the formats of the style, whatever the extension of `path`, replacing files atomically.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        for (format, path) in style().formats.iter().zip(files_of(path)) {
            match (format, &self.svg) {
                (Format::Svg, Some(svg)) => write_file(&path, svg.as_bytes())?,
                _ => write_file(&path, &self.png()?)?,
            }
        }
        Ok(())
    }

    fn png(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Best);
        encoder.set_adaptive_filter(png::AdaptiveFilterType::Adaptive);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.rgb)?;
        writer.finish()?;
        Ok(bytes)
    }
}

/// A picture of so many points as SVG.
fn vector(
    [width, height]: [u32; 2],
    mut draw: impl FnMut(&Area<'_>, Scale) -> Result<()>,
) -> Result<String> {
    let scale = PIXELS_PER_POINT * SUPERSAMPLE;
    let [large_width, large_height] = [width, height].map(|side| side * scale);
    let mut svg = String::new();
    {
        let backend = SVGBackend::with_string(&mut svg, (large_width, large_height));
        let area = Canvas::Vector(backend).into_drawing_area();
        draw(&area, Scale(scale))?;
        area.present()?;
    }
    // Coordinates stay fine, the size becomes that of the picture.
    let size = format!("width=\"{large_width}\" height=\"{large_height}\"");
    let points = format!("width=\"{width}pt\" height=\"{height}pt\"");
    let family = format!("font-family=\"{}\"", style().svg_font);
    Ok(svg
        .replacen(&size, &points, 1)
        .replace(&format!("font-family=\"{FONT}\""), &family))
}

/// The files that a picture with this path becomes.
pub fn files_of(path: &Path) -> impl Iterator<Item = PathBuf> {
    let formats = style().formats.iter();
    formats.map(|format| path.with_extension(format.extension()))
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
    if !style().titles {
        return Ok(());
    }
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
        let color = series(row).mix(0.85);
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

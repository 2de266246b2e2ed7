//! Depth images with rays drawn over them, and errors of predicted rays.

use std::collections::BTreeMap;

use anyhow::Result;
use plotters::prelude::*;
use policies::{
    RaySpec,
    depth::{Intrinsics, MeanError, RayErrors},
};

use super::{
    Area, COLLISION, FAINT, INK, Image, Scale, draw_title, heat, left, right, round_up, series,
    trimmed,
};

/// True rays over a depth image, and predicted ones.
const TRUE: RGBColor = RGBColor(255, 255, 255);
const PREDICTED: RGBColor = RGBColor(255, 92, 92);

/// A depth image with its rays.
#[derive(Clone, Debug)]
pub struct DepthPicture {
    pub caption: String,
    /// Columns and rows.
    pub size_px: [usize; 2],
    /// 0: no depth.
    pub depth_mm: Vec<u16>,
    /// True distances, m.
    pub distance_m: Vec<f32>,
    /// Predicted distances, m.
    pub predicted_m: Option<Vec<f32>>,
}

/// Depth images in a grid, with dots at the ends of true and predicted rays as a level camera would see them; below each
/// image the same rays from above.
///
/// # Errors
/// When plotters cannot draw.
pub fn depth_sheet(
    title: &str,
    pictures: &[DepthPicture],
    columns: usize,
    rays: &RaySpec,
    camera: &Intrinsics,
) -> Result<Image> {
    let (cell, gap, caption, fan) = (240.0, 12.0, 18.0, 92.0);
    let aspect = camera.height_px as f64 / camera.width_px as f64;
    let cell_height = caption + cell * aspect + fan;
    let rows = pictures.len().div_ceil(columns).max(1);
    let width = 16.0 + columns as f64 * (cell + gap) + 4.0;
    let height = 56.0 + rows as f64 * (cell_height + gap);
    Image::draw([width as u32, height as u32], |area, scale| {
        draw_title(area, scale, title)?;
        let note = "near yellow, far dark, black without depth; below: rays from above, true grey, predicted red";
        let at = (scale.px(16.0), scale.px(40.0));
        area.draw(&Text::new(note, at, left(scale.font(10.5, FAINT))))?;
        for (index, picture) in pictures.iter().enumerate() {
            let x = 16.0 + (index % columns) as f64 * (cell + gap);
            let y = 54.0 + (index / columns) as f64 * (cell_height + gap);
            let at = (scale.px(x), scale.px(y + 8.0));
            let style = left(scale.font(10.5, INK));
            area.draw(&Text::new(picture.caption.clone(), at, style))?;
            let top = y + caption;
            draw_depth(area, scale, picture, [x, top, cell], rays.max_m)?;
            draw_dots(area, scale, picture, [x, top, cell], rays, camera)?;
            let fan_top = top + cell * aspect + 4.0;
            draw_fan(area, scale, picture, [x, fan_top, cell, fan - 8.0], rays)?;
        }
        Ok(())
    })
}

fn draw_depth(
    area: &Area<'_>,
    scale: Scale,
    picture: &DepthPicture,
    [x, y, width]: [f64; 3],
    max_m: f32,
) -> Result<()> {
    let [columns, rows] = picture.size_px;
    let pixel = width / columns as f64;
    for row in 0..rows {
        for column in 0..columns {
            let millimetres = picture.depth_mm[row * columns + column];
            let color = match millimetres {
                0 => BLACK,
                _ => {
                    let share = (f64::from(millimetres) * 1e-3 / 0.3).log2()
                        / (f64::from(max_m) / 0.3).log2();
                    heat(1.0 - share)
                }
            };
            let corner = |column: usize, row: usize| {
                (
                    scale.px(x + column as f64 * pixel),
                    scale.px(y + row as f64 * pixel),
                )
            };
            let ends = [corner(column, row), corner(column + 1, row + 1)];
            area.draw(&Rectangle::new(ends, color.filled()))?;
        }
    }
    Ok(())
}

/// Where each ray would end in the image of a level camera, 0.27 m over the rays.
fn draw_dots(
    area: &Area<'_>,
    scale: Scale,
    picture: &DepthPicture,
    [x, y, width]: [f64; 3],
    rays: &RaySpec,
    camera: &Intrinsics,
) -> Result<()> {
    const OVER_RAYS_M: f32 = 0.27;
    let pixel = width / picture.size_px[0] as f64;
    let series = [
        (Some(&picture.distance_m), TRUE, 2.6),
        (picture.predicted_m.as_ref(), PREDICTED, 1.7),
    ];
    for (distances, color, radius) in series {
        for (index, distance) in distances.into_iter().flatten().enumerate() {
            let (sin, cos) = rays.angle_rad(index).sin_cos();
            let depth = (distance * cos + rays.origin_x_m).max(0.05);
            let aside = distance * sin;
            let u = camera.centre_px[0] - camera.focal_px[0] * aside / depth;
            let v = camera.centre_px[1] + camera.focal_px[1] * OVER_RAYS_M / depth;
            let v = v.min(picture.size_px[1] as f32 - 2.0);
            let at = (
                scale.px(x + (f64::from(u) + 0.5) * pixel),
                scale.px(y + (f64::from(v) + 0.5) * pixel),
            );
            area.draw(&Circle::new(at, scale.px(radius), color.filled()))?;
        }
    }
    Ok(())
}

/// The rays from above, looking up.
fn draw_fan(
    area: &Area<'_>,
    scale: Scale,
    picture: &DepthPicture,
    [x, y, width, height]: [f64; 4],
    rays: &RaySpec,
) -> Result<()> {
    let metre = (height / f64::from(rays.max_m)).min(0.5 * width / f64::from(rays.max_m));
    let origin = [x + 0.5 * width, y + height];
    let end = |index: usize, distance: f32| {
        let (sin, cos) = rays.angle_rad(index).sin_cos();
        let reach = f64::from(distance) * metre;
        (
            scale.px(origin[0] - reach * f64::from(sin)),
            scale.px(origin[1] - reach * f64::from(cos)),
        )
    };
    let from = (scale.px(origin[0]), scale.px(origin[1]));
    for (index, distance) in picture.distance_m.iter().enumerate() {
        let line = scale.line(2.4, RGBColor(176, 182, 191));
        area.draw(&PathElement::new([from, end(index, *distance)], line))?;
    }
    for (index, distance) in picture.predicted_m.iter().flatten().enumerate() {
        let line = scale.line(0.9, COLLISION);
        area.draw(&PathElement::new([from, end(index, *distance)], line))?;
    }
    Ok(())
}

/// Bars of the error by distance, and by kind of object.
///
/// # Errors
/// When plotters cannot draw.
pub fn ray_errors(
    title: &str,
    errors: &RayErrors,
    by_kind: &BTreeMap<&'static str, MeanError>,
) -> Result<Image> {
    let mut from_m = 0.0;
    let mut distances = Vec::new();
    for bin in &errors.by_distance {
        let name = match bin.to_m {
            Some(to_m) => format!("{} to {} m", trimmed(from_m), trimmed(to_m.into())),
            None => "nothing in range".to_owned(),
        };
        from_m = bin.to_m.map_or(from_m, f64::from);
        distances.push((name, bin.error));
    }
    let kinds: Vec<_> = by_kind
        .iter()
        .map(|(name, error)| ((*name).to_owned(), *error))
        .collect();
    let panels = [
        ("by distance of the ray", distances),
        ("by what the ray hits", kinds),
    ];
    let rows = panels.iter().map(|(_, bars)| bars.len()).max().unwrap_or(0);
    let longest = panels
        .iter()
        .flat_map(|(_, bars)| bars)
        .map(|(_, e)| e.mean());
    let longest = round_up(longest.fold(0.0, f64::max));
    let size = [860, 70 + 22 * rows as u32 + 16];
    Image::draw(size, |area, scale| {
        draw_title(area, scale, title)?;
        for (panel, (name, bars)) in panels.iter().enumerate() {
            let x = 16.0 + 420.0 * panel as f64;
            let at = (scale.px(x), scale.px(46.0));
            area.draw(&Text::new(*name, at, left(scale.font(12.0, INK))))?;
            for (row, (name, error)) in bars.iter().enumerate() {
                let y = 70.0 + 22.0 * row as f64;
                let label = (scale.px(x + 112.0), scale.px(y));
                area.draw(&Text::new(
                    name.clone(),
                    label,
                    right(scale.font(11.0, INK)),
                ))?;
                let end = x + 120.0 + 170.0 * error.mean() / longest;
                let bar = [
                    (scale.px(x + 120.0), scale.px(y - 7.0)),
                    (scale.px(end), scale.px(y + 7.0)),
                ];
                area.draw(&Rectangle::new(bar, series(panel).mix(0.85).filled()))?;
                let text = format!("{:.3}  ({} rays)", error.mean(), error.rays);
                let at = (scale.px(end + 6.0), scale.px(y));
                area.draw(&Text::new(text, at, left(scale.font(10.5, FAINT))))?;
            }
        }
        Ok(())
    })
}

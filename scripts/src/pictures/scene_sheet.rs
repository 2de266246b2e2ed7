//! Scenes from above, before an episode.

use anyhow::Result;
use plotters::prelude::*;
use sim::scene::{HeightField, Terrain, TestScene};

use super::{
    Area, Chart, FAINT, INK, Image, Scale, draw_title, left,
    top_view::{View, draw_metre_grid, draw_scene},
};

/// Time at which moving obstacles are drawn, s.
const TIME_S: f32 = 1.5;
/// Width of one scene, points.
const CELL: f64 = 250.0;
const GAP: f64 = 12.0;
/// Above and below a scene: title and caption.
const TITLE: f64 = 36.0;
const CAPTION: f64 = 20.0;

/// Scenes side by side.
///
/// # Errors
/// When plotters cannot draw.
pub fn scene_sheet(title: &str, scenes: &[TestScene], reach_m: f64) -> Result<Image> {
    let mut view = View::default();
    for scene in scenes {
        view.include_scene(scene);
    }
    let height = CELL * view.aspect();
    let size = [
        GAP + scenes.len() as f64 * (CELL + GAP),
        TITLE + height + CAPTION,
    ];
    Image::draw(size.map(|side| side as u32), |area, scale| {
        draw_title(area, scale, title)?;
        for (column, scene) in scenes.iter().enumerate() {
            let x = GAP + column as f64 * (CELL + GAP);
            let [at_x, at_y] = [x, TITLE].map(|at| scale.px(at));
            let (wide, tall) = (scale.px(CELL), scale.px(height));
            draw_one(
                &area.clone().shrink((at_x, at_y), (wide, tall)),
                scale,
                scene,
                view,
                reach_m,
            )?;
            area.draw(&Rectangle::new(
                [(at_x, at_y), (at_x + wide, at_y + tall)],
                scale.line(0.75, FAINT),
            ))?;
            let at = (at_x, scale.px(TITLE + height + 0.5 * CAPTION));
            area.draw(&Text::new(caption(scene), at, left(scale.font(11.0, INK))))?;
        }
        Ok(())
    })
}

fn draw_one(
    area: &Area<'_>,
    scale: Scale,
    scene: &TestScene,
    view: View,
    reach_m: f64,
) -> Result<()> {
    let (x_m, y_m) = (view.x_m, view.y_m);
    let mut chart = ChartBuilder::on(area).build_cartesian_2d(x_m[0]..x_m[1], y_m[0]..y_m[1])?;
    if let Terrain::HeightField(field) = scene.terrain.as_ref() {
        draw_heights(&mut chart, field, view)?;
    }
    draw_metre_grid(&mut chart, scale, view)?;
    draw_scene(&mut chart, scale, scene, |_| TIME_S, reach_m)
}

/// What the picture does not show.
fn caption(scene: &TestScene) -> String {
    let mut text = format!("{}: friction {:.2}", scene.index, scene.friction);
    if scene.payload_kg > 0.0 {
        text += &format!(", payload {:.1} kg", scene.payload_kg);
    }
    if let Terrain::HeightField(field) = scene.terrain.as_ref() {
        let highest_m = field.heights_m.iter().copied().fold(0.0, f32::max);
        text += &format!(", up to {:.0} cm high", 100.0 * highest_m);
    }
    text
}

/// The ground, the darker the higher: black would be half a metre.
fn draw_heights(chart: &mut Chart<'_, '_>, field: &HeightField, view: View) -> Result<()> {
    let cell = f64::from(field.cell_m);
    let tiles = (0..field.points_x).flat_map(|ix| (0..field.points_y).map(move |iy| (ix, iy)));
    let tiles = tiles.filter_map(|(ix, iy)| {
        let height_m = field.heights_m[ix * field.points_y + iy];
        let [x, y] = [(field.origin_m[0], ix), (field.origin_m[1], iy)]
            .map(|(origin, i)| f64::from(origin) + cell * i as f64);
        let [left, right] =
            [-0.5, 0.5].map(|half| (x + half * cell).clamp(view.x_m[0], view.x_m[1]));
        let [low, high] = [-0.5, 0.5].map(|half| (y + half * cell).clamp(view.y_m[0], view.y_m[1]));
        let shown = height_m > 0.0 && left < right && low < high;
        let color = RGBColor(122, 104, 84).mix(f64::from(height_m) / 0.12);
        shown.then(|| Rectangle::new([(left, low), (right, high)], color.filled()))
    });
    chart.draw_series(tiles)?;
    Ok(())
}

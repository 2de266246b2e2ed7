//! Terrain in MJCF.

use super::mjcf::Xml;
use crate::scene::{HeightField, Terrain};

/// Thickness of the ground under a height field, m.
const BASE_M: f32 = 1.0;
/// Half the width of the flat ground around a height field, wider than a robot gets in an episode, m.
const HALF_WIDTH_M: f32 = 50.0;

/// The asset of a height field. Its heights are filled in after compilation: as text they would take longest to read.
pub fn write_asset(terrain: &Terrain, xml: &mut Xml) {
    if let Terrain::HeightField(field) = terrain {
        let [half_x, half_y] = half_size_m(field);
        let [_, range_m] = span_m(field);
        xml.line(&format!(
            r#"<hfield name="ground" nrow="{}" ncol="{}" size="{half_y} {half_x} {range_m} {BASE_M}"/>"#,
            field.points_x, field.points_y
        ));
    }
}

/// The ground itself.
pub fn write_geoms(terrain: &Terrain, xml: &mut Xml) {
    let field = match terrain {
        Terrain::Flat => {
            xml.line(r#"<geom class="scene" type="plane" size="0 0 1"/>"#);
            return;
        }
        Terrain::HeightField(field) => field,
    };
    let [lowest_m, _] = span_m(field);
    let half_m = half_size_m(field);
    let [x, y] = [0, 1].map(|axis| field.origin_m[axis] + half_m[axis]);
    xml.line(&format!(
        r#"<geom class="scene" type="hfield" hfield="ground" pos="{x} {y} {lowest_m}" quat="1 0 0 1"/>"#
    ));
    let z = field.heights_m[0] - HALF_WIDTH_M;
    let [beside_x, beside_y] = half_m.map(|half| half + HALF_WIDTH_M);
    let mut slab = |x: f32, y: f32, half: [f32; 2]| {
        xml.line(&format!(
            r#"<geom class="scene" type="box" pos="{x} {y} {z}" size="{} {} {HALF_WIDTH_M}"/>"#,
            half[0], half[1]
        ));
    };
    for sign in [-1.0, 1.0] {
        slab(x + sign * beside_x, y, [HALF_WIDTH_M, half_m[1]]);
        let long = half_m[0] + 2.0 * HALF_WIDTH_M;
        slab(x, y + sign * beside_y, [long, HALF_WIDTH_M]);
    }
}

/// How many geometries [`write_geoms`] writes.
#[cfg(feature = "mujoco")]
pub fn num_geoms(terrain: &Terrain) -> usize {
    match terrain {
        Terrain::Flat => 1,
        Terrain::HeightField(_) => 5,
    }
}

/// MuJoCo's heights, from 0 to 1. Its field stands turned by 90 degrees, columns along y and rows against x, because its cells
/// are cut along the other diagonal than those of [`HeightField::height_m`].
#[cfg(feature = "mujoco")]
pub fn fill(field: &HeightField, elevation: &mut [f32]) {
    let [lowest_m, range_m] = span_m(field);
    let rows = field.heights_m.chunks_exact(field.points_y).rev();
    for (value, height_m) in elevation.iter_mut().zip(rows.flatten()) {
        *value = (height_m - lowest_m) / range_m;
    }
}

fn half_size_m(field: &HeightField) -> [f32; 2] {
    [field.points_x, field.points_y].map(|points| 0.5 * (points - 1) as f32 * field.cell_m)
}

/// Lowest height, and the highest above it, which MuJoCo needs above zero, m.
fn span_m(field: &HeightField) -> [f32; 2] {
    let lowest_m = field
        .heights_m
        .iter()
        .copied()
        .fold(f32::INFINITY, f32::min);
    let highest_m = field
        .heights_m
        .iter()
        .copied()
        .fold(f32::NEG_INFINITY, f32::max);
    [lowest_m, (highest_m - lowest_m).max(1e-3)]
}

#[cfg(all(test, feature = "mujoco"))]
mod tests {
    use mujoco_rs::prelude::{MjData, MjModel};

    use super::*;

    /// Lets a ball fall on the middle of a cell and beside it, where the two ways to cut the cell differ.
    #[test]
    fn a_cell_is_cut_along_its_diagonal() {
        let field = HeightField {
            origin_m: [1.0, 2.0],
            cell_m: 1.0,
            points_x: 2,
            points_y: 2,
            // (0, 0), (0, 1), (1, 0), (1, 1)
            heights_m: vec![-0.1, 0.1, 0.1, -0.05],
        };
        let terrain = Terrain::HeightField(field.clone());
        for (x, y) in [(1.5, 2.5), (1.25, 2.25), (1.7, 2.8), (1.2, 2.7)] {
            let mut xml = Xml::default();
            xml.line("<mujoco><compiler autolimits=\"false\"/>");
            xml.line("<default><default class=\"scene\"/></default><asset>");
            write_asset(&terrain, &mut xml);
            xml.line("</asset><worldbody>");
            write_geoms(&terrain, &mut xml);
            xml.line(&format!(
                r#"<body pos="{x} {y} 0.5"><joint type="slide" axis="0 0 1" damping="1"/><geom size="0.02" mass="0.1"/></body>"#
            ));
            xml.line("</worldbody></mujoco>");
            let mut model = MjModel::from_xml_string(&xml.text()).unwrap();
            fill(&field, model.hfield_data_mut());
            let mut data = MjData::new(Box::new(model));
            for _ in 0..2000 {
                data.step();
            }
            let height_m = 0.5 + data.qpos()[0] as f32 - 0.02;
            let expected_m = field.height_m(x, y);
            assert!(
                (height_m - expected_m).abs() < 2e-3,
                "({x}, {y}): MuJoCo {height_m}, terrain {expected_m}"
            );
        }
    }
}

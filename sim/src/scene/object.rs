//! Things as they stand in rooms and streets: compounds of primitives with random size, standing on the ground.

use std::f32::consts::{FRAC_PI_2, PI, TAU};

use nalgebra::{Point2, Point3, UnitQuaternion, Vector3};
use serde::{Deserialize, Serialize};

use crate::{
    random::{Stream, uniform},
    scene::{Obstacle, ObstacleShape},
};

/// A robot touches nothing that begins higher than this, m.
const REACH_HEIGHT_M: f32 = 0.6;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "they are what they are called")]
pub enum ObjectKind {
    Vase,
    Human,
    Cone,
    Cylinder,
    Tree,
    Chair,
    Armchair,
    OfficeChair,
    Wall,
    Box,
    Table,
    Bench,
    Bin,
    Ball,
    Compound,
}

/// An object in the world.
#[derive(Clone, Debug)]
pub struct Object {
    /// What it is.
    pub kind: ObjectKind,
    /// Its primitives, in the world frame.
    pub parts: Vec<Obstacle>,
    /// One simple obstacle in place of all parts that a robot can touch: the box itself for walls and boxes, else the
    /// upright cylinder around them.
    pub hull: Obstacle,
}

impl ObjectKind {
    /// Those that a ray predictor may learn from, besides [`Compound`](Self::Compound).
    pub const TRAINING: [Self; 10] = [
        Self::Vase,
        Self::Human,
        Self::Cone,
        Self::Cylinder,
        Self::Tree,
        Self::Chair,
        Self::Armchair,
        Self::OfficeChair,
        Self::Wall,
        Self::Box,
    ];
    /// Those that are kept for the test.
    pub(crate) const HELD_OUT: [Self; 4] = [Self::Table, Self::Bench, Self::Bin, Self::Ball];

    /// All kinds, in the order of their [`code`](Self::code).
    pub fn all() -> impl Iterator<Item = Self> {
        let named = Self::TRAINING.into_iter().chain(Self::HELD_OUT);
        named.chain([Self::Compound])
    }

    /// Name in files and pictures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vase => "vase",
            Self::Human => "human",
            Self::Cone => "cone",
            Self::Cylinder => "cylinder",
            Self::Tree => "tree",
            Self::Chair => "chair",
            Self::Armchair => "armchair",
            Self::OfficeChair => "office-chair",
            Self::Wall => "wall",
            Self::Box => "box",
            Self::Table => "table",
            Self::Bench => "bench",
            Self::Bin => "bin",
            Self::Ball => "ball",
            Self::Compound => "compound",
        }
    }

    /// Its number in files.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// An object of this kind with random size and heading.
    pub fn draw(self, place: Point2<f32>, stream: &mut Stream) -> Object {
        let mut builder = Builder {
            place,
            heading: UnitQuaternion::from_axis_angle(
                &Vector3::z_axis(),
                uniform([-PI, PI], stream),
            ),
            parts: Vec::new(),
            radius_m: 0.0,
            height_m: 0.0,
        };
        let b = &mut builder;
        let mut draw = |low: f32, high: f32| uniform([low, high], stream);
        match self {
            Self::Vase => vase(b, &mut draw),
            Self::Human => human(b, &mut draw),
            Self::Cone => cone(b, &mut draw),
            Self::Cylinder => b.cylinder([0.0, 0.0], draw(0.05, 0.5), 0.0, draw(0.4, 1.6)),
            Self::Tree => tree(b, &mut draw),
            Self::Chair => chair(b, &mut draw),
            Self::Armchair => armchair(b, &mut draw),
            Self::OfficeChair => office_chair(b, &mut draw),
            Self::Wall => {
                let sides = [draw(1.0, 6.0), draw(0.05, 0.25), draw(0.8, 2.5)];
                b.block([0.0, 0.0, 0.0], sides);
            }
            Self::Box => {
                let sides = [draw(0.2, 0.9), draw(0.2, 0.9), draw(0.15, 1.2)];
                b.block([0.0, 0.0, 0.0], sides);
            }
            Self::Table => {
                let (length, width, height) = (draw(0.8, 1.8), draw(0.6, 0.9), draw(0.45, 0.8));
                b.block([0.0, 0.0, height - 0.04], [length, width, 0.04]);
                let leg = draw(0.04, 0.08);
                b.legs([length - leg, width - leg], leg, height - 0.04);
            }
            Self::Bench => {
                let (length, depth, height) = (draw(1.0, 1.8), draw(0.35, 0.5), draw(0.4, 0.5));
                b.block([0.0, 0.0, height - 0.06], [length, depth, 0.06]);
                for side in [-1.0, 1.0] {
                    let x = side * 0.4 * length;
                    b.block([x, 0.0, 0.0], [0.08, depth, height - 0.06]);
                }
            }
            Self::Bin => {
                let (radius, height) = (draw(0.15, 0.3), draw(0.5, 1.0));
                b.cylinder([0.0, 0.0], radius, 0.0, height);
                b.cylinder([0.0, 0.0], 1.12 * radius, height, 0.08);
            }
            Self::Ball => {
                let radius = draw(0.2, 0.5);
                b.ball([0.0, 0.0, radius], radius);
            }
            Self::Compound => compound(b, &mut draw),
        }
        builder.finish(self)
    }
}

/// Puts parts together, in the object's own frame: origin on the ground, x along its heading.
struct Builder {
    place: Point2<f32>,
    heading: UnitQuaternion<f32>,
    parts: Vec<Obstacle>,
    /// Of the cylinder around what a robot can touch.
    radius_m: f32,
    height_m: f32,
}

impl Builder {
    fn push(
        &mut self,
        shape: ObstacleShape,
        centre: [f32; 3],
        turn: UnitQuaternion<f32>,
        [radius_m, height_m]: [f32; 2],
    ) {
        let offset = self.heading * Vector3::from(centre);
        if centre[2] - 0.5 * height_m < REACH_HEIGHT_M {
            self.radius_m = self.radius_m.max(offset.xy().norm() + radius_m);
            self.height_m = self.height_m.max(centre[2] + 0.5 * height_m);
        }
        self.parts.push(Obstacle {
            shape,
            position_world: Point3::new(self.place.x + offset.x, self.place.y + offset.y, offset.z),
            orientation: self.heading * turn,
            velocity_world: Vector3::zeros(),
        });
    }

    /// A box over `[x, y, bottom]`.
    fn block(&mut self, at: [f32; 3], sides: [f32; 3]) {
        self.turned_block(at, sides, 0.0);
    }

    fn turned_block(&mut self, [x, y, bottom]: [f32; 3], sides: [f32; 3], yaw_rad: f32) {
        let half_extents_m = 0.5 * Vector3::from(sides);
        let turn = UnitQuaternion::from_axis_angle(&Vector3::z_axis(), yaw_rad);
        let size = [half_extents_m.xy().norm(), sides[2]];
        let shape = ObstacleShape::Box { half_extents_m };
        self.push(shape, [x, y, bottom + half_extents_m.z], turn, size);
    }

    /// Four square legs at the corners of a rectangle.
    fn legs(&mut self, [length, width]: [f32; 2], thickness: f32, height: f32) {
        for (x, y) in [(-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5)] {
            let at = [x * length, y * width, 0.0];
            self.block(at, [thickness, thickness, height]);
        }
    }

    fn cylinder(&mut self, [x, y]: [f32; 2], radius_m: f32, bottom: f32, height_m: f32) {
        let shape = ObstacleShape::Cylinder { radius_m, height_m };
        let centre = [x, y, bottom + 0.5 * height_m];
        let turn = UnitQuaternion::identity();
        self.push(shape, centre, turn, [radius_m, height_m]);
    }

    fn ball(&mut self, centre: [f32; 3], radius_m: f32) {
        let shape = ObstacleShape::Ball { radius_m };
        let size = [radius_m, 2.0 * radius_m];
        self.push(shape, centre, UnitQuaternion::identity(), size);
    }

    fn upright_cone(&mut self, radius_m: f32, bottom: f32, height_m: f32) {
        self.upright_cone_at([0.0, 0.0], radius_m, bottom, height_m);
    }

    fn upright_cone_at(&mut self, [x, y]: [f32; 2], radius_m: f32, bottom: f32, height_m: f32) {
        let shape = ObstacleShape::Cone { radius_m, height_m };
        // Its axis is y.
        let turn = UnitQuaternion::from_axis_angle(&Vector3::x_axis(), FRAC_PI_2);
        let centre = [x, y, bottom + 0.5 * height_m];
        self.push(shape, centre, turn, [radius_m, height_m]);
    }

    fn finish(self, kind: ObjectKind) -> Object {
        let hull = match (kind, self.parts.as_slice()) {
            (ObjectKind::Wall | ObjectKind::Box, [part]) => part.clone(),
            _ => Obstacle::cylinder(self.place.x, self.place.y, self.radius_m, self.height_m),
        };
        Object {
            kind,
            parts: self.parts,
            hull,
        }
    }
}

/// Draws a length between two bounds, m.
type Draw<'a> = dyn FnMut(f32, f32) -> f32 + 'a;

fn vase(b: &mut Builder, draw: &mut Draw<'_>) {
    let (height, belly, neck) = (draw(0.4, 1.1), draw(0.15, 0.35), draw(0.06, 0.14));
    let belly_at = draw(0.3, 0.5);
    // A body of revolution in rings: foot, belly, neck, lip.
    const RINGS: u32 = 10;
    for ring in 0..RINGS {
        let at = (ring as f32 + 0.5) / RINGS as f32;
        let bulge = (1.0 - ((at - belly_at) / 0.5).powi(2)).max(0.0);
        let lip = ((at - 0.9) / 0.1).max(0.0);
        let radius = (neck + (belly - neck) * bulge + 0.05 * lip).max(neck);
        let thickness = height / RINGS as f32;
        b.cylinder([0.0, 0.0], radius, ring as f32 * thickness, thickness);
    }
}

fn human(b: &mut Builder, draw: &mut Draw<'_>) {
    let height = draw(1.5, 1.95);
    let (hip, stride) = (draw(0.08, 0.14), draw(-0.25, 0.25));
    let legs = 0.48 * height;
    for side in [-1.0, 1.0] {
        let x = side * stride * 0.5;
        b.cylinder([x, side * hip], draw(0.06, 0.09), 0.0, legs);
        b.block([x + 0.06, side * hip, 0.0], [0.27, 0.1, 0.09]);
    }
    let (depth, width) = (draw(0.18, 0.28), draw(0.36, 0.46));
    b.block([0.0, 0.0, legs], [depth, width, 0.36 * height]);
    for side in [-1.0, 1.0] {
        let y = side * (0.5 * width + 0.06);
        b.cylinder([0.0, y], 0.05, draw(0.4, 0.5) * height, 0.34 * height);
    }
    b.ball([0.0, 0.0, 0.92 * height], 0.11);
}

fn cone(b: &mut Builder, draw: &mut Draw<'_>) {
    let (height, radius) = (draw(0.45, 1.0), draw(0.12, 0.3));
    let foot = 2.4 * radius;
    b.block([0.0, 0.0, 0.0], [foot, foot, 0.03]);
    b.upright_cone(radius, 0.03, height);
}

fn tree(b: &mut Builder, draw: &mut Draw<'_>) {
    let trunk = draw(0.8, 1.6);
    b.cylinder([0.0, 0.0], draw(0.06, 0.25), 0.0, trunk);
    if draw(0.0, 1.0) < 0.5 {
        b.upright_cone(draw(0.5, 1.0), trunk, draw(1.0, 2.0));
    } else {
        let crown = draw(0.4, 0.9);
        b.ball([0.0, 0.0, trunk + 0.8 * crown], crown);
    }
}

fn chair(b: &mut Builder, draw: &mut Draw<'_>) {
    let (depth, width, seat) = (draw(0.38, 0.48), draw(0.38, 0.48), draw(0.4, 0.5));
    let leg = draw(0.03, 0.05);
    b.legs([depth - leg, width - leg], leg, seat);
    b.block([0.0, 0.0, seat], [depth, width, 0.04]);
    let back = [0.03, width, draw(0.35, 0.55)];
    b.block([-0.5 * depth + 0.015, 0.0, seat + 0.04], back);
}

fn armchair(b: &mut Builder, draw: &mut Draw<'_>) {
    let (depth, width, seat) = (draw(0.6, 0.85), draw(0.6, 0.95), draw(0.35, 0.45));
    b.block([0.0, 0.0, 0.06], [depth, width, seat - 0.06]);
    b.block(
        [-0.5 * depth + 0.08, 0.0, seat],
        [0.16, width, draw(0.35, 0.5)],
    );
    let arm = draw(0.15, 0.25);
    for side in [-1.0, 1.0] {
        let y = side * (0.5 * width - 0.07);
        b.block([0.0, y, seat], [depth, 0.14, arm]);
    }
    b.legs([depth - 0.1, width - 0.1], 0.05, 0.06);
}

fn office_chair(b: &mut Builder, draw: &mut Draw<'_>) {
    let (seat, radius) = (draw(0.4, 0.55), draw(0.22, 0.28));
    const SPOKES: u32 = 5;
    for spoke in 0..SPOKES {
        let yaw_rad = TAU * spoke as f32 / SPOKES as f32;
        let (sin, cos) = yaw_rad.sin_cos();
        b.turned_block([0.15 * cos, 0.15 * sin, 0.04], [0.3, 0.05, 0.06], yaw_rad);
    }
    b.cylinder([0.0, 0.0], 0.03, 0.08, seat - 0.08);
    b.cylinder([0.0, 0.0], radius, seat, 0.08);
    let back = [0.05, draw(0.35, 0.45), draw(0.4, 0.6)];
    b.block([-radius, 0.0, seat + 0.1], back);
}

/// Parts at random, so that no sort of things is learned by heart: posts, plates, balls, drums, blocks and cones, the first
/// of them on the ground, the others where they may be.
fn compound(b: &mut Builder, draw: &mut Draw<'_>) {
    let parts = draw(2.0, 7.0) as usize;
    for part in 0..parts {
        let at = [draw(-0.45, 0.45), draw(-0.45, 0.45)];
        let lift = match part > 0 && draw(0.0, 1.0) < 0.4 {
            true => draw(0.0, 0.8),
            false => 0.0,
        };
        match draw(0.0, 6.0) as usize {
            0 => {
                let thickness = draw(0.03, 0.1);
                let sides = [thickness, thickness, draw(0.2, 1.2)];
                b.turned_block([at[0], at[1], lift], sides, draw(-PI, PI));
            }
            1 => {
                let sides = [draw(0.2, 1.6), draw(0.2, 0.9), draw(0.03, 0.1)];
                let bottom = lift + if part > 0 { draw(0.1, 0.5) } else { 0.0 };
                b.turned_block([at[0], at[1], bottom], sides, draw(-PI, PI));
            }
            2 => {
                let radius = draw(0.08, 0.45);
                b.ball([at[0], at[1], lift + radius], radius);
            }
            3 => b.cylinder(at, draw(0.02, 0.35), lift, draw(0.1, 1.2)),
            4 => {
                let sides = [draw(0.1, 0.8), draw(0.1, 0.8), draw(0.1, 0.9)];
                b.turned_block([at[0], at[1], lift], sides, draw(-PI, PI));
            }
            _ => b.upright_cone_at(at, draw(0.1, 0.4), lift, draw(0.2, 0.9)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;

    #[test]
    fn objects_stand_on_the_ground_within_their_hull() {
        for (index, kind) in ObjectKind::all().enumerate() {
            assert_eq!(usize::from(kind.code()), index, "codes count up");
            for draw in 0..50 {
                let place = Point2::new(3.0, -1.0);
                let object = kind.draw(place, &mut stream(9, draw));
                let [mut lowest, mut widest] = [f32::INFINITY, f32::NEG_INFINITY];
                for part in &object.parts {
                    let [low, high] = part.bounds();
                    lowest = lowest.min(low.z);
                    // Walls and boxes are their own hull.
                    if low.z >= REACH_HEIGHT_M || [low, high] == object.hull.bounds() {
                        continue;
                    }
                    let outside = |x: f32, y: f32| {
                        let corner =
                            part.position_world + part.orientation * Vector3::new(x, y, 0.0);
                        object.hull.footprint_distance_m(&corner.xy())
                    };
                    let farthest = match part.shape {
                        ObstacleShape::Box { half_extents_m: h } => {
                            let corners = [(h.x, h.y), (h.x, -h.y), (-h.x, h.y), (-h.x, -h.y)];
                            corners
                                .map(|(x, y)| outside(x, y))
                                .into_iter()
                                .fold(f32::MIN, f32::max)
                        }
                        ObstacleShape::Cylinder { radius_m, .. } => outside(0.0, 0.0) + radius_m,
                        ObstacleShape::Ball { .. } | ObstacleShape::Cone { .. } => {
                            outside(0.0, 0.0)
                        }
                    };
                    widest = widest.max(farthest);
                }
                // The office chair's castors are left out.
                assert!(
                    (-1e-5..0.05).contains(&lowest),
                    "{kind:?} floats at {lowest} m"
                );
                assert!(widest < 1e-4, "{kind:?}: {widest} m outside of its hull");
            }
        }
    }

    #[test]
    fn training_and_test_share_no_kind() {
        assert!(
            ObjectKind::HELD_OUT
                .iter()
                .all(|kind| !ObjectKind::TRAINING.contains(kind))
        );
    }
}

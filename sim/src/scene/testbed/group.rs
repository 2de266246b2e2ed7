//! Obstacles beyond cylinders: boxes, walls, compounds of them, furniture; standing or moving.

use nalgebra::{Point2, Point3, UnitQuaternion, Vector2, Vector3};
use serde::{Deserialize, Serialize};

use super::{LARGEST, Passage, TestbedError, check_positive, check_range, range_error};
use crate::{
    random::{Stream, uniform},
    scene::{CLEARANCE_M, ObjectKind, Obstacle, ObstacleShape},
};

/// Obstacles that are placed as one. Ranges are `[low, high]`, in the world frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ObstacleGroup {
    /// How many of them, each at a place of its own.
    pub count: usize,
    /// Where its origin is drawn, m.
    pub x_m: [f32; 2],
    /// Where its origin is drawn, m.
    pub y_m: [f32; 2],
    /// How it is turned, rad.
    pub yaw_rad: [f32; 2],
    /// How fast it moves along its own x axis, m/s, through everything and without end; 0 for what stands.
    pub speed_mps: [f32; 2],
    /// When it is where it is drawn, if it moves, s after the start.
    pub at_s: [f32; 2],
    /// Least distance between its outline and the passage, m; 0 lets it stand in the way.
    pub passage_m: f32,
    /// What it is made of.
    pub parts: Vec<Part>,
    /// Or a thing of one of these kinds, of random size and turned at random.
    pub objects: Vec<ObjectKind>,
}

/// A part of a group, in its frame: x along its yaw, the origin on the ground.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Part {
    /// Upright cylinder.
    Cylinder {
        /// Radius, m.
        radius_m: f32,
        /// Height, m.
        height_m: f32,
        /// Middle of its foot, m.
        #[serde(default)]
        at_m: [f32; 3],
    },
    /// Upright box.
    Box {
        /// Length along x, width along y, height, m.
        size_m: [f32; 3],
        /// Middle of its foot, m.
        #[serde(default)]
        at_m: [f32; 3],
        /// How it is turned in the group, rad.
        #[serde(default)]
        yaw_rad: f32,
    },
}

/// Points of the passage that are looked at.
const PASSAGE_POINTS: usize = 100;
/// Draws for a place.
const DRAWS: usize = 1000;

impl Default for ObstacleGroup {
    fn default() -> Self {
        Self {
            count: 1,
            x_m: [1.5, 7.0],
            y_m: [-2.0, 2.0],
            yaw_rad: [0.0; 2],
            speed_mps: [0.0; 2],
            at_s: [0.0; 2],
            passage_m: 0.0,
            parts: Vec::new(),
            objects: Vec::new(),
        }
    }
}

impl ObstacleGroup {
    /// Checks all ranges; `name` is that of the group in errors.
    pub(super) fn validate(&self, name: &str) -> Result<(), TestbedError> {
        let key = |key: &str| format!("{name}.{key}");
        for (range_key, range) in [
            ("x_m", self.x_m),
            ("y_m", self.y_m),
            ("yaw_rad", self.yaw_rad),
            ("speed_mps", self.speed_mps),
            ("at_s", self.at_s),
        ] {
            check_range(&key(range_key), range)?;
        }
        for (range_key, [low, _]) in [("speed_mps", self.speed_mps), ("at_s", self.at_s)] {
            if low < 0.0 {
                return range_error(key(range_key), low, "zero or more");
            }
        }
        if !(0.0..=LARGEST).contains(&self.passage_m) {
            return range_error(key("passage_m"), self.passage_m, "from 0 to 100");
        }
        if self.parts.is_empty() == self.objects.is_empty() {
            let has = if self.parts.is_empty() {
                "empty"
            } else {
                "there beside `objects`"
            };
            return range_error(key("parts"), has, "what it is made of, or `objects` is");
        }
        for (index, part) in self.parts.iter().enumerate() {
            let sizes: &[(&str, f32)] = match part {
                Part::Cylinder {
                    radius_m, height_m, ..
                } => &[("radius_m", *radius_m), ("height_m", *height_m)],
                Part::Box { size_m, .. } => &size_m.map(|side_m| ("size_m", side_m)),
            };
            let key = |part_key: &str| key(&format!("parts[{index}].{part_key}"));
            for (size_key, size_m) in sizes {
                check_positive(&key(size_key), *size_m)?;
            }
            for (place_key, value) in part.place() {
                check_range(&key(place_key), [value; 2])?;
            }
        }
        Ok(())
    }

    /// Draws all obstacles of all groups, clear of start, goal and passage.
    pub(super) fn draw(
        &self,
        name: &str,
        passage: &Passage,
        stream: &mut Stream,
        obstacles: &mut Vec<Obstacle>,
    ) -> Result<(), TestbedError> {
        for _ in 0..self.count {
            let mut places = (0..DRAWS).map(|_| self.draw_one(stream));
            let free = places.find(|group| group.iter().all(|part| self.is_clear(part, passage)));
            obstacles.extend(free.ok_or_else(|| TestbedError::NoPlace {
                group: name.to_owned(),
                draws: DRAWS,
            })?);
        }
        Ok(())
    }

    fn draw_one(&self, stream: &mut Stream) -> Vec<Obstacle> {
        let place = Point2::new(uniform(self.x_m, stream), uniform(self.y_m, stream));
        let yaw_rad = uniform(self.yaw_rad, stream);
        let (speed_mps, at_s) = (uniform(self.speed_mps, stream), uniform(self.at_s, stream));
        let velocity = speed_mps * Vector2::new(yaw_rad.cos(), yaw_rad.sin());
        let mut obstacles: Vec<_> = match self.objects.as_slice() {
            [] => (self.parts.iter())
                .map(|part| part.at(place, yaw_rad))
                .collect(),
            kinds => {
                let last = kinds.len() - 1;
                let kind = (uniform([0.0, 1.0], stream) * kinds.len() as f32) as usize;
                kinds[kind.min(last)].draw(place, stream).parts
            }
        };
        for obstacle in &mut obstacles {
            obstacle.velocity_world = velocity.push(0.0);
            obstacle.position_world -= at_s * obstacle.velocity_world;
        }
        obstacles
    }

    /// Whether a part leaves start, goal and passage free, those two at all times.
    fn is_clear(&self, part: &Obstacle, passage: &Passage) -> bool {
        let ends_are_clear = [passage.start, passage.end]
            .iter()
            .all(|end| part.nearest_footprint_distance_m(end) >= CLEARANCE_M);
        let passage_is_clear = || {
            (0..=PASSAGE_POINTS).all(|point| {
                let fraction = point as f32 / PASSAGE_POINTS as f32;
                let x_m = passage.start.x + fraction * (passage.end.x - passage.start.x);
                let point = Point2::new(x_m, passage.y_m(x_m));
                part.footprint_distance_m(&point) >= self.passage_m
            })
        };
        ends_are_clear && (self.passage_m == 0.0 || passage_is_clear())
    }
}

impl Part {
    /// The numbers that say where it is in its group.
    fn place(&self) -> [(&'static str, f32); 4] {
        let (&[x, y, z], yaw_rad) = match self {
            Self::Cylinder { at_m, .. } => (at_m, 0.0),
            Self::Box { at_m, yaw_rad, .. } => (at_m, *yaw_rad),
        };
        [("at_m", x), ("at_m", y), ("at_m", z), ("yaw_rad", yaw_rad)]
    }

    /// In the world, as part of a group at this place.
    fn at(&self, place: Point2<f32>, group_yaw_rad: f32) -> Obstacle {
        let about_z = |rad| UnitQuaternion::from_axis_angle(&Vector3::z_axis(), rad);
        let (shape, at_m, height_m, yaw_rad) = match *self {
            Self::Cylinder {
                radius_m,
                height_m,
                at_m,
            } => {
                let shape = ObstacleShape::Cylinder { radius_m, height_m };
                (shape, at_m, height_m, 0.0)
            }
            Self::Box {
                size_m,
                at_m,
                yaw_rad,
            } => {
                let half_extents_m = 0.5 * Vector3::from(size_m);
                let shape = ObstacleShape::Box { half_extents_m };
                (shape, at_m, size_m[2], yaw_rad)
            }
        };
        let centre = Vector3::from(at_m) + Vector3::new(0.0, 0.0, 0.5 * height_m);
        let foot = Point3::new(place.x, place.y, 0.0);
        Obstacle {
            shape,
            position_world: foot + about_z(group_yaw_rad) * centre,
            orientation: about_z(group_yaw_rad + yaw_rad),
            velocity_world: Vector3::zeros(),
        }
    }
}

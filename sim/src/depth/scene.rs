//! Scenes with objects of many kinds.

use nalgebra::{Point2, Vector2};
use policies::{Goal, RayScan, RaySpec, depth::DepthSamples};
use rand::RngExt;
use robots::RobotState;

use super::RecordingConfig;
use crate::{
    random::{Stream, uniform},
    scene::{CLEARANCE_M, Object, ObjectKind, Obstacle},
    sensors::RayCaster,
};

/// Draws for a free place before an object is left out, or the robot stands where it can.
const PLACE_DRAWS: usize = 40;
/// Free space between two objects, m.
const GAP_M: f32 = 0.2;

/// Objects on a plane.
#[derive(Clone, Debug)]
pub struct DepthScene {
    /// What stands there.
    pub objects: Vec<Object>,
    /// All parts of all objects: what cameras and rays see.
    pub parts: Vec<Obstacle>,
    /// One obstacle per object: what the robot of a recording avoids.
    pub hulls: Vec<Obstacle>,
}

impl DepthScene {
    /// Draws objects of the given kinds.
    ///
    /// # Panics
    /// When there are no kinds.
    pub fn draw(kinds: &[ObjectKind], config: &RecordingConfig, stream: &mut Stream) -> Self {
        let [fewest, most] = config.objects;
        let count = fewest + (stream.random::<f32>() * (most - fewest + 1) as f32) as usize;
        let mut objects: Vec<Object> = Vec::with_capacity(count);
        for _ in 0..count {
            let kind = kinds[stream.random_range(0..kinds.len())];
            for _ in 0..PLACE_DRAWS {
                let place = draw_place(config, stream);
                let object = kind.draw(place, stream);
                if objects.iter().all(|other| gap_m(&object, other) > GAP_M) {
                    objects.push(object);
                    break;
                }
            }
        }
        Self::new(objects)
    }

    /// These objects.
    pub fn new(objects: Vec<Object>) -> Self {
        Self {
            parts: objects
                .iter()
                .flat_map(|o| o.parts.iter().cloned())
                .collect(),
            hulls: objects.iter().map(|o| o.hull.clone()).collect(),
            objects,
        }
    }

    /// A place without an object; anywhere in the area if none is found.
    pub(super) fn free_place(&self, config: &RecordingConfig, stream: &mut Stream) -> Point2<f32> {
        let mut place = draw_place(config, stream);
        for _ in 0..PLACE_DRAWS {
            if self
                .hulls
                .iter()
                .all(|hull| hull.footprint_distance_m(&place) > CLEARANCE_M)
            {
                break;
            }
            place = draw_place(config, stream);
        }
        place
    }

    /// A goal some way off.
    pub(super) fn goal(
        &self,
        from: Point2<f32>,
        config: &RecordingConfig,
        stream: &mut Stream,
    ) -> Goal {
        let mut place = self.free_place(config, stream);
        for _ in 0..PLACE_DRAWS {
            if (2.0..8.0).contains(&(place - from).norm()) {
                break;
            }
            place = self.free_place(config, stream);
        }
        let ahead: Vector2<f32> = place - from;
        Goal {
            position_world: place,
            heading_rad: ahead.y.atan2(ahead.x) + uniform([-0.3, 0.3], stream),
        }
    }

    /// The rays, and the code of the kind that each of them hits.
    pub fn cast(
        &self,
        caster: &RayCaster,
        rays: &RaySpec,
        state: &RobotState,
        scan: &mut RayScan,
        hit: &mut Vec<u8>,
    ) {
        scan.clone_from(&RayScan::clear(rays));
        hit.clear();
        hit.resize(rays.count, DepthSamples::NOTHING);
        let mut one = scan.clone();
        for object in &self.objects {
            caster.cast(state, &object.parts, 0.0, &mut one);
            for ((distance, hit), new) in scan
                .distance_m
                .iter_mut()
                .zip(&mut *hit)
                .zip(&one.distance_m)
            {
                if *new < *distance {
                    *distance = *new;
                    *hit = object.kind.code();
                }
            }
        }
    }
}

fn draw_place(config: &RecordingConfig, stream: &mut Stream) -> Point2<f32> {
    Point2::new(
        uniform(config.area_x_m, stream),
        uniform(config.area_y_m, stream),
    )
}

/// Distance between the circles around two objects, m; negative where they overlap.
fn gap_m(a: &Object, b: &Object) -> f32 {
    let circle = |object: &Object| {
        let [low, high] = object.hull.bounds();
        let half = 0.5 * (high - low).xy();
        (low.xy() + half, half.norm().min(half.amax() * 1.2))
    };
    let ((a, radius_a), (b, radius_b)) = (circle(a), circle(b));
    (a - b).norm() - radius_a - radius_b
}

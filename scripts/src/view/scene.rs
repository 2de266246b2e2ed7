//! The scene around the robot: ground, obstacles, goal.

use anyhow::Result;
use nalgebra::{Point2, Point3, UnitQuaternion, Vector3};
use re_sdk::RecordingStream;
use re_sdk_types::{
    archetypes::{Boxes3D, Cylinders3D, Ellipsoids3D, Mesh3D},
    components::{AlbedoFactor, Color, FillMode},
};
use sim::scene::{HeightField, Obstacle, ObstacleShape, Terrain};

use super::robot::{point, quaternion, vector};

const GROUND: [u8; 3] = [58, 62, 68];
const STATIC: [u8; 3] = [214, 158, 92];
const MOVING: [u8; 3] = [222, 96, 84];
const GOAL: [u8; 3] = [72, 196, 104];
/// Half side length of flat ground, m.
const GROUND_M: f32 = 30.0;
/// Ground is so far below, so that it does not cover what lies on it, m.
const BELOW_M: f32 = 0.003;
/// Edges of the base of a cone.
const CONE_EDGES: u32 = 24;

/// The ground, in place of an earlier one.
pub(super) fn log_ground(stream: &RecordingStream, terrain: &Terrain) -> Result<()> {
    let (flat, rough) = match terrain {
        Terrain::Flat => (slab(), Mesh3D::clear_fields()),
        Terrain::HeightField(field) => (Boxes3D::clear_fields(), mesh_of(field)),
    };
    stream.log("world/ground/flat", &flat)?;
    Ok(stream.log("world/ground/rough", &rough)?)
}

fn slab() -> Boxes3D {
    const HALF_M: f32 = 0.02;
    Boxes3D::from_centers_and_half_sizes(
        [[0.0, 0.0, -HALF_M - BELOW_M]],
        [[GROUND_M, GROUND_M, HALF_M]],
    )
    .with_colors([GROUND])
    .with_fill_mode(FillMode::Solid)
}

fn mesh_of(field: &HeightField) -> Mesh3D {
    let grid = || (0..field.points_x).flat_map(|ix| (0..field.points_y).map(move |iy| (ix, iy)));
    let xy = |(ix, iy): (usize, usize)| {
        let [x, y] = field.origin_m;
        (x + ix as f32 * field.cell_m, y + iy as f32 * field.cell_m)
    };
    let index = |ix: usize, iy: usize| (ix * field.points_y + iy) as u32;
    let cells = grid().filter(|(ix, iy)| ix + 1 < field.points_x && iy + 1 < field.points_y);
    let triangles = cells.flat_map(|(ix, iy)| {
        let [near, left] = [index(ix, iy), index(ix, iy + 1)];
        let [ahead, far] = [index(ix + 1, iy), index(ix + 1, iy + 1)];
        [[near, ahead, left], [ahead, far, left]]
    });
    Mesh3D::new(grid().map(|(ix, iy)| {
        let (x, y) = xy((ix, iy));
        [x, y, field.heights_m[ix * field.points_y + iy] - BELOW_M]
    }))
    .with_triangle_indices(triangles)
    .with_vertex_normals(grid().map(|at| {
        let (x, y) = xy(at);
        vector(&field.normal(x, y))
    }))
    .with_albedo_factor(albedo(GROUND))
}

/// All obstacles where they are `time_s` after the start, in place of earlier ones.
pub(super) fn log_obstacles(
    stream: &RecordingStream,
    obstacles: &[Obstacle],
    time_s: f32,
) -> Result<()> {
    let mut boxes = Vec::new();
    let mut cylinders = Vec::new();
    let mut balls = Vec::new();
    let mut cones = Cones::default();
    for obstacle in obstacles {
        let at = obstacle.position_at(time_s);
        let color = Color::from(if obstacle.moves() { MOVING } else { STATIC });
        match obstacle.shape {
            ObstacleShape::Box { half_extents_m } => boxes.push((
                point(&at),
                vector(&half_extents_m),
                quaternion(&obstacle.orientation),
                color,
            )),
            ObstacleShape::Cylinder { radius_m, height_m } => {
                cylinders.push((point(&at), radius_m, height_m, color));
            }
            ObstacleShape::Ball { radius_m } => balls.push((point(&at), radius_m, color)),
            ObstacleShape::Cone { radius_m, height_m } => {
                cones.add(at, &obstacle.orientation, radius_m, height_m);
            }
        }
    }
    let solid = Boxes3D::from_half_sizes(boxes.iter().map(|(_, half, ..)| *half))
        .with_centers(boxes.iter().map(|(at, ..)| *at))
        .with_quaternions(boxes.iter().map(|(_, _, turn, _)| *turn))
        .with_colors(boxes.iter().map(|(.., color)| *color))
        .with_fill_mode(FillMode::Solid);
    stream.log("world/obstacles/boxes", &solid)?;
    let lengths = cylinders.iter().map(|(_, _, height, _)| *height);
    let radii = cylinders.iter().map(|(_, radius, ..)| *radius);
    let solid = Cylinders3D::from_lengths_and_radii(lengths, radii)
        .with_centers(cylinders.iter().map(|(at, ..)| *at))
        .with_colors(cylinders.iter().map(|(.., color)| *color))
        .with_fill_mode(FillMode::Solid);
    stream.log("world/obstacles/cylinders", &solid)?;
    let centers = balls.iter().map(|(at, ..)| *at);
    let solid = Ellipsoids3D::from_centers_and_radii(centers, balls.iter().map(|(_, r, _)| *r))
        .with_colors(balls.iter().map(|(.., color)| *color))
        .with_fill_mode(FillMode::Solid);
    stream.log("world/obstacles/balls", &solid)?;
    Ok(stream.log("world/obstacles/cones", &cones.mesh())?)
}

/// All cones as one mesh.
#[derive(Default)]
struct Cones {
    vertices: Vec<[f32; 3]>,
    triangles: Vec<[u32; 3]>,
}

impl Cones {
    fn add(
        &mut self,
        at: Point3<f32>,
        orientation: &UnitQuaternion<f32>,
        radius_m: f32,
        height_m: f32,
    ) {
        let first = self.vertices.len() as u32;
        // The axis of a cone is y.
        let mut push =
            |vertex: Vector3<f32>| self.vertices.push(point(&(at + orientation * vertex)));
        push(0.5 * height_m * Vector3::y());
        for edge in 0..CONE_EDGES {
            let (sin, cos) = (std::f32::consts::TAU * edge as f32 / CONE_EDGES as f32).sin_cos();
            push(Vector3::new(
                radius_m * cos,
                -0.5 * height_m,
                radius_m * sin,
            ));
        }
        let triangles = (0..CONE_EDGES)
            .map(|edge| [first, first + 1 + edge, first + 1 + (edge + 1) % CONE_EDGES]);
        self.triangles.extend(triangles);
    }

    fn mesh(self) -> Mesh3D {
        match self.vertices.is_empty() {
            true => Mesh3D::clear_fields(),
            false => Mesh3D::new(self.vertices)
                .with_triangle_indices(self.triangles)
                .with_albedo_factor(albedo(STATIC)),
        }
    }
}

fn albedo([r, g, b]: [u8; 3]) -> AlbedoFactor {
    AlbedoFactor::from([r, g, b, 255])
}

/// Whether some obstacles move.
pub(super) fn has_moving(obstacles: &[Obstacle]) -> bool {
    obstacles.iter().any(Obstacle::moves)
}

/// The goal: a disc of the distance that counts as reached, and a post.
#[derive(Default)]
pub(super) struct Goal {
    reach_m: f32,
    shown_world: Option<Point2<f32>>,
}

impl Goal {
    pub(super) fn new(reach_m: f32) -> Self {
        Self {
            reach_m,
            shown_world: None,
        }
    }

    pub(super) fn log(
        &mut self,
        stream: &RecordingStream,
        goal_world: Option<Point2<f32>>,
    ) -> Result<()> {
        if goal_world == self.shown_world {
            return Ok(());
        }
        self.shown_world = goal_world;
        let goal = match goal_world {
            Some(at) => Cylinders3D::from_lengths_and_radii([0.01, 1.0], [self.reach_m, 0.02])
                .with_centers([[at.x, at.y, 0.005], [at.x, at.y, 0.5]])
                .with_colors([GOAL, GOAL])
                .with_fill_mode(FillMode::Solid),
            None => Cylinders3D::clear_fields(),
        };
        Ok(stream.log("world/goal", &goal)?)
    }
}

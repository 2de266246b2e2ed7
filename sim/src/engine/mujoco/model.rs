//! A robot in MuJoCo's terms.

use mujoco_rs::prelude::{MjData, MjModel};
use robots::Robot;

use super::{
    mjcf::{self, SceneDescription},
    terrain,
};
use crate::{
    engine::{EngineError, PhysicsConfig, contact_forces::ContactTag},
    scene::Terrain,
};

/// A compiled model and its state.
pub type Data = MjData<Box<MjModel>>;

pub struct RobotModel {
    robot: Robot,
    pub num_legs: usize,
    /// What the robot's shapes count as, link by link.
    tags: Vec<ContactTag>,
}

pub struct RobotJoint {
    pub velocity_limit_radps: f32,
    pub effort_limit_nm: f32,
    pub armature_kgm2: f64,
    pub damping_nms: f64,
    pub motor_stiffness: f32,
    pub motor_damping: f32,
}

impl RobotJoint {
    fn all(robot: &Robot) -> Vec<Self> {
        let control = &robot.control;
        let gains = control.stiffness.iter().zip(&control.damping);
        let joints = robot.joints().zip(gains);
        let joints = joints.map(|(joint, (&stiffness, &damping))| Self {
            velocity_limit_radps: joint.velocity_limit_radps,
            effort_limit_nm: joint.effort_limit_nm,
            armature_kgm2: joint.armature_kgm2.into(),
            damping_nms: joint.damping_nms.into(),
            motor_stiffness: stiffness,
            motor_damping: damping,
        });
        joints.collect()
    }
}

/// The robot of an episode in its scene.
pub struct Compiled {
    pub data: Data,
    pub tags: GeomTags,
    pub joints: Vec<RobotJoint>,
}

/// What each geometry of a compiled model counts as.
pub struct GeomTags {
    /// Index of the robot's first geometry.
    first: usize,
    tags: Vec<ContactTag>,
}

impl GeomTags {
    /// `None` for geometries of the world.
    pub fn get(&self, geom: i32) -> Option<ContactTag> {
        let index = usize::try_from(geom).ok()?.checked_sub(self.first)?;
        self.tags.get(index).copied()
    }
}

impl RobotModel {
    pub fn new(robot: &Robot) -> Result<Self, EngineError> {
        if robot.num_joints() == 0 {
            return Err(EngineError::UnsupportedRobot {
                robot: robot.name.clone(),
                reason: "it has no joint".into(),
            });
        }
        let base = std::iter::once((0, &robot.base.link));
        let legs = robot.legs.iter().enumerate();
        let links =
            legs.flat_map(|(leg, joints)| joints.joints.iter().map(move |j| (leg, &j.link)));
        let shapes = base
            .chain(links)
            .flat_map(|(leg, link)| link.shapes.iter().map(move |shape| (leg, shape.class)));
        Ok(Self {
            num_legs: robot.num_feet(),
            tags: shapes
                .map(|(leg, class)| ContactTag { class, leg })
                .collect(),
            robot: robot.clone(),
        })
    }

    /// Compiles the robot in a scene.
    ///
    /// # Errors
    /// What MuJoCo does not accept, with its line of the MJCF.
    pub fn compile(
        &self,
        config: &PhysicsConfig,
        scene: &SceneDescription<'_>,
    ) -> Result<Compiled, EngineError> {
        let refused = |reason: String| EngineError::UnsupportedRobot {
            robot: self.robot.name.clone(),
            reason: format!("MuJoCo refuses the model: {reason}"),
        };
        let varied = scene.dynamics.varied(&self.robot);
        let robot = varied.as_ref().unwrap_or(&self.robot);
        let text = mjcf::model(robot, config, scene);
        let mut model = MjModel::from_xml_string(&text).map_err(|error| {
            let message = error.to_string();
            refused(message.split_whitespace().collect::<Vec<_>>().join(" "))
        })?;
        if let Terrain::HeightField(field) = scene.terrain {
            terrain::fill(field, model.hfield_data_mut());
        }
        let fixed = scene.obstacles.iter().filter(|it| !mjcf::is_moving(it));
        let tags = GeomTags {
            first: terrain::num_geoms(scene.terrain) + fixed.count(),
            tags: self.tags.clone(),
        };
        let data = MjData::try_new(Box::new(model)).map_err(|error| refused(error.to_string()))?;
        let joints = RobotJoint::all(robot);
        Ok(Compiled { data, tags, joints })
    }

    /// Number of joints.
    pub fn num_joints(&self) -> usize {
        self.robot.num_joints()
    }
}

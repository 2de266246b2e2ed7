//! A robot in MuJoCo's terms.

use mujoco_rs::prelude::{MjData, MjModel};
use robots::Robot;

use super::{
    foreign::ForeignModel,
    mjcf::{self, SceneDescription},
    terrain,
};
use crate::{
    engine::{EngineError, PhysicsConfig, STAND_DAMPING, contact_forces::ContactTag},
    scene::Terrain,
};

/// Coordinates of the base come before those of the joints: position and quaternion, linear and angular velocity.
const BASE_POSITIONS: usize = 7;
const BASE_DOFS: usize = 6;

/// Inertia of a trunk on a stand, kg and kg·m².
const STAND_INERTIA: f64 = 1e6;

/// A compiled model and its state.
pub type Data = MjData<Box<MjModel>>;

pub struct RobotModel {
    robot: Robot,
    pub num_legs: usize,
    /// What the robot's shapes count as, link by link.
    tags: Vec<ContactTag>,
    foreign: Option<ForeignModel>,
}

pub struct RobotJoint {
    /// Place of its angle in MuJoCo's coordinates.
    pub position_at: usize,
    /// Place in MuJoCo's velocities.
    pub dof: usize,
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
        let joints = joints.enumerate();
        let joints = joints.map(|(index, (joint, (&stiffness, &damping)))| Self {
            position_at: BASE_POSITIONS + index,
            dof: BASE_DOFS + index,
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

/// What each geometry of a compiled model counts as; `None` for those of the world.
pub struct GeomTags(Vec<Option<ContactTag>>);

impl GeomTags {
    /// `None` for geometries of the world.
    pub fn get(&self, geom: i32) -> Option<ContactTag> {
        *self.0.get(usize::try_from(geom).ok()?)?
    }
}

impl RobotModel {
    pub fn new(robot: &Robot, config: &PhysicsConfig) -> Result<Self, EngineError> {
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
        let foreign = config.mjcf.as_ref();
        Ok(Self {
            foreign: foreign
                .map(|path| ForeignModel::load(path, robot))
                .transpose()?,
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
        let refused = |error: String| {
            let message = error.split_whitespace().collect::<Vec<_>>().join(" ");
            let reason = format!("MuJoCo refuses the model: {message}");
            match &self.foreign {
                Some(foreign) => EngineError::Mjcf {
                    file: foreign.file().to_owned(),
                    reason,
                },
                None => EngineError::UnsupportedRobot {
                    robot: self.robot.name.clone(),
                    reason,
                },
            }
        };
        let varied = scene.dynamics.varied(&self.robot);
        let robot = varied.as_ref().unwrap_or(&self.robot);
        let text = match &self.foreign {
            None => mjcf::model(robot, config, scene),
            Some(foreign) => foreign.with(&mjcf::scene_sections(config, scene)),
        };
        let mut model =
            MjModel::from_xml_string(&text).map_err(|error| refused(error.to_string()))?;
        if let Terrain::HeightField(field) = scene.terrain {
            terrain::fill(field, model.hfield_data_mut());
        }
        if scene.dynamics.on_stand {
            // The solver of constraints does not see what damps the trunk.
            model.dof_armature_mut()[..BASE_DOFS].fill(STAND_INERTIA);
            model.dof_damping_mut()[..BASE_DOFS].fill(STAND_DAMPING.into());
        }
        let mut joints = RobotJoint::all(robot);
        let tags = match &self.foreign {
            Some(foreign) => foreign.tags(&model, robot),
            None => {
                let fixed = scene.obstacles.iter().filter(|it| !it.moves());
                let first = terrain::num_geoms(scene.terrain) + fixed.count();
                let own = self.tags.iter().map(|tag| Some(*tag));
                std::iter::repeat_n(None, first).chain(own).collect()
            }
        };
        let data = MjData::try_new(Box::new(model));
        let mut data = data.map_err(|error| refused(error.to_string()))?;
        if let Some(foreign) = &self.foreign {
            foreign.vary(&mut data, scene.dynamics, &tags);
            foreign.place(data.model(), &mut joints);
        }
        let tags = GeomTags(tags);
        Ok(Compiled { data, tags, joints })
    }

    /// Number of joints.
    pub fn num_joints(&self) -> usize {
        self.robot.num_joints()
    }
}

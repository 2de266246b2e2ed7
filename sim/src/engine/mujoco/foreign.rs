//! A robot as somebody else's MJCF describes it: its bodies, masses, rotors, dry friction and contacts, with our motors, passive
//! damping and scenes. Joints go by their names, and the body that carries them all is the base.

use std::path::Path;

use mujoco_rs::prelude::{
    MjModel, MjSpec, MjtJoint, MjtObjBase, SpecElement as _, SpecObject as _,
};
use nalgebra::{Matrix3, Quaternion, Rotation3, UnitQuaternion, Vector3};
use robots::{ContactClass, Link, Robot};

use super::{
    mjcf::contact_reference,
    model::{Data, RobotJoint},
};
use crate::engine::{Dynamics, EngineError, contact_forces::ContactTag, variation::BaseMass};

/// How far a foot of the MJCF may be from ours, m.
const FOOT_TOLERANCE_M: f64 = 0.02;

/// An MJCF without what is only to be looked at.
pub struct ForeignModel {
    file: String,
    /// The text, but for the end of its root element.
    text: String,
    /// Names of the joints, in the order of ours.
    joints: Vec<String>,
}

impl ForeignModel {
    /// Reads the file, and checks that it has the robot's joints.
    ///
    /// # Errors
    /// What MuJoCo does not accept, with its line, or the joints that do not match.
    pub fn load(path: &Path, robot: &Robot) -> Result<Self, EngineError> {
        let file = path.display().to_string();
        let refused = |reason: String| EngineError::Mjcf {
            file: file.clone(),
            reason: reason.split_whitespace().collect::<Vec<_>>().join(" "),
        };
        let path = path
            .canonicalize()
            .map_err(|error| refused(error.to_string()))?;
        let mut spec = MjSpec::from_xml(&path).map_err(|error| refused(error.to_string()))?;
        strip(&mut spec).map_err(|error| refused(error.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        let meshes = folder.join(spec.compiler().meshdir());
        spec.compiler_mut().set_meshdir(&meshes.to_string_lossy());
        let model = spec.compile().map_err(|error| refused(error.to_string()))?;
        let joints: Vec<String> = robot.joints().map(|joint| joint.name.clone()).collect();
        check_joints(&model, &joints).map_err(refused)?;
        let text = written(&spec).map_err(|error| refused(error.to_string()))?;
        let text = text
            .trim_end()
            .strip_suffix("</mujoco>")
            .ok_or_else(|| refused("it has no end".to_owned()))?;
        Ok(Self {
            text: text.to_owned(),
            joints,
            file,
        })
    }

    /// The MJCF with more sections.
    pub fn with(&self, sections: &str) -> String {
        format!("{}{sections}</mujoco>", self.text)
    }

    /// The file, for messages.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Where the joints of the compiled model are, and their rotors.
    pub fn place(&self, model: &MjModel, joints: &mut [RobotJoint]) {
        for (name, joint) in self.joints.iter().zip(joints) {
            // The check at loading found them all.
            let Some(id) = model.name_to_id(MjtObjBase::mjOBJ_JOINT, name) else {
                continue;
            };
            joint.position_at = model.jnt_qposadr()[id] as usize;
            joint.dof = model.jnt_dofadr()[id] as usize;
            joint.armature_kgm2 = model.dof_armature()[joint.dof];
        }
    }

    /// What the robot's geometries count as: a sphere near our foot is a foot, and the others are of the class that our link
    /// has.
    pub fn tags(&self, model: &MjModel, robot: &Robot) -> Vec<Option<ContactTag>> {
        let mut of_body = vec![None; model.body_parentid().len()];
        if let Some(base) = self.base_body(model) {
            of_body[base] = Some((0, None));
        }
        let legs = robot.legs.iter().enumerate();
        let joints = legs.flat_map(|(leg, it)| it.joints.iter().map(move |joint| (leg, joint)));
        for (name, (leg, joint)) in self.joints.iter().zip(joints) {
            if let Some(id) = model.name_to_id(MjtObjBase::mjOBJ_JOINT, name) {
                of_body[model.jnt_bodyid()[id] as usize] = Some((leg, Some(joint)));
            }
        }
        let tag = |geom: usize| {
            let mut body = model.geom_bodyid()[geom] as usize;
            // A body without joint moves with its parent.
            while of_body[body].is_none() && body != 0 {
                body = model.body_parentid()[body] as usize;
            }
            let (leg, joint) = of_body[body]?;
            let class = match joint {
                None => ContactClass::Base,
                Some(joint) => {
                    let foot = &robot.legs[leg].foot;
                    let is_last = robot.legs[leg].joints.last() == Some(joint);
                    let at = Vector3::from(model.geom_pos()[geom]);
                    let apart_m = (at - foot.position.coords.cast()).norm();
                    let is_sphere = model.geom_size()[geom][1] == 0.0;
                    match is_last && is_sphere && apart_m < FOOT_TOLERANCE_M {
                        true => ContactClass::Foot,
                        false => class_of(&joint.link),
                    }
                }
            };
            Some(ContactTag { class, leg })
        };
        (0..model.geom_bodyid().len()).map(tag).collect()
    }

    /// Makes the robot of an episode of the compiled one.
    pub fn vary(&self, data: &mut Data, dynamics: &Dynamics, tags: &[Option<ContactTag>]) {
        let base = self.base_body(data.model());
        // SAFETY: neither sizes nor indices of the model change.
        let model = unsafe { data.model_mut() };
        for (geom, _) in tags.iter().enumerate().filter(|(_, tag)| tag.is_some()) {
            model.geom_friction_mut()[geom][0] = dynamics.friction.into();
            if let Some(reference) = contact_reference(dynamics) {
                model.geom_solref_mut()[geom] = reference.map(f64::from);
            }
        }
        if let Some(base) = base {
            let described = base_mass(model, base);
            let added_kg = dynamics.added_base_mass_kg;
            let mass = match &dynamics.variation {
                None => described.with(added_kg, &Vector3::zeros()),
                Some(variation) => variation.base(&described, added_kg),
            };
            set_base_mass(model, base, &mass);
        }
        for (index, name) in self.joints.iter().enumerate() {
            let Some(id) = model.name_to_id(MjtObjBase::mjOBJ_JOINT, name) else {
                continue;
            };
            let (dof, body) = (
                model.jnt_dofadr()[id] as usize,
                model.jnt_bodyid()[id] as usize,
            );
            // Motors and damping act from outside.
            model.dof_damping_mut()[dof] = 0.0;
            let Some(variation) = &dynamics.variation else {
                continue;
            };
            let link_mass = f64::from(variation.link_mass[index]);
            model.body_mass_mut()[body] *= link_mass;
            for inertia in &mut model.body_inertia_mut()[body] {
                *inertia *= link_mass;
            }
            model.dof_frictionloss_mut()[dof] += f64::from(variation.added_friction_nm[index]);
            model.dof_armature_mut()[dof] *= f64::from(variation.armature[index]);
        }
        data.set_const();
    }

    /// The body that carries all joints.
    fn base_body(&self, model: &MjModel) -> Option<usize> {
        let id = model.name_to_id(MjtObjBase::mjOBJ_JOINT, self.joints.first()?)?;
        let body = model.jnt_bodyid()[id] as usize;
        Some(model.body_rootid()[body] as usize)
    }
}

/// Deletes what is only to be looked at, the scene that comes with the robot, and poses that fit no other scene.
fn strip(spec: &mut MjSpec) -> Result<(), mujoco_rs::error::MjEditError> {
    // SAFETY: each element is deleted once, and no handle outlives its deletion.
    unsafe {
        while let Some(geom) = spec.world_body_mut().geom_iter_mut(false).next() {
            geom.delete()?;
        }
        while let Some(geom) = (spec.geom_iter_mut()).find(|geom| {
            let touches = geom.contype() != 0 || geom.conaffinity() != 0;
            !touches && !geom.meshname().is_empty()
        }) {
            geom.delete()?;
        }
        let used: Vec<String> = (spec.geom_iter())
            .map(|geom| geom.meshname().to_owned())
            .collect();
        while let Some(mesh) = (spec.mesh_iter_mut()).find(|mesh| {
            // Without name a mesh is called like its file.
            let (name, file) = (mesh.name(), Path::new(mesh.file()).file_stem());
            let is_used =
                |used: &String| used == name || file.is_some_and(|file| file == used.as_str());
            !used.iter().any(is_used)
        }) {
            mesh.delete()?;
        }
        while let Some(key) = spec.key_iter_mut().next() {
            key.delete()?;
        }
    }
    Ok(())
}

fn check_joints(model: &MjModel, joints: &[String]) -> Result<(), String> {
    let names = (0..model.jnt_type().len()).filter_map(|id| {
        let is_free = model.jnt_type()[id] == MjtJoint::mjJNT_FREE;
        let name = model.id_to_name(MjtObjBase::mjOBJ_JOINT, id);
        (!is_free).then(|| name.unwrap_or("without name").to_owned())
    });
    let found: Vec<String> = names.collect();
    let missing: Vec<&str> = joints
        .iter()
        .filter(|joint| !found.contains(joint))
        .map(String::as_str)
        .collect();
    let more: Vec<&str> = found
        .iter()
        .filter(|joint| !joints.contains(joint))
        .map(String::as_str)
        .collect();
    if !missing.is_empty() || !more.is_empty() {
        let list = |names: &[&str]| match names {
            [] => "none".to_owned(),
            names => names.join(", "),
        };
        return Err(format!(
            "its joints are not the robot's: it lacks {}, and has besides {}",
            list(&missing),
            list(&more)
        ));
    }
    if model
        .jnt_type()
        .iter()
        .all(|&kind| kind != MjtJoint::mjJNT_FREE)
    {
        return Err("its robot has no free joint: it is fixed to the world".to_owned());
    }
    Ok(())
}

fn written(spec: &MjSpec) -> Result<String, mujoco_rs::error::MjEditError> {
    use mujoco_rs::error::MjEditError::XmlBufferTooSmall;
    match spec.save_xml_string(1 << 20) {
        Err(XmlBufferTooSmall { required_size }) => spec.save_xml_string(1 + required_size),
        other => other,
    }
}

/// What the shapes of a link count as, feet excepted.
fn class_of(link: &Link) -> ContactClass {
    let mut classes = link.shapes.iter().map(|shape| shape.class);
    classes
        .find(|&class| class != ContactClass::Foot)
        .unwrap_or(ContactClass::Thigh)
}

fn base_mass(model: &MjModel, body: usize) -> BaseMass {
    let [w, i, j, k] = model.body_iquat()[body];
    let turn = UnitQuaternion::new_normalize(Quaternion::new(w, i, j, k)).to_rotation_matrix();
    let diagonal = Matrix3::from_diagonal(&Vector3::from(model.body_inertia()[body]));
    let inertia = turn.matrix() * diagonal * turn.matrix().transpose();
    BaseMass {
        mass_kg: model.body_mass()[body] as f32,
        com: Vector3::from(model.body_ipos()[body]).cast(),
        inertia_kgm2: inertia.cast(),
    }
}

fn set_base_mass(model: &mut MjModel, body: usize, mass: &BaseMass) {
    let principal = mass.inertia_kgm2.cast::<f64>().symmetric_eigen();
    let mut axes = principal.eigenvectors;
    if axes.determinant() < 0.0 {
        axes.column_mut(2).neg_mut();
    }
    let turn = UnitQuaternion::from_rotation_matrix(&Rotation3::from_matrix_unchecked(axes));
    model.body_mass_mut()[body] = mass.mass_kg.into();
    model.body_ipos_mut()[body] = mass.com.cast().into();
    model.body_iquat_mut()[body] = [turn.w, turn.i, turn.j, turn.k];
    model.body_inertia_mut()[body] = principal.eigenvalues.into();
}

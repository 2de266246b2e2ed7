//! A quadruped for the unit tests: right numbers of feet and joints, and no mass.

use nalgebra::{Isometry3, Matrix3, Point3, Vector3};
use robots::{Base, Control, Foot, Joint, Leg, Link, Robot};

pub(crate) fn quadruped() -> Robot {
    let link = |name: &str| Link {
        name: name.to_owned(),
        mass_kg: 0.0,
        com: Point3::origin(),
        inertia_kgm2: Matrix3::zeros(),
        shapes: Vec::new(),
    };
    let joint = |name: String| Joint {
        origin: Isometry3::identity(),
        axis: Vector3::y_axis(),
        lower_rad: -3.0,
        upper_rad: 3.0,
        velocity_limit_radps: 30.0,
        effort_limit_nm: 20.0,
        armature_kgm2: 0.0,
        damping_nms: 0.0,
        friction_nm: 0.0,
        link: link(&name),
        name,
    };
    let legs = ["FL", "FR", "RL", "RR"].map(|leg| Leg {
        name: leg.to_owned(),
        joints: ["hip", "thigh", "calf"]
            .map(|part| joint(format!("{leg}_{part}_joint")))
            .into(),
        foot: Foot {
            position: Point3::origin(),
            radius: 0.02,
        },
    });
    Robot {
        name: "quadruped".to_owned(),
        base: Base {
            link: link("trunk"),
        },
        legs: legs.into(),
        control: Control {
            default_position_rad: [0.0, 0.8, -1.5].repeat(4),
            standing_position_rad: [0.0, 1.0, -1.8].repeat(4),
            standing_height_m: 0.3,
            stiffness: vec![30.0; 12],
            damping: vec![0.65; 12],
            action_scale: 0.25,
        },
    }
}

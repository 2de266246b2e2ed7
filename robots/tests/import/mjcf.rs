//! MJCF, the format of MuJoCo.

use std::fs;

use robots::{ContactClass, Soundness};

use crate::{import_in, import_text, imported, lines, only_error};

/// A quadruped whose joints are in degrees, in classes, and beside the origins of their bodies.
fn dog() -> String {
    let leg = |name: &str, x: f64, y: f64| {
        let side = 0.08 * y.signum();
        format!(
            "<body name='{name}_hip' pos='{x} {y} 0'><inertial pos='0 0 0' mass='0.6' diaginertia='0.001 0.001 0.001'/>
             <joint name='{name}_a' axis='1 0 0' range='-45 45'/>
             <body name='{name}_thigh' pos='0 {side} -0.1'><inertial pos='0 0 0' mass='0.9' diaginertia='0.004 0.004 0.001'/>
             <joint name='{name}_b' class='swing' pos='0 0 0.1' range='-60 200'/>
             <geom type='capsule' fromto='0 0 0.08 0 0 -0.08' size='0.02'/>
             <geom type='box' size='0.1 0.1 0.1' class='visual'/>
             <body name='{name}_calf' pos='0 0 -0.1' euler='0 0 0'><inertial pos='0 0 -0.1' mass='0.2' diaginertia='0.001 0.001 0.0001'/>
             <joint name='{name}_c' class='swing' range='-155 -46'/>
             <geom type='cylinder' pos='0 0 -0.07' size='0.01 0.06'/><geom pos='0 0 -0.2' size='0.02'/></body></body></body>"
        )
    };
    let actuators: String = ["fl", "fr", "rl", "rr"]
        .iter()
        .flat_map(|leg| {
            ["a", "b", "c"].map(|joint| format!("<motor joint='{leg}_{joint}' gear='2'/>"))
        })
        .collect();
    format!(
        "<mujoco model='dog'><default><joint armature='0.01' damping='0.1'/><motor ctrlrange='-12 12'/>
         <default class='visual'><geom contype='0' conaffinity='0'/></default><default class='swing'><joint axis='0 1 0' frictionloss='0.3'/></default></default>
         <worldbody><geom type='plane' size='0 0 1'/><body name='trunk' pos='0 0 0.5'><freejoint/>
         <geom type='box' size='0.2 0.05 0.05' mass='5'/>{}{}{}{}</body></worldbody><actuator>{actuators}</actuator></mujoco>",
        leg("fl", 0.2, 0.05),
        leg("fr", 0.2, -0.05),
        leg("rl", -0.2, 0.05),
        leg("rr", -0.2, -0.05)
    )
}

#[test]
fn a_quadruped_in_mjcf_is_imported_and_sound() {
    let result = import_text(&dog());
    let text = lines(&result);
    assert!(text.contains("`trunk` has no <inertial>"), "{text}");
    let robot = imported(result);
    assert_eq!((robot.name.as_str(), robot.num_joints()), ("dog", 12));
    assert!((robot.mass_kg() - 11.8).abs() < 1e-4);
    assert_eq!(robot.soundness(), Soundness::default());
    let leg = &robot.legs[0];
    // The thigh's joint is 0.1 m over the origin of its body, at the height of the hip; the calf's is 0.2 m below it.
    let thigh = leg.joints[1].origin.translation.vector;
    assert!(
        (thigh - nalgebra::Vector3::new(0.0, 0.08, 0.0)).norm() < 1e-5,
        "{thigh}"
    );
    let calf = &leg.joints[2];
    assert!(
        (calf.origin.translation.vector.z + 0.2).abs() < 1e-5,
        "{calf:?}"
    );
    assert!(
        (calf.lower_rad + 155f32.to_radians()).abs() < 1e-4 && calf.axis.y > 0.99,
        "{calf:?}"
    );
    assert_eq!(
        (calf.armature_kgm2, calf.damping_nms, calf.friction_nm),
        (0.01, 0.1, 0.3)
    );
    assert_eq!(
        (calf.effort_limit_nm, calf.velocity_limit_radps),
        (24.0, 20.0)
    );
    assert!(
        (leg.foot.position.z + 0.2).abs() < 1e-5 && leg.foot.radius == 0.02,
        "{:?}",
        leg.foot
    );
    // The capsule of the thigh is 0.2 m long, and what is only looked at does not collide.
    let shapes = &leg.joints[1].link.shapes;
    assert_eq!((shapes.len(), shapes[0].class), (1, ContactClass::Thigh));
    assert!(
        (shapes[0].reach_m(&-nalgebra::Vector3::z()) - 0.2).abs() < 1e-4,
        "{shapes:?}"
    );
}

#[test]
fn a_scene_that_includes_the_robot_says_which_file() {
    let scene = "<mujoco><include file='dog.xml'/><worldbody><geom type='plane' size='0 0 1'/></worldbody></mujoco>";
    let text = lines(&import_text(scene));
    assert!(
        text.contains("ERROR  the robot is in the file that this one includes; import `dog.xml`"),
        "{text}"
    );
    let wrong = dog().replacen("mass='0.6'", "mass='heavy'", 1);
    assert!(only_error(&import_text(&wrong)).contains("mass=\"heavy\" must be 1 finite number"));
}

#[test]
fn meshes_that_mujoco_shows_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("assets")).unwrap();
    for name in ["seen.obj", "hidden.obj"] {
        let triangle = "v 0 0 0\nv 100 0 0\nv 0 100 0\nf 1 2 3\n";
        fs::write(folder.path().join("assets").join(name), triangle).unwrap();
    }
    let assets = "<compiler meshdir='assets'/><asset><mesh file='seen.obj' scale='0.001 0.001 0.001'/><mesh file='hidden.obj'/></asset><worldbody>";
    let geoms = "<geom class='visual' group='2' type='mesh' mesh='seen' pos='0 0 0.05'/>\
                 <geom class='visual' group='3' type='mesh' mesh='hidden'/><geom type='box' size='0.2 0.05 0.05' mass='5'/>";
    let text = dog()
        .replace("<worldbody>", assets)
        .replace("<geom type='box' size='0.2 0.05 0.05' mass='5'/>", geoms);
    let (_, files) = import_in(folder.path(), text.as_bytes()).robot.unwrap();
    files.write(&folder.path().join("out")).unwrap();
    let stl = fs::read(folder.path().join("out/meshes/trunk.stl")).unwrap();
    let numbers: Vec<f32> = stl[84..132]
        .chunks(4)
        .map(|x| f32::from_le_bytes(x.try_into().unwrap()))
        .collect();
    let expected = [
        [0.0, 0.0, 1.0],
        [0.0, 0.0, 0.05],
        [0.1, 0.0, 0.05],
        [0.0, 0.1, 0.05],
    ];
    assert_eq!(numbers, expected.concat());
    assert_eq!(stl.len(), 84 + 50);
}

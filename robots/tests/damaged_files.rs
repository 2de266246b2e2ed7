//! Robot folders that are damaged, each file in hundreds of ways: a line or a robot, soon, without a panic.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;

use robots::Robot;

use self::damage::survive;

#[path = "../../tests/damage.rs"]
mod damage;

#[test]
fn robots_and_their_urdfs() {
    for name in ["robot.toml", "go1.urdf"] {
        let folder = tempfile::tempdir().unwrap();
        for file in ["robot.toml", "go1.urdf"] {
            let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/go1/");
            fs::copy(format!("{shipped}{file}"), folder.path().join(file)).unwrap();
        }
        survive(&folder.path().join(name), move |_| {
            let robot = Robot::load(folder.path().to_str().unwrap());
            let robot = robot.map_err(|error| error.to_string())?;
            let height_m = robot.height_over_feet_m(&robot.control.standing_position_rad);
            assert!(height_m.is_finite());
            Ok(())
        });
    }
}

//! The robots that are shipped.

use robots::Robot;

#[test]
fn every_built_in_robot_loads_under_its_own_name() {
    let names: Vec<_> = Robot::names().collect();
    assert_eq!(names, ["go1", "go2"]);
    for name in names {
        assert_eq!(Robot::load(name).unwrap().name, name);
    }
}

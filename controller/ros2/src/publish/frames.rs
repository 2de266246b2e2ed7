//! Where the robot and its links are: transforms, odometry and the description that they refer to.

use controller::deploy::Status;
use nalgebra::{Isometry3, Point3};
use robots::Robot;

use super::{base_pose, point, quaternion, vector};
use crate::messages::{
    Header, Odometry, Pose, PoseWithCovariance, TfMessage, Transform, TransformStamped, Twist,
    TwistWithCovariance,
};

/// Standard deviations of the estimated pose and velocity that are published: m, rad, m/s, rad/s.
const POSITION_M: f64 = 0.1;
const ROTATION_RAD: f64 = 0.05;
const VELOCITY_MPS: f64 = 0.2;
const ROTATION_RADPS: f64 = 0.02;

/// The frames of a robot.
pub struct RobotFrames {
    model: Robot,
    urdf: String,
    base_frame: String,
}

impl RobotFrames {
    pub fn new(robot: &Robot, urdf: &str, base_frame: &str) -> Self {
        Self {
            model: robot.clone(),
            urdf: with_visuals(&without_own_meshes(urdf)),
            base_frame: base_frame.to_owned(),
        }
    }

    /// The description; empty where there is none.
    pub fn urdf(&self) -> &str {
        &self.urdf
    }

    pub fn transforms(&self, header: Header, status: &Status) -> TfMessage {
        let base_link = Header {
            frame_id: self.base_frame.clone(),
            ..header.clone()
        };
        let transform = |header: &Header, child: &str, pose: &Isometry3<f32>| {
            let p = pose.translation.vector;
            TransformStamped {
                header: header.clone(),
                child_frame_id: child.to_owned(),
                transform: Transform {
                    translation: vector(p.x, p.y, p.z),
                    rotation: quaternion(&pose.rotation),
                },
            }
        };
        let mut transforms = vec![transform(&header, &self.base_frame, &base_pose(status))];
        // REP 105 calls the base `base_link`; the root of the URDF has a name of its own.
        let root = &self.model.base.link.name;
        if *root != self.base_frame {
            transforms.push(transform(&base_link, root, &Isometry3::identity()));
        }
        let root = Header {
            frame_id: root.clone(),
            ..header
        };
        let mut positions_rad = status.estimate.joint_position_rad.as_slice();
        for leg in &self.model.legs {
            let Some((of_leg, rest)) = positions_rad.split_at_checked(leg.joints.len()) else {
                break;
            };
            positions_rad = rest;
            for (joint, pose) in leg.joints.iter().zip(leg.link_poses_base(of_leg)) {
                transforms.push(transform(&root, &joint.link.name, &pose));
            }
            let foot = leg.foot_position_base(of_leg);
            let pose = Isometry3::translation(foot.x, foot.y, foot.z);
            transforms.push(transform(&root, &leg.foot.link, &pose));
        }
        TfMessage { transforms }
    }

    pub fn odometry(&self, header: Header, status: &Status) -> Odometry {
        let base = base_pose(status);
        let (linear, angular) = (
            status.estimate.linear_velocity_base,
            status.estimate.angular_velocity_base,
        );
        Odometry {
            header,
            child_frame_id: self.base_frame.clone(),
            pose: PoseWithCovariance {
                pose: Pose {
                    position: point(Point3::from(base.translation.vector)),
                    orientation: quaternion(&base.rotation),
                },
                covariance: covariance(POSITION_M, ROTATION_RAD),
            },
            twist: TwistWithCovariance {
                twist: Twist {
                    linear: vector(linear.x, linear.y, linear.z),
                    angular: vector(angular.x, angular.y, angular.z),
                },
                covariance: covariance(VELOCITY_MPS, ROTATION_RADPS),
            },
        }
    }
}

/// The URDF without the meshes of the robot's folder, which nobody else has.
fn without_own_meshes(urdf: &str) -> String {
    const END: &str = "</visual>";
    let (mut kept, mut rest) = (String::new(), urdf);
    while let Some(begin) = rest.find("<visual>") {
        let Some(length) = rest[begin..].find(END) else {
            break;
        };
        let end = begin + length + END.len();
        let is_own = rest[begin..end].contains("<mesh filename=\"meshes/");
        kept += &rest[..if is_own { begin } else { end }];
        rest = &rest[end..];
    }
    kept + rest
}

/// The URDF with its collision shapes to be seen, where it has nothing else to show.
fn with_visuals(urdf: &str) -> String {
    const END: &str = "</collision>";
    if urdf.contains("<visual") {
        return urdf.to_owned();
    }
    let (mut shown, mut rest) = (String::new(), urdf);
    while let Some(begin) = rest.find("<collision") {
        let Some(length) = rest[begin..].find(END) else {
            break;
        };
        let end = begin + length + END.len();
        shown += &rest[..end];
        shown += &rest[begin..end].replace("collision", "visual");
        rest = &rest[end..];
    }
    shown + rest
}

/// A diagonal covariance of three linear and three angular numbers.
fn covariance(linear: f64, angular: f64) -> [f64; 36] {
    std::array::from_fn(|index| match index {
        0 | 7 | 14 => linear * linear,
        21 | 28 | 35 => angular * angular,
        _ => 0.0,
    })
}

#[cfg(test)]
mod tests {
    use robots::RobotState;

    use super::*;

    #[test]
    fn every_link_that_moves_hangs_on_the_base_and_the_base_on_the_world() {
        let robot = Robot::load("go1").unwrap();
        let publisher = RobotFrames::new(&robot, "", "base_link");
        let mut estimate = RobotState::zero(12, 4);
        estimate.position_world = Point3::new(1.0, 2.0, 0.3);
        estimate.linear_velocity_base.x = 1.5;
        let standing = robot.control.standing_position_rad.iter();
        estimate.joint_position_rad = standing.copied().collect();
        let status = Status {
            estimate,
            ..Status::default()
        };
        let header = || Header {
            frame_id: "odom".to_owned(),
            ..Header::default()
        };
        let transforms = publisher.transforms(header(), &status).transforms;
        let parents: Vec<(&str, &str)> = transforms
            .iter()
            .map(|t| (t.header.frame_id.as_str(), t.child_frame_id.as_str()))
            .collect();
        assert_eq!(
            parents[..3],
            [
                ("odom", "base_link"),
                ("base_link", "trunk"),
                ("trunk", "FL_hip")
            ]
        );
        assert_eq!(transforms.len(), 2 + 12 + 4);
        let foot = transforms
            .iter()
            .find(|t| t.child_frame_id == "RR_foot")
            .unwrap();
        let height_m = f64::from(robot.control.standing_height_m - robot.legs[0].foot.radius);
        assert!(
            (foot.transform.translation.z + height_m).abs() < 1e-5,
            "{foot:?}"
        );

        let other = Robot::load("anymal_b").unwrap();
        let publisher_of_other = RobotFrames::new(&other, "", "base_link");
        let feet = publisher_of_other.transforms(header(), &status).transforms;
        assert!(feet.iter().any(|t| t.child_frame_id == "RH_FOOT"));

        let odometry = publisher.odometry(header(), &status);
        assert_eq!(
            (
                odometry.child_frame_id.as_str(),
                odometry.twist.twist.linear.x
            ),
            ("base_link", 1.5)
        );
        assert_eq!(odometry.pose.covariance[0], POSITION_M * POSITION_M);
    }

    #[test]
    fn shapes_that_only_collide_are_shown() {
        let urdf = "<link><collision name=\"a\"><sphere/></collision></link><collision/>";
        assert_eq!(
            with_visuals(urdf),
            "<link><collision name=\"a\"><sphere/></collision><visual name=\"a\"><sphere/></visual></link><collision/>"
        );
        let seen = "<link><visual/><collision></collision></link>";
        assert_eq!(with_visuals(seen), seen);
        let own = "<link><visual><mesh filename=\"meshes/a.stl\"/></visual><collision><sphere/></collision></link>";
        let others = "<visual><mesh filename=\"package://a/meshes/a.stl\"/></visual>";
        assert_eq!(
            without_own_meshes(&format!("{own}{others}")),
            format!("<link><collision><sphere/></collision></link>{others}")
        );
    }
}

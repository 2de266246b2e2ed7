//! Status, transforms and markers for displays such as RViz and Foxglove.

use controller::deploy::Status;
use nalgebra::{Isometry3, Point3, Translation3, UnitQuaternion};
use policies::RaySpec;
use robots::Robot;

use crate::{
    clock::wall_ns,
    config::Ros2Config,
    link::{Endpoints, Publisher},
    log::Recorder,
    messages::{
        ColorRgba, DiagnosticArray, DiagnosticStatus, Duration, Float32, Header, JointState,
        KeyValue, Marker, MarkerArray, Message, Odometry, Point, Pose, PoseWithCovariance,
        Quaternion, Text, TfMessage, Time, Transform, TransformStamped, Twist, TwistStamped,
        TwistWithCovariance, Vector3,
    },
    network::Delivery,
};

/// Name of the deployment state, `std_msgs/String`.
pub const STATE_TOPIC: &str = "abs/state";
/// The policy that acts, `std_msgs/String`: `agile`, `recovery`, `fallback`, or empty.
pub const MODE_TOPIC: &str = "abs/mode";
/// The reach-avoid value, `std_msgs/Float32`.
pub const VALUE_TOPIC: &str = "abs/value";
/// Twist command of the recovery policy, `geometry_msgs/TwistStamped`.
pub const TWIST_TOPIC: &str = "abs/twist";
/// Rays and goal, `visualization_msgs/MarkerArray`.
pub const MARKERS_TOPIC: &str = "abs/markers";
const DIAGNOSTICS_TOPIC: &str = "diagnostics";
const TF_TOPIC: &str = "tf";
const JOINTS_TOPIC: &str = "joint_states";
/// Pose and velocity of the base as estimated, `nav_msgs/Odometry`.
pub const ODOMETRY_TOPIC: &str = "abs/odometry";
/// The URDF, `std_msgs/String`.
const DESCRIPTION_TOPIC: &str = "robot_description";

/// Statuses from one description to the next, 10 s: not every subscriber asks for the last one.
const DESCRIPTION_EVERY: u32 = 250;
/// Standard deviations of the estimated pose and velocity that are published: m, rad, m/s, rad/s.
const POSITION_M: f64 = 0.1;
const ROTATION_RAD: f64 = 0.05;
const VELOCITY_MPS: f64 = 0.2;
const ROTATION_RADPS: f64 = 0.02;
/// Statuses from one diagnostics message to the next.
const DIAGNOSTICS_EVERY: u32 = 10;

/// Publishers of one connection.
pub struct Publishers {
    state: Publisher<Text>,
    mode: Publisher<Text>,
    value: Publisher<Float32>,
    twist: Publisher<TwistStamped>,
    markers: Publisher<MarkerArray>,
    diagnostics: Publisher<DiagnosticArray>,
    tf: Publisher<TfMessage>,
    joints: Publisher<JointState>,
    odometry: Publisher<Odometry>,
    description: Publisher<Text>,
}

/// Publishes the status of the control thread.
pub struct StatusPublisher {
    joint_names: Vec<String>,
    model: Robot,
    urdf: String,
    publishes_tf: bool,
    robot: String,
    rays: RaySpec,
    world_frame: String,
    base_frame: String,
    published: u32,
}

impl Publishers {
    pub fn new(endpoints: &mut Endpoints) -> Self {
        let delivery = Delivery::Reliable;
        Self {
            state: endpoints.publish(STATE_TOPIC, delivery),
            mode: endpoints.publish(MODE_TOPIC, delivery),
            value: endpoints.publish(VALUE_TOPIC, delivery),
            twist: endpoints.publish(TWIST_TOPIC, delivery),
            markers: endpoints.publish(MARKERS_TOPIC, delivery),
            diagnostics: endpoints.publish(DIAGNOSTICS_TOPIC, delivery),
            tf: endpoints.publish(TF_TOPIC, delivery),
            joints: endpoints.publish(JOINTS_TOPIC, delivery),
            odometry: endpoints.publish(ODOMETRY_TOPIC, delivery),
            description: endpoints.publish(DESCRIPTION_TOPIC, Delivery::Kept),
        }
    }
}

impl StatusPublisher {
    /// `urdf` is the robot's; none is published where it is empty.
    pub fn new(robot: &Robot, urdf: String, rays: &RaySpec, config: &Ros2Config) -> Self {
        Self {
            joint_names: robot.joints().map(|joint| joint.name.clone()).collect(),
            model: robot.clone(),
            urdf: with_visuals(&urdf),
            publishes_tf: config.publish_tf,
            robot: robot.name.clone(),
            rays: rays.clone(),
            world_frame: config.world_frame.clone(),
            base_frame: config.base_frame.clone(),
            published: 0,
        }
    }

    /// Publishes a status, and the last warning if there is one.
    pub fn publish(
        &mut self,
        to: &Publishers,
        status: &Status,
        warning: Option<&str>,
        recorder: Option<&Recorder>,
    ) {
        let stamp = Time::from_nanos(wall_ns());
        let world = self.header(stamp, &self.world_frame);
        send(&to.state, STATE_TOPIC, state_text(status), recorder);
        send(&to.mode, MODE_TOPIC, mode_text(status), recorder);
        if let Some(data) = status.value {
            send(&to.value, VALUE_TOPIC, Float32 { data }, recorder);
        }
        if let Some(twist) = status.twist {
            let message = TwistStamped {
                header: self.header(stamp, &self.base_frame),
                twist: Twist {
                    linear: vector(twist.vx_mps, twist.vy_mps, 0.0),
                    angular: vector(0.0, 0.0, twist.yaw_rate_radps),
                },
            };
            send(&to.twist, TWIST_TOPIC, message, recorder);
        }
        let markers = self.markers(&world, status);
        send(&to.markers, MARKERS_TOPIC, markers, recorder);
        send(
            &to.odometry,
            ODOMETRY_TOPIC,
            self.odometry(world.clone(), status),
            recorder,
        );
        if self.publishes_tf {
            send(&to.tf, TF_TOPIC, self.transforms(world, status), recorder);
        }
        if !self.urdf.is_empty() && self.published.is_multiple_of(DESCRIPTION_EVERY) {
            let data = self.urdf.clone();
            send(&to.description, DESCRIPTION_TOPIC, Text { data }, recorder);
        }
        let joints = self.joint_state(stamp, status);
        send(&to.joints, JOINTS_TOPIC, joints, recorder);
        if self.published.is_multiple_of(DIAGNOSTICS_EVERY) {
            let message = self.diagnostics(stamp, status, warning);
            send(&to.diagnostics, DIAGNOSTICS_TOPIC, message, recorder);
        }
        self.published = self.published.wrapping_add(1);
    }

    fn header(&self, stamp: Time, frame: &str) -> Header {
        Header {
            stamp,
            frame_id: frame.to_owned(),
        }
    }

    fn transforms(&self, header: Header, status: &Status) -> TfMessage {
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
            // Fixed to the last link; the URDF calls it so.
            let foot = leg.foot_position_base(of_leg);
            let name = format!("{}_foot", leg.name);
            let pose = Isometry3::translation(foot.x, foot.y, foot.z);
            transforms.push(transform(&root, &name, &pose));
        }
        TfMessage { transforms }
    }

    fn odometry(&self, header: Header, status: &Status) -> Odometry {
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

    fn joint_state(&self, stamp: Time, status: &Status) -> JointState {
        let doubles = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect();
        let estimate = &status.estimate;
        JointState {
            header: self.header(stamp, ""),
            name: self.joint_names.clone(),
            position: doubles(&estimate.joint_position_rad),
            velocity: doubles(&estimate.joint_velocity_radps),
            effort: doubles(&estimate.joint_torque_nm),
        }
    }

    /// The rays as lines from their origin, coloured by length; the goal as an arrow.
    fn markers(&self, header: &Header, status: &Status) -> MarkerArray {
        let base = base_pose(status);
        let forward = base.rotation * nalgebra::Vector3::x();
        let level = Isometry3::from_parts(
            base.translation,
            UnitQuaternion::from_euler_angles(0.0, 0.0, forward.y.atan2(forward.x)),
        );
        let mut rays = marker(header, "rays", LINE_LIST);
        rays.scale.x = 0.02;
        rays.color.a = 1.0;
        let origin = Point3::new(self.rays.origin_x_m, 0.0, 0.0);
        for (direction, &distance_m) in self.rays.directions().zip(&status.rays.distance_m) {
            let end = origin + nalgebra::Vector3::new(direction.x, direction.y, 0.0) * distance_m;
            rays.points
                .extend([point(level * origin), point(level * end)]);
            let near = 1.0 - distance_m / self.rays.max_m;
            rays.colors.extend(
                [ColorRgba {
                    r: near,
                    g: 1.0 - near,
                    b: 0.2,
                    a: 1.0,
                }; 2],
            );
        }
        let mut goal = marker(header, "goal", ARROW);
        match status.goal {
            Some(target) => {
                let p = target.position_world;
                let heading = UnitQuaternion::from_euler_angles(0.0, 0.0, target.heading_rad);
                goal.pose = Pose {
                    position: point(Point3::new(p.x, p.y, 0.1)),
                    orientation: quaternion(&heading),
                };
                goal.scale = vector(0.6, 0.1, 0.1);
                goal.color = ColorRgba {
                    r: 0.1,
                    g: 0.4,
                    b: 1.0,
                    a: 1.0,
                };
            }
            None => goal.action = DELETE,
        }
        MarkerArray {
            markers: vec![rays, goal],
        }
    }

    fn diagnostics(&self, stamp: Time, status: &Status, warning: Option<&str>) -> DiagnosticArray {
        let value = |key: &str, value: String| KeyValue {
            key: key.to_owned(),
            value,
        };
        let limited = status.limited;
        let (level, message) = if !status.faults.is_empty() {
            (ERROR, status.faults.to_string())
        } else if let Some(warning) = warning {
            (WARNING, warning.to_owned())
        } else {
            (OK, status.state.name().to_owned())
        };
        DiagnosticArray {
            header: self.header(stamp, ""),
            status: vec![DiagnosticStatus {
                level,
                name: "abs: control".to_owned(),
                message,
                hardware_id: self.robot.clone(),
                values: vec![
                    value("state", status.state.name().to_owned()),
                    value("faults", status.faults.to_string()),
                    value("latched faults", status.latched_faults.to_string()),
                    value("missed deadlines", status.overruns.to_string()),
                    value("command limited", limited.any().to_string()),
                    value("time left, s", format!("{:.1}", status.time_left_s)),
                ],
            }],
        }
    }
}

// Numbers of `visualization_msgs/Marker` and `diagnostic_msgs/DiagnosticStatus`.
const ARROW: i32 = 0;
const LINE_LIST: i32 = 5;
const DELETE: i32 = 2;
const OK: u8 = 0;
const WARNING: u8 = 1;
const ERROR: u8 = 2;

fn send<M: Message>(to: &Publisher<M>, topic: &str, message: M, recorder: Option<&Recorder>) {
    if let Some(recorder) = recorder {
        recorder.message(topic, &message);
    }
    to.publish(&message);
}

fn state_text(status: &Status) -> Text {
    Text {
        data: status.state.name().to_owned(),
    }
}

fn mode_text(status: &Status) -> Text {
    let name = status.mode.map(|mode| format!("{mode:?}").to_lowercase());
    Text {
        data: name.unwrap_or_default(),
    }
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

/// Pose of the base in the world frame.
pub fn base_pose(status: &Status) -> Isometry3<f32> {
    let estimate = &status.estimate;
    Isometry3::from_parts(
        Translation3::from(estimate.position_world),
        estimate.orientation,
    )
}

fn marker(header: &Header, namespace: &str, kind: i32) -> Marker {
    Marker {
        header: header.clone(),
        ns: namespace.to_owned(),
        r#type: kind,
        lifetime: Duration { sec: 1, nanosec: 0 },
        ..Marker::default()
    }
}

fn point(point: Point3<f32>) -> Point {
    Point {
        x: point.x.into(),
        y: point.y.into(),
        z: point.z.into(),
    }
}

fn vector(x: f32, y: f32, z: f32) -> Vector3 {
    Vector3 {
        x: x.into(),
        y: y.into(),
        z: z.into(),
    }
}

fn quaternion(q: &UnitQuaternion<f32>) -> Quaternion {
    Quaternion {
        x: q.i.into(),
        y: q.j.into(),
        z: q.k.into(),
        w: q.w.into(),
    }
}

#[cfg(test)]
mod tests {
    use policies::{Goal, RayScan};
    use robots::RobotState;

    use super::*;

    #[test]
    fn every_link_that_moves_hangs_on_the_base_and_the_base_on_the_world() {
        let robot = Robot::load("go1").unwrap();
        let config = Ros2Config::default();
        let publisher = StatusPublisher::new(&robot, String::new(), &RaySpec::default(), &config);
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
    }

    #[test]
    fn rays_and_goal_are_drawn_in_the_world_frame() {
        let robot = Robot::load("go1").unwrap();
        let spec = RaySpec::default();
        let publisher = StatusPublisher::new(&robot, String::new(), &spec, &Ros2Config::default());
        let mut scan = RayScan::clear(&spec);
        scan.distance_m[5] = 2.0;
        let mut estimate = RobotState::zero(12, 4);
        estimate.position_world = Point3::new(1.0, 2.0, 0.3);
        // Heading along y, and pitched; the rays stay level.
        estimate.orientation = UnitQuaternion::from_euler_angles(0.0, 0.0, 1.570_796_4)
            * UnitQuaternion::from_euler_angles(0.0, 0.2, 0.0);
        let status = Status {
            rays: scan,
            estimate,
            goal: Some(Goal {
                position_world: nalgebra::Point2::new(4.0, 5.0),
                heading_rad: 0.0,
            }),
            ..Status::default()
        };
        let markers = publisher.markers(&Header::default(), &status).markers;
        let ahead = &markers[0].points[10..12];
        let near = |point: &Point, expected: [f64; 3]| {
            let found = [point.x, point.y, point.z];
            let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
            off.fold(0.0, f64::max) < 1e-5
        };
        assert!(near(&ahead[0], [1.0, 1.95, 0.3]), "{ahead:?}");
        assert!(near(&ahead[1], [1.0, 3.95, 0.3]), "{ahead:?}");
        assert!(near(&markers[1].pose.position, [4.0, 5.0, 0.1]));
        assert_eq!(markers[1].action, 0);
        let none = publisher
            .markers(&Header::default(), &Status::default())
            .markers;
        assert_eq!(none[1].action, DELETE);
    }
}

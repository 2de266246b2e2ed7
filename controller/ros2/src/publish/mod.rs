//! Status, transforms and markers for displays such as RViz and Foxglove.

mod frames;

use controller::deploy::Status;
use nalgebra::{Isometry3, Point3, Translation3, UnitQuaternion};
use policies::RaySpec;
use robots::Robot;

use self::frames::RobotFrames;
use crate::{
    clock::wall_ns,
    config::Ros2Config,
    link::{Endpoints, Publisher},
    log::Recorder,
    messages::{
        ColorRgba, DiagnosticArray, DiagnosticStatus, Duration, Float32, Header, JointState,
        KeyValue, Marker, MarkerArray, Message, Odometry, Point, Pose, Quaternion, Text, TfMessage,
        Time, Twist, TwistStamped, Vector3,
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
    frames: RobotFrames,
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
    pub fn new(robot: &Robot, urdf: &str, rays: &RaySpec, config: &Ros2Config) -> Self {
        Self {
            joint_names: robot.joints().map(|joint| joint.name.clone()).collect(),
            frames: RobotFrames::new(robot, urdf, &config.base_frame),
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
        let warning = warning.or(recorder.and_then(Recorder::failure));
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
            self.frames.odometry(world.clone(), status),
            recorder,
        );
        if self.publishes_tf {
            send(
                &to.tf,
                TF_TOPIC,
                self.frames.transforms(world, status),
                recorder,
            );
        }
        let urdf = self.frames.urdf();
        if !urdf.is_empty() && self.published.is_multiple_of(DESCRIPTION_EVERY) {
            let data = urdf.to_owned();
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
    fn rays_and_goal_are_drawn_in_the_world_frame() {
        let robot = Robot::load("go1").unwrap();
        let spec = RaySpec::default();
        let publisher = StatusPublisher::new(&robot, "", &spec, &Ros2Config::default());
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

//! Everything received but the state of the robot: scans, odometry, goals, requests.

mod camera;
mod clicked_point;
mod lidar;
mod ray_sensor;

use nalgebra::{Isometry3, Point2, Point3, Quaternion, UnitQuaternion, Vector3};
use policies::{Bundle, Goal};
use robots::Robot;
use serde::{Deserialize as _, de::IntoDeserializer as _};

use controller::deploy::{
    GoalSample, OdometrySample, Operator, OperatorSource, Request, ScanSample,
};

pub use self::lidar::{LidarConfig, LidarError};
use self::ray_sensor::{RaySensor, RaySubscription};
use crate::{
    LinkError,
    config::Ros2Config,
    deliberate_panic,
    foreign_text::shown,
    link::{Endpoints, Subscription},
    log::Recorder,
    messages::{self, Odometry, PointStamped, PoseStamped, Text},
    network::Delivery,
};

/// Topic of requests: one of `stand`, `start`, `stop`, `lie-down`, `emergency-stop`, or `heartbeat`.
pub const OPERATOR_TOPIC: &str = "abs/operator";

/// Subscriptions of one connection.
pub struct Subscriptions {
    rays: RaySubscription,
    odometry: Subscription<Odometry>,
    goal: Subscription<PoseStamped>,
    point: Subscription<PointStamped>,
    operator: Subscription<Text>,
}

/// Turns messages into samples for the control thread.
pub struct Sensors {
    config: Ros2Config,
    rays: RaySensor,
}

/// Where the samples go.
pub struct Sinks<'a> {
    pub odometry: &'a mut triple_buffer::Input<OdometrySample>,
    pub goal: &'a mut triple_buffer::Input<GoalSample>,
    pub operator: &'a Operator,
    pub recorder: Option<&'a Recorder>,
}

impl Subscriptions {
    pub fn new(endpoints: &mut Endpoints, config: &Ros2Config) -> Self {
        Self {
            rays: RaySubscription::new(endpoints, config),
            odometry: endpoints.subscribe(&config.odometry_topic, Delivery::Newest),
            goal: endpoints.subscribe(&config.goal_topic, Delivery::Reliable),
            point: endpoints.subscribe(&config.point_topic, Delivery::Reliable),
            operator: endpoints.subscribe(OPERATOR_TOPIC, Delivery::Reliable),
        }
    }
}

impl Sensors {
    /// # Errors
    /// When a setting is out of range, or depth images are chosen without a camera or a ray network.
    pub fn new(
        robot: &Robot,
        bundle: &Bundle,
        config: &Ros2Config,
        scan: triple_buffer::Input<ScanSample>,
    ) -> Result<Self, LinkError> {
        Ok(Self {
            rays: RaySensor::new(robot, bundle, config, scan)?,
            config: config.clone(),
        })
    }

    /// Handles all messages that have arrived. `base` is the pose of the robot in the world frame.
    pub fn receive(
        &mut self,
        from: &Subscriptions,
        base: &Isometry3<f32>,
        now_ns: u64,
        to: &mut Sinks<'_>,
        notice: &mut dyn FnMut(String),
    ) {
        let config = &self.config;
        take(
            &from.operator,
            OPERATOR_TOPIC,
            to.recorder,
            notice,
            |text, notice| match request_named(&text.data) {
                Some(request) => {
                    to.operator.request(request);
                    to.operator.heartbeat(OperatorSource::Remote, now_ns);
                }
                None if text.data == "heartbeat" => {
                    to.operator.heartbeat(OperatorSource::Remote, now_ns);
                }
                None if text.data == deliberate_panic::REQUEST && deliberate_panic::trip() => {}
                None => notice(format!(
                    "{OPERATOR_TOPIC}: there is no request `{}`, take stand, start, stop, lie-down, emergency-stop or heartbeat",
                    shown(&text.data)
                )),
            },
        );
        take(
            &from.odometry,
            &config.odometry_topic,
            to.recorder,
            notice,
            |odometry, notice| {
                let (sample, problem) = odometry_sample(config, odometry, now_ns);
                to.odometry.write(sample);
                if let Some(problem) = problem {
                    notice(problem);
                }
            },
        );
        take(
            &from.goal,
            &config.goal_topic,
            to.recorder,
            notice,
            |pose, notice| match goal_sample(config, pose, now_ns) {
                Ok(sample) => to.goal.write(sample),
                Err(problem) => notice(problem),
            },
        );
        take(
            &from.point,
            &config.point_topic,
            to.recorder,
            notice,
            |point, notice| match clicked_point::goal_at(config, point, base, now_ns) {
                Ok(sample) => to.goal.write(sample),
                Err(problem) => notice(problem),
            },
        );
        self.rays
            .receive(&from.rays, base, now_ns, to.recorder, notice);
    }
}

/// Calls `with` for every message that has arrived.
pub fn take<M: messages::Message>(
    from: &Subscription<M>,
    topic: &str,
    recorder: Option<&Recorder>,
    notice: &mut dyn FnMut(String),
    mut with: impl FnMut(&M, &mut dyn FnMut(String)),
) {
    while let Some(message) = from.take() {
        if let Some(recorder) = recorder {
            recorder.message(topic, &message);
        }
        with(&message, notice);
    }
}

/// Bytes of the longest name of a request, and more.
const LONGEST_NAME: usize = 64;

fn request_named(name: &str) -> Option<Request> {
    if name.len() > LONGEST_NAME {
        return None;
    }
    let name: serde::de::value::StrDeserializer<'_, serde::de::value::Error> =
        name.into_deserializer();
    Request::deserialize(name).ok()
}

/// The sample, and what is wrong with it. One in unknown frames arrives nevertheless: the robot does not run on the drifting
/// estimate where an odometry is there that it does not understand.
fn odometry_sample(
    config: &Ros2Config,
    odometry: &Odometry,
    now_ns: u64,
) -> (OdometrySample, Option<String>) {
    let (frame, child) = (&odometry.header.frame_id, &odometry.child_frame_id);
    let known_frames = *frame == config.world_frame && *child == config.base_frame;
    let problem = (!known_frames).then(|| {
        format!(
            "{}: odometry of `{}` in `{}`, expected `{}` in `{}`: set ros2.base_frame and ros2.world_frame, or ros2.odometry_topic",
            config.odometry_topic,
            shown(child),
            shown(frame),
            config.base_frame,
            config.world_frame
        )
    });
    let pose = &odometry.pose.pose;
    let (p, q, v) = (pose.position, pose.orientation, odometry.twist.twist.linear);
    let sample = OdometrySample {
        received_ns: now_ns,
        position_world: Point3::new(p.x, p.y, p.z).cast(),
        orientation_wxyz: [q.w, q.x, q.y, q.z].map(|value| value as f32),
        linear_velocity_base: Vector3::new(v.x, v.y, v.z).cast(),
        known_frames,
    };
    (sample, problem)
}

/// A goal has to be in the world frame.
fn check_frame(config: &Ros2Config, topic: &str, frame: &str) -> Result<(), String> {
    if frame == config.world_frame {
        return Ok(());
    }
    Err(format!(
        "{topic}: goal in the unknown frame `{}`, expected `{}`: in RViz, set Fixed Frame to it",
        shown(frame),
        config.world_frame
    ))
}

fn goal_sample(config: &Ros2Config, goal: &PoseStamped, now_ns: u64) -> Result<GoalSample, String> {
    let topic = &config.goal_topic;
    check_frame(config, topic, &goal.header.frame_id)?;
    let (p, q) = (goal.pose.position, goal.pose.orientation);
    let orientation = Quaternion::new(q.w, q.x, q.y, q.z);
    let Some(orientation) = UnitQuaternion::try_new(orientation, 1e-6) else {
        return Err(format!("{topic}: the goal's orientation is no rotation"));
    };
    let forward = orientation * Vector3::x();
    let numbers = [p.x, p.y, forward.x, forward.y];
    if !numbers.iter().all(|value| value.is_finite()) {
        return Err(format!("{topic}: the goal is not finite"));
    }
    Ok(GoalSample {
        received_ns: now_ns,
        goal: Goal {
            position_world: Point2::new(p.x as f32, p.y as f32),
            heading_rad: forward.y.atan2(forward.x) as f32,
        },
        duration_s: config.goal_s,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{Header, Point, Pose};

    fn goal(frame: &str, yaw_rad: f64) -> PoseStamped {
        let orientation = messages::Quaternion {
            z: (0.5 * yaw_rad).sin(),
            w: (0.5 * yaw_rad).cos(),
            ..messages::Quaternion::default()
        };
        PoseStamped {
            header: Header {
                frame_id: frame.to_owned(),
                ..Header::default()
            },
            pose: Pose {
                position: Point {
                    x: 6.0,
                    y: -1.0,
                    z: 9.0,
                },
                orientation,
            },
        }
    }

    #[test]
    fn a_goal_keeps_its_place_and_heading() {
        let sample = goal_sample(&Ros2Config::default(), &goal("odom", 2.5), 3).unwrap();
        assert_eq!((sample.received_ns, sample.duration_s), (3, 9.0));
        assert_eq!(sample.goal.position_world, Point2::new(6.0, -1.0));
        assert!((sample.goal.heading_rad - 2.5).abs() < 1e-6);
    }

    #[test]
    fn a_goal_in_an_unknown_frame_or_without_place_is_refused() {
        let config = Ros2Config::default();
        assert_eq!(
            goal_sample(&config, &goal("map", 0.0), 0).unwrap_err(),
            "goal_pose: goal in the unknown frame `map`, expected `odom`: in RViz, set Fixed Frame to it"
        );
        let mut nowhere = goal("odom", 0.0);
        nowhere.pose.position.x = f64::NAN;
        assert!(goal_sample(&config, &nowhere, 0).is_err());
        let mut nowhere = goal("odom", 0.0);
        nowhere.pose.orientation.w = 0.0;
        assert!(goal_sample(&config, &nowhere, 0).is_err());
    }

    #[test]
    fn odometry_of_other_frames_is_refused() {
        let config = Ros2Config::default();
        let covariance = [0.0; 36];
        let mut odometry = Odometry {
            header: goal("odom", 0.0).header,
            child_frame_id: "base_link".to_owned(),
            pose: messages::PoseWithCovariance {
                pose: goal("", 1.0).pose,
                covariance,
            },
            twist: messages::TwistWithCovariance {
                twist: messages::Twist::default(),
                covariance,
            },
        };
        odometry.twist.twist.linear.x = 2.0;
        let (sample, problem) = odometry_sample(&config, &odometry, 5);
        assert_eq!((sample.known_frames, problem), (true, None));
        assert_eq!(sample.position_world, Point3::new(6.0, -1.0, 9.0));
        assert_eq!(sample.linear_velocity_base.x, 2.0);
        assert_eq!(sample.orientation_wxyz[0], 0.5_f64.cos() as f32);
        odometry.child_frame_id = "i\u{1b}[2Jmu".to_owned();
        let (sample, problem) = odometry_sample(&config, &odometry, 5);
        assert!(!sample.known_frames);
        let error = problem.unwrap();
        assert!(
            error.starts_with("odom: odometry of `i\\u{1b}[2Jmu` in `odom`"),
            "{error}"
        );
    }

    #[test]
    fn requests_have_the_names_of_the_operator_topic() {
        assert_eq!(
            request_named("emergency-stop"),
            Some(Request::EmergencyStop)
        );
        assert_eq!(request_named("lie-down"), Some(Request::LieDown));
        assert_eq!(request_named("Start"), None);
        assert_eq!(request_named(&"stand".repeat(200_000)), None);
    }
}

//! A goal without heading, as RViz ("Publish Point") and Foxglove publish it.

use controller::deploy::GoalSample;
use nalgebra::{Isometry3, Point2};
use policies::Goal;

use super::check_frame;
use crate::{config::Ros2Config, messages::PointStamped};

/// The goal at a point: the robot, whose pose in the world frame is `base`, ends with the heading in which the point lies now.
pub fn goal_at(
    config: &Ros2Config,
    point: &PointStamped,
    base: &Isometry3<f32>,
    now_ns: u64,
) -> Result<GoalSample, String> {
    let topic = &config.point_topic;
    check_frame(config, topic, &point.header.frame_id)?;
    let position_world = Point2::new(point.point.x as f32, point.point.y as f32);
    if !position_world.iter().all(|value| value.is_finite()) {
        return Err(format!("{topic}: the point is not finite"));
    }
    let way = position_world.coords - base.translation.vector.xy();
    Ok(GoalSample {
        received_ns: now_ns,
        goal: Goal {
            position_world,
            heading_rad: way.y.atan2(way.x),
        },
        duration_s: config.goal_s,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{Header, Point};

    fn point(frame: &str, x: f64, y: f64) -> PointStamped {
        PointStamped {
            header: Header {
                frame_id: frame.to_owned(),
                ..Header::default()
            },
            point: Point { x, y, z: 0.0 },
        }
    }

    #[test]
    fn the_robot_ends_facing_the_way_that_it_came() {
        let base = Isometry3::translation(1.0, 2.0, 0.3);
        let config = Ros2Config::default();
        let sample = goal_at(&config, &point("odom", 1.0, 5.0), &base, 4).unwrap();
        assert_eq!(sample.goal.position_world, Point2::new(1.0, 5.0));
        assert!((sample.goal.heading_rad - std::f32::consts::FRAC_PI_2).abs() < 1e-6);
        assert_eq!((sample.received_ns, sample.duration_s), (4, 9.0));
    }

    #[test]
    fn a_point_in_an_unknown_frame_or_nowhere_is_refused() {
        let (config, base) = (Ros2Config::default(), Isometry3::identity());
        let refused = |point| goal_at(&config, &point, &base, 0).unwrap_err();
        assert!(
            refused(point("map", 1.0, 0.0))
                .starts_with("clicked_point: goal in the unknown frame `map`")
        );
        assert_eq!(
            refused(point("odom", f64::NAN, 0.0)),
            "clicked_point: the point is not finite"
        );
        assert_eq!(
            refused(point("odom", 1e300, 0.0)),
            "clicked_point: the point is not finite"
        );
    }
}

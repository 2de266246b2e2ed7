//! Settings and flags of a run.

use std::path::PathBuf;

use controller::{ControllerConfig, deploy::DeployConfig};
use nalgebra::Point2;
use policies::Goal;
use serde::{Deserialize, Serialize};

use crate::{
    config::{RaySource, Ros2Config},
    deliberate_panic::Panicking,
};

/// All settings of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// The policies and their switch.
    pub controller: ControllerConfig,
    /// Stand-up trajectory, faults, state estimate.
    pub deploy: DeployConfig,
    /// Network, topics, frames, lidar.
    pub ros2: Ros2Config,
}

/// Flags of a run, for the programs that start one.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct RunArgs {
    /// DDS domain of the robot [default: 0]
    #[arg(long)]
    pub domain: Option<u16>,
    /// Network interface to the robot, e.g. eth0 [default: all]
    #[arg(long, value_name = "NAME")]
    pub interface: Option<String>,
    /// Where the rays come from [default: scan]
    #[arg(long, value_enum, value_name = "SOURCE")]
    pub rays: Option<RaySource>,
    /// Goal in the world frame, m, and heading there, degrees; without it goals come from goal_pose
    #[arg(long, value_name = "X,Y[,DEG]", allow_hyphen_values = true, value_parser = parse_goal, group = "task")]
    pub goal: Option<Goal>,
    /// Drive by a gamepad, while its L1 button is held: twists, or goals near the robot for a policy that runs to goals
    #[arg(long, conflicts_with_all = ["go", "identify"])]
    pub gamepad: bool,
    /// Drive each joint in turn around the standing pose instead of running to a goal, with the robot on a stand, its feet
    /// free; what `abs identify` reads is in the log
    #[arg(long, group = "task")]
    pub identify: bool,
    /// Do everything but command: nothing is sent to the motors, the sport mode keeps the robot
    #[arg(long, conflicts_with = "go")]
    pub dry_run: bool,
    /// Stand up, run to the goal or drive the joints, lie down and end, without further requests
    #[arg(long, requires = "task")]
    pub go: bool,
    /// For tests: this thread panics when `panic` comes on abs/operator
    #[arg(long, value_enum, value_name = "THREAD", hide = true)]
    pub panic: Option<Panicking>,
    /// Record everything into this MCAP file
    #[arg(long, value_name = "FILE.mcap")]
    pub log: Option<PathBuf>,
    /// Replace the log of an earlier run
    #[arg(long, requires = "log")]
    pub overwrite: bool,
}

/// `x,y` in m, and the heading in degrees; by default the direction from the origin to the goal.
fn parse_goal(text: &str) -> Result<Goal, String> {
    let numbers: Option<Vec<f32>> = text
        .split(',')
        .map(|number| {
            number
                .trim()
                .parse()
                .ok()
                .filter(|value: &f32| value.is_finite())
        })
        .collect();
    let (x, y, heading_rad) = match numbers.as_deref() {
        Some(&[x, y]) => (x, y, y.atan2(x)),
        Some(&[x, y, heading_deg]) => (x, y, heading_deg.to_radians()),
        _ => return Err("expected X,Y in m or X,Y,DEG, e.g. 6,0.5".to_owned()),
    };
    Ok(Goal {
        position_world: Point2::new(x, y),
        heading_rad,
    })
}

#[cfg(test)]
mod tests {
    use std::f32::consts::{FRAC_PI_2, FRAC_PI_4};

    use super::*;

    #[test]
    fn goals_are_points_with_or_without_heading() {
        let goal = parse_goal("3, -3").unwrap();
        assert_eq!(goal.position_world, Point2::new(3.0, -3.0));
        assert!((goal.heading_rad + FRAC_PI_4).abs() < 1e-5);
        assert!((parse_goal("1,0,90").unwrap().heading_rad - FRAC_PI_2).abs() < 1e-5);
        for wrong in ["", "1", "1,2,3,4", "1,x", "nan,0"] {
            assert!(parse_goal(wrong).is_err(), "{wrong}");
        }
    }
}

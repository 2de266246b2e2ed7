//! The table of faults, the source of the one in `docs/reference/faults.md`.

use super::{Fault, Response, Scope};

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(in crate::deploy) struct FaultRow {
    /// The fault.
    pub id: Fault,
    /// Short name.
    pub name: &'static str,
    /// The requirement.
    #[cfg_attr(not(test), expect(dead_code, reason = "for docs/reference/faults.md"))]
    pub requirement: &'static str,
    /// Key of its bound, under `deploy`.
    #[cfg_attr(not(test), expect(dead_code, reason = "for docs/reference/faults.md"))]
    pub setting: Option<&'static str>,
    /// What the robot does.
    pub response: Response,
    /// The states in which it does.
    pub scope: Scope,
}

const fn row(
    id: Fault,
    name: &'static str,
    requirement: &'static str,
    setting: Option<&'static str>,
    response: Response,
    scope: Scope,
) -> FaultRow {
    FaultRow {
        id,
        name,
        requirement,
        setting,
        response,
        scope,
    }
}

/// All faults, in the order of their numbers.
pub(in crate::deploy) const FAULTS: [FaultRow; 25] = {
    use Fault as Id;
    use Response::{Damp, LieDown, NoStart, Stop};
    use Scope::{Always, Running, Standing};
    [
        row(
            Id::NoState,
            "no state",
            "Without any state of the robot all joints are damped and standing up is refused.",
            None,
            Damp,
            Always,
        ),
        row(
            Id::StaleState,
            "stale state",
            "A state that is too old is not acted on, nor are states that come without changing.",
            Some("faults.state_timeout_s"),
            Damp,
            Always,
        ),
        row(
            Id::StaleRays,
            "stale rays",
            "The robot does not run blind.",
            Some("faults.rays_timeout_s"),
            LieDown,
            Running,
        ),
        row(
            Id::StaleOdometry,
            "stale odometry",
            "The robot does not run on an odometry that has stopped; one that never came is not missed.",
            Some("faults.odometry_timeout_s"),
            LieDown,
            Running,
        ),
        row(
            Id::NotFinite,
            "not finite",
            "No number that is not finite is acted on or sent.",
            None,
            Damp,
            Always,
        ),
        row(
            Id::WrongCrc,
            "wrong checksum",
            "A state with a wrong checksum is not used; when only such come, all joints are damped.",
            Some("faults.state_timeout_s"),
            Damp,
            Always,
        ),
        row(
            Id::Tilt,
            "tilt",
            "A robot that tips over does not kick.",
            Some("faults.max_tilt_rad"),
            Damp,
            Always,
        ),
        row(
            Id::JointLimit,
            "joint limit",
            "No joint is driven while one is beyond its position limit by more than the margin.",
            Some("faults.joint_margin_rad"),
            Damp,
            Always,
        ),
        row(
            Id::MotorTemperature,
            "motor temperature",
            "Hot motors are relieved.",
            Some("faults.max_motor_temperature_c"),
            LieDown,
            Standing,
        ),
        row(
            Id::LowBattery,
            "low battery",
            "The robot lies down before the battery is empty.",
            Some("faults.min_battery_percent"),
            LieDown,
            Standing,
        ),
        row(
            Id::MissedDeadlines,
            "missed deadlines",
            "The robot stands and runs only while the control cycle is on time.",
            Some("faults.max_missed_cycles"),
            LieDown,
            Standing,
        ),
        row(
            Id::LostOperator,
            "lost operator",
            "An operator who was heard must stay in hearing.",
            Some("faults.operator_timeout_s"),
            LieDown,
            Standing,
        ),
        row(
            Id::LinkDead,
            "link dead",
            "When a thread that talks to the robot gives no sign of life, all joints are damped.",
            Some("faults.link_timeout_s"),
            Damp,
            Always,
        ),
        row(
            Id::GoalRange,
            "goal out of range",
            "A goal that is too far away, or no place at all, is not run to.",
            Some("faults.max_goal_m"),
            Stop,
            Running,
        ),
        row(
            Id::Shape,
            "foreign input",
            "An input with another number of joints or rays than the bundle's is not acted on.",
            None,
            Damp,
            Always,
        ),
        row(
            Id::Clock,
            "clock",
            "When the clock stands still or goes back, all joints are damped.",
            None,
            Damp,
            Always,
        ),
        row(
            Id::EmergencyStop,
            "emergency stop",
            "An emergency stop damps all joints in the next cycle, in every state.",
            None,
            Damp,
            Always,
        ),
        row(
            Id::OtherRobot,
            "bundle of another robot",
            "A bundle that was made for another robot is refused before the first command.",
            None,
            NoStart,
            Always,
        ),
        row(
            Id::ImplausibleState,
            "implausible state",
            "A state that no robot can be in is not used; when only such come, all joints are damped.",
            Some("faults.plausible_speed"),
            Damp,
            Always,
        ),
        row(
            Id::ForeignState,
            "foreign state",
            "While two publishers claim to be the robot, all joints are damped.",
            None,
            Damp,
            Always,
        ),
        row(
            Id::SecondCommander,
            "second commander",
            "While another program or a mode of the robot commands the motors, all joints are damped; it is not joined.",
            None,
            Damp,
            Always,
        ),
        row(
            Id::JointStop,
            "joint beyond its stop",
            "A joint that stays beyond its position limit ends the run before it is damped.",
            Some("faults.soft_joint_margin_rad"),
            Stop,
            Running,
        ),
        row(
            Id::MotorDoesNotFollow,
            "motor does not follow",
            "A robot whose joints do not go where they are commanded does not stand up.",
            Some("faults.max_following_error_rad"),
            Damp,
            Standing,
        ),
        row(
            Id::ImplausibleOdometry,
            "implausible odometry",
            "The robot does not run on an odometry that jumps, races, or is in unknown frames.",
            Some("faults.max_odometry_speed_mps"),
            LieDown,
            Running,
        ),
        row(
            Id::WrongMotor,
            "motor answers wrongly",
            "A robot with a motor that is dead, exchanged with another or turns the wrong way does not stand up.",
            Some("stand_up.probe_motors"),
            Damp,
            Standing,
        ),
    ]
};

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// The table as Markdown.
    fn fault_table() -> String {
        let mut table = String::from(
            "| id | fault | requirement | bound (`deploy.`) | matters | the robot |\n|---|---|---|---|---|---|\n",
        );
        for row in &FAULTS {
            let setting = row
                .setting
                .map_or_else(String::new, |key| format!("`{key}`"));
            let scope = match row.scope {
                Scope::Always => "always",
                Scope::Standing => "standing, running",
                Scope::Running => "running",
            };
            let response = match row.response {
                Response::Stop => "brakes and stands",
                Response::LieDown => "brakes, lies down, damps",
                Response::Damp => "damps all joints",
                Response::NoStart => "is sent nothing",
            };
            let _ = writeln!(
                table,
                "| F{:02} | {} | {} | {setting} | {scope} | {response} |",
                row.id.number(),
                row.name,
                row.requirement
            );
        }
        table
    }

    #[test]
    fn rows_are_in_the_order_of_their_numbers() {
        for (index, row) in FAULTS.iter().enumerate() {
            assert_eq!(row.id as usize, index + 1, "{}", row.name);
            assert_eq!(row.id.row().name, row.name);
        }
        assert_eq!(Fault::StaleState.to_string(), "F02 stale state");
    }

    #[test]
    fn the_documented_table_is_this_one() {
        let document = include_str!("../../../../docs/reference/faults.md");
        assert!(
            document.contains(&fault_table()),
            "docs/reference/faults.md must contain:\n{}",
            fault_table()
        );
    }
}

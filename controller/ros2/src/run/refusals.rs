//! Why a request had no effect, in words.

use controller::deploy::{Refusal, Request, State};

/// Why a request had no effect, and what would help.
pub fn refusal_text(request: Request, why: Refusal, joints: &[String]) -> String {
    let what = match request {
        Request::EmergencyStop => "emergency stop",
        Request::LieDown => "lie down",
        Request::Stop => "stop",
        Request::Stand => "stand up",
        Request::Start => "go",
    };
    match why {
        Refusal::NoGoal => format!(
            "{what}: there is no goal; give --goal X,Y, or set one in RViz (ros2.goal_topic)"
        ),
        Refusal::Faults(faults) => format!("{what}: not with {faults}"),
        Refusal::State(State::Fault) => {
            format!("{what}: not in state `fault`; first s, when the fault is over")
        }
        Refusal::State(state) => format!(
            "{what}: not in state `{}`; first u, and wait until it stands",
            state.name()
        ),
        Refusal::Motor { expected, moved } => {
            let name = |joint: u8| joints.get(usize::from(joint)).map_or("?", String::as_str);
            let found = match moved {
                None => "no joint moved: is the motor dead or blocked?".to_owned(),
                Some(moved) if moved == expected => "it turned the wrong way".to_owned(),
                Some(moved) => format!("`{}` moved: are they exchanged?", name(moved)),
            };
            format!("{what}: `{}` was commanded, and {found}", name(expected))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_would_help() {
        let joints = ["FR_hip_joint", "FL_hip_joint"].map(str::to_owned);
        let text = |request, why| refusal_text(request, why, &joints);
        let motor = |moved| text(Request::Stand, Refusal::Motor { expected: 0, moved });
        assert_eq!(
            motor(Some(1)),
            "stand up: `FR_hip_joint` was commanded, and `FL_hip_joint` moved: are they exchanged?"
        );
        assert!(motor(Some(0)).ends_with("and it turned the wrong way"));
        assert!(motor(None).contains("no joint moved"));
        let no_goal = text(Request::Start, Refusal::NoGoal);
        assert!(
            no_goal.starts_with("go: there is no goal; give --goal X,Y"),
            "{no_goal}"
        );
        let text = text(Request::Start, Refusal::State(State::Damping));
        assert_eq!(
            text,
            "go: not in state `damping`; first u, and wait until it stands"
        );
    }
}

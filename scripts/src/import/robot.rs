//! The robot that a network from elsewhere was trained for.

use anyhow::{Result, ensure};
use robots::{Robot, RobotFiles};

use super::{contract::Contract, network::Element, order::Order};

/// The robot of a contract.
pub struct ImportedRobot {
    pub robot: Robot,
    /// Its files, unless a shipped robot has the same.
    pub files: Option<RobotFiles>,
    /// Keys of the contract that differ from the robot's folder.
    pub changed: Vec<&'static str>,
    /// Where the network has its joints and feet.
    pub order: Order,
    /// Joint angle of one unit of the network's action, of each joint, rad.
    action_scale: Vec<f32>,
}

impl ImportedRobot {
    /// The robot with this name or in this folder, with the numbers of the contract.
    ///
    /// # Errors
    /// One line when there is no such robot, or a number of the contract is out of range.
    pub fn new(name: &str, contract: &Contract) -> Result<Self> {
        let original = RobotFiles::read(name)?;
        let before = original.robot()?;
        let order = Order::new(contract, &before)?;
        let mut robot = before.clone();
        let mut changed = Vec::new();
        let control = &mut robot.control;
        for (key, given, own, is_gain) in [
            (
                "default_position_rad",
                &contract.default_position_rad,
                &mut control.default_position_rad,
                false,
            ),
            (
                "stiffness",
                &contract.stiffness,
                &mut control.stiffness,
                true,
            ),
            ("damping", &contract.damping, &mut control.damping, true),
        ] {
            let Some(given) = given else { continue };
            let given = order.per_joint(key, given, &before)?;
            let wrong = |number: &&f32| !number.is_finite() || (is_gain && **number < 0.0);
            if let Some(wrong) = given.iter().find(wrong) {
                let right = if is_gain { ", and 0 or more" } else { "" };
                anyhow::bail!("`{key}` has {wrong}, must be finite{right}");
            }
            if given != *own {
                *own = given;
                changed.push(key);
            }
        }
        let action_scale = match &contract.action_scale {
            None => vec![control.action_scale; before.num_joints()],
            Some(scale) => order.per_joint("action_scale", scale, &before)?,
        };
        let wrong = action_scale
            .iter()
            .find(|scale| !(**scale > 0.0 && scale.is_finite()));
        ensure!(
            wrong.is_none(),
            "`action_scale` has {}, must be positive",
            wrong.copied().unwrap_or_default()
        );
        if changed.is_empty() {
            let shipped = RobotFiles::read(&before.name);
            let is_shipped = shipped.is_ok_and(|shipped| shipped == original);
            return Ok(Self {
                robot,
                files: (!is_shipped).then_some(original),
                changed,
                order,
                action_scale,
            });
        }
        let files = original.with_control(&robot.control)?;
        Ok(Self {
            robot: files.robot()?,
            files: Some(files),
            changed,
            order,
            action_scale,
        })
    }

    /// The action scale of the bundle, which is one for all joints.
    pub fn largest_action_scale(&self) -> f32 {
        self.action_scale.iter().copied().fold(0.0, f32::max)
    }

    /// For each joint the action of the network, and by what the bundle's is multiplied to give it: joints with a smaller scale have
    /// smaller actions in the bundle.
    pub fn outputs(&self) -> Vec<Element> {
        let largest = f64::from(self.largest_action_scale());
        let joints = self.action_scale.iter().zip(&self.order.joints);
        joints
            .map(|(own, place)| Element {
                place: *place,
                factor: largest / f64::from(*own),
            })
            .collect()
    }
}

//! The order in which a network has joints and feet.

use anyhow::{Result, bail, ensure};
use robots::Robot;

use super::contract::{Contract, Numbers};

/// Where the joints and feet of a robot, in its order, stand in the vectors of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Per joint.
    pub joints: Vec<usize>,
    /// Per foot.
    pub feet: Vec<usize>,
}

impl Order {
    /// The order that a contract says.
    ///
    /// # Errors
    /// When it does not name each leg or joint once.
    pub fn new(contract: &Contract, robot: &Robot) -> Result<Self> {
        let names = |leg: &robots::Leg| -> Vec<String> {
            leg.joints.iter().map(|joint| joint.name.clone()).collect()
        };
        let own_legs: Vec<String> = robot.legs.iter().map(|leg| leg.name.clone()).collect();
        let own_joints: Vec<String> = robot.legs.iter().flat_map(names).collect();
        let legs = match (&contract.legs, &contract.joints) {
            (Some(legs), _) => legs.clone(),
            // In the order of their first joints.
            (None, Some(joints)) => {
                let first = |leg: &&robots::Leg| {
                    let names = names(leg);
                    joints.iter().position(|joint| names.contains(joint))
                };
                let mut legs: Vec<&robots::Leg> = robot.legs.iter().collect();
                legs.sort_by_key(first);
                legs.into_iter().map(|leg| leg.name.clone()).collect()
            }
            (None, None) => own_legs.clone(),
        };
        let feet = places("legs", &legs, &own_legs, &robot.name)?;
        let joints = match &contract.joints {
            Some(joints) => joints.clone(),
            None => legs
                .iter()
                .filter_map(|name| robot.legs.iter().find(|leg| leg.name == *name))
                .flat_map(names)
                .collect(),
        };
        Ok(Self {
            joints: places("joints", &joints, &own_joints, &robot.name)?,
            feet,
        })
    }

    /// Numbers of a contract, one per joint, in the robot's order.
    ///
    /// # Errors
    /// When they are not one, one per joint of a leg, or one per joint.
    pub fn per_joint(&self, key: &str, numbers: &Numbers, robot: &Robot) -> Result<Vec<f32>> {
        let leg = robot.legs.first().map_or(0, |leg| leg.joints.len());
        let legs_are_equal = robot.legs.iter().all(|other| other.joints.len() == leg);
        let joints = self.joints.len();
        match numbers {
            Numbers::All(number) => Ok(vec![*number; joints]),
            Numbers::Each(numbers) if numbers.len() == joints => {
                Ok(self.joints.iter().map(|place| numbers[*place]).collect())
            }
            Numbers::Each(numbers) if legs_are_equal && numbers.len() == leg => {
                Ok(numbers.repeat(robot.legs.len()))
            }
            Numbers::Each(numbers) => bail!(
                "`{key}` has {} numbers, must have 1, {leg} (one per joint of a leg) or {joints} (one per joint, in the order of `joints`)",
                numbers.len()
            ),
        }
    }
}

/// Where each of `own` stands in `given`.
fn places(key: &str, given: &[String], own: &[String], robot: &str) -> Result<Vec<usize>> {
    if let Some(unknown) = given.iter().find(|name| !own.contains(name)) {
        bail!(
            "`{key}` names `{unknown}`, which {robot} has not; it has {}",
            own.join(", ")
        );
    }
    ensure!(
        given.len() <= own.len(),
        "`{key}` has {} names, must have each of the {} of {robot} once",
        given.len(),
        own.len()
    );
    own.iter()
        .map(|name| match given.iter().position(|given| given == name) {
            Some(place) => Ok(place),
            None => bail!("`{key}` does not name `{name}`; it must name each of {robot} once"),
        })
        .collect()
}

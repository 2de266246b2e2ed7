//! The commands that need ROS 2, in a program that was built without it: they say where they are.

use anyhow::{Result, bail};

macro_rules! absent {
    ($($(#[$doc:meta])* $module:ident::$command:ident;)*) => {$(
        pub mod $module {
            $(#[$doc])*
            #[derive(clap::Args)]
            pub struct $command {
                #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
                rest: Vec<String>,
            }

            impl $command {
                pub fn run(&self) -> anyhow::Result<()> {
                    super::refuse(&self.rest)
                }
            }
        }
    )*};
}

absent! {
    /// Run a policy bundle on a robot over ROS 2
    deploy::DeployCommand;
    /// A simulated robot behind the DDS topics of a real one
    sim_robot::SimRobotCommand;
    /// Run the log of `abs deploy` again, and compare every command bit by bit
    replay::ReplayCommand;
    /// Identify the motors from the log of `abs deploy --identify`: delay, armature, friction, encoder bias
    identify::IdentifyCommand;
}

fn refuse(_: &[String]) -> Result<()> {
    bail!(
        "this program was built without ROS 2; scripts/abs builds it in, or cargo with the feature `ros2`"
    )
}

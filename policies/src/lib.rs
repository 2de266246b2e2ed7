//! Policies: what they observe, how they are evaluated and stored; [`training`] is what simulators and learners agree on.
//!
//! Data flow: `RobotState` + [`RayScan`] + [`Goal`] -> observation ([`Layout`]) -> policy -> action -> `JointTarget`.

pub mod action;
pub mod bundle;
pub mod command;
pub mod depth;
pub mod file;
pub mod mlp;
pub mod observation;
pub mod policy;
pub mod ray_history;
pub mod ray_memory;
pub mod rays;
pub mod reach_avoid;
pub mod training;

pub use action::{ACTION_CLIP, ActionMap, default_target};
pub use bundle::{
    Bundle, BundleError, MANIFEST as BUNDLE_MANIFEST, Member, Provenance, RayMember,
    ReachAvoidMember,
};
pub use command::{Goal, GoalYaw, Twist};
pub use mlp::{Activation, Linear, Mlp, MlpError};
pub use observation::{Layout, ObservationInput, Quantity};
pub use policy::{NotFinite, Policy};
pub use ray_history::RayHistory;
pub use ray_memory::RayMemory;
pub use rays::{MAX_RAYS, RayScan, RaySpec, RaySpecError};
pub use reach_avoid::ReachAvoidValue;

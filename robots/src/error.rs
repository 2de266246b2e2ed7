use std::path::PathBuf;

use crate::state::{MAX_FEET, MAX_JOINTS};

/// Why a robot cannot be loaded: one line with the place, the fault and what would be right.
#[derive(Debug, thiserror::Error)]
pub enum RobotError {
    /// Neither a built-in robot nor a robot folder.
    #[error(
        "no robot `{name}`: it is not built in ({built_in}), and no folder of that name holds a robot.toml"
    )]
    NotFound {
        /// What was asked for.
        name: String,
        /// Names of the built-in robots.
        built_in: String,
    },
    /// A file of the robot cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The syntax is wrong, a key is unknown or missing, or a value is of the wrong type.
    #[error("{place}: {}", one_line(message))]
    Syntax {
        /// File, and line where it is known.
        place: String,
        /// The parser's message.
        message: String,
    },
    /// The robot cannot stand.
    #[error("robot `{name}` cannot stand: {reasons}; `abs robot check` tells more")]
    Unsound {
        /// Name of the robot.
        name: String,
        /// All reasons, in one line.
        reasons: String,
    },
    /// The files can be read, but do not describe a robot.
    #[error("{file}: {}", one_line(problem))]
    Invalid {
        /// The file at fault.
        file: String,
        /// What is wrong.
        problem: Problem,
    },
}

/// A robot description that makes no sense, or is not supported.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Problem {
    /// `robot.toml` names a URDF that the folder does not have.
    #[error("urdf file `{0}` is not in the robot's folder")]
    NoSuchFile(String),
    /// More legs than the fixed-size vectors hold.
    #[error("{0} legs; there must be 1 to {MAX_FEET}")]
    LegCount(usize),
    /// More joints than the fixed-size vectors hold.
    #[error("{0} joints in all legs; there must be 1 to {MAX_JOINTS}")]
    JointCount(usize),
    /// A leg, link or joint name is used twice.
    #[error("{kind} `{name}` appears twice; names must be unique")]
    Duplicate {
        /// Leg, link, joint.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A vector has the wrong number of entries.
    #[error("`{key}` has {len} entries; there must be {expected}")]
    VectorLength {
        /// Section and key.
        key: String,
        /// Entries found.
        len: usize,
        /// Allowed numbers, in words.
        expected: String,
    },
    /// A number is outside what is meaningful.
    #[error("{what} is {value}; it must be {expected}")]
    Value {
        /// Which number.
        what: String,
        /// Its value.
        value: String,
        /// Allowed range, in words.
        expected: &'static str,
    },
    /// A default or standing posture that the joint cannot take.
    #[error("`{key}` puts joint `{joint}` at {value} rad, outside its limits {lower} to {upper}")]
    OutsideLimits {
        /// Section and key.
        key: &'static str,
        /// The joint.
        joint: String,
        /// Position asked for, rad.
        value: f32,
        /// Lower limit, rad.
        lower: f32,
        /// Upper limit, rad.
        upper: f32,
    },
    /// `robot.toml` names a link or joint that the URDF does not have.
    #[error("{place} names {kind} `{name}`, which {urdf} does not have")]
    Unknown {
        /// Section of `robot.toml`.
        place: String,
        /// Link or joint.
        kind: &'static str,
        /// The name.
        name: String,
        /// URDF file.
        urdf: String,
    },
    /// A joint's parent or child is missing.
    #[error(
        "joint `{joint}` connects link `{link}`, which does not exist; add it or correct the name"
    )]
    MissingLink {
        /// The joint.
        joint: String,
        /// The link.
        link: String,
    },
    /// Not exactly one link without a parent.
    #[error("links without a parent: {0}; there must be exactly one, the base")]
    Roots(String),
    /// A link that can be reached in two ways, or hangs on itself.
    #[error(
        "link `{link}` closes a loop of joints; legs must be open chains, so remove joint `{joint}`"
    )]
    ClosedChain {
        /// The link.
        link: String,
        /// A joint of the loop.
        joint: String,
    },
    /// A joint other than revolute, continuous or fixed.
    #[error("joint `{joint}` is {kind}; only revolute, continuous and fixed joints are supported")]
    JointType {
        /// The joint.
        joint: String,
        /// Its type.
        kind: String,
    },
    /// A movable joint that no leg lists.
    #[error("joint `{0}` belongs to no leg; list it in a [[leg]] of robot.toml or make it fixed")]
    UnusedJoint(String),
    /// A movable joint that hangs on the middle of a leg.
    #[error(
        "joint `{joint}` branches off leg `{leg}` at `{parent}`; a leg must be one serial chain"
    )]
    Branch {
        /// The joint.
        joint: String,
        /// The leg.
        leg: String,
        /// Body that it hangs on.
        parent: String,
    },
    /// The joints of a leg do not follow each other.
    #[error(
        "leg `{leg}`: joint `{joint}` is not attached to `{expected}`; list the leg's joints from the base outwards"
    )]
    NotAChain {
        /// The leg.
        leg: String,
        /// The joint.
        joint: String,
        /// Body that it should hang on.
        expected: String,
    },
    /// The foot is not fixed to the last link of its leg.
    #[error("leg `{leg}`: foot `{foot}` is not fixed to the leg's last link `{last}`")]
    FootElsewhere {
        /// The leg.
        leg: String,
        /// The foot link.
        foot: String,
        /// The last link.
        last: String,
    },
    /// The foot is not one sphere.
    #[error("foot `{0}` must have exactly one collision shape, a sphere")]
    FootShape(String),
    /// A moving link without a mass.
    #[error("link `{0}` moves but has no mass; give it an <inertial> with a positive mass")]
    NoMass(String),
    /// A moving link without inertia.
    #[error("link `{0}` has a mass but no inertia; give <inertia> positive ixx, iyy and izz")]
    NoInertia(String),
    /// No rigid body has this inertia.
    #[error(
        "inertia of link `{link}` is impossible: principal moments {:.5}, {:.5}, {:.5} kg m^2 must be positive, and none larger than the sum of the others",
        .moments[0], .moments[1], .moments[2]
    )]
    Inertia {
        /// The link.
        link: String,
        /// Principal moments, ascending.
        moments: [f64; 3],
    },
    /// Limits are reversed or empty.
    #[error("joint `{joint}`: lower limit {lower} is not below upper limit {upper} rad")]
    ReversedLimits {
        /// The joint.
        joint: String,
        /// Lower limit, rad.
        lower: f64,
        /// Upper limit, rad.
        upper: f64,
    },
    /// Meshes do not collide here.
    #[error(
        "link `{link}` collides as mesh `{mesh}`; meshes are not supported: use box, sphere, cylinder or capsule"
    )]
    Mesh {
        /// The link.
        link: String,
        /// File name of the mesh.
        mesh: String,
    },
    /// A cylinder too short for a capsule.
    #[error(
        "link `{link}`: a collision cylinder is read as a capsule, so its length {length} m must be at least twice its radius {radius} m; use a box or a sphere"
    )]
    ShortCylinder {
        /// The link.
        link: String,
        /// Length, m.
        length: f64,
        /// Radius, m.
        radius: f64,
    },
    /// A link with shapes whose contacts would count for nothing.
    #[error(
        "link `{0}` has collision shapes but no contact class; list it under base, thigh or calf in [contact]"
    )]
    NoContactClass(String),
}

/// Names in a file may hold line breaks.
fn one_line(text: impl std::fmt::Display) -> String {
    let text = text.to_string();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Problem {
    pub(crate) fn in_file(self, file: &str) -> RobotError {
        RobotError::Invalid {
            file: file.to_owned(),
            problem: self,
        }
    }
}

//! The URDF's tree of links, cut at its hinges into a base and legs.

use std::{
    collections::BTreeMap,
    path::{Component, Path},
};

use nalgebra::{Isometry3, Matrix3, Point3, Translation3, Unit, UnitQuaternion, Vector3};
use urdf_rs::{Geometry, JointType};

use crate::{
    description::{Description, LegDescription, require, unique},
    error::Problem,
    mass::{MassMoments, check_inertia},
    model::{CONTINUOUS_LIMIT_RAD, CollisionShape, Foot, Joint, Leg, Link, Shape, VisualMesh},
};

/// No length or angle of a robot is larger, m or rad.
const LARGEST: f64 = 100.0;
/// No link is heavier, nor has a larger moment of inertia, kg m^2.
const HEAVIEST_KG: f64 = 1000.0;
/// Links of a robot, fixed ones included.
pub(crate) const MOST_LINKS: usize = 500;

/// The URDF's links and joints, known to form a tree.
pub(crate) struct Tree<'a> {
    description: &'a Description,
    /// Where visual meshes are, if anywhere.
    folder: Option<&'a Path>,
    links: BTreeMap<&'a str, &'a urdf_rs::Link>,
    joints_of_parent: BTreeMap<&'a str, Vec<&'a urdf_rs::Joint>>,
    root: &'a str,
}

/// A link with all that is fixed to it, and the hinges that hang on it.
pub(crate) struct Body<'a> {
    name: &'a str,
    mass: MassMoments,
    /// Each with the URDF link that it belongs to.
    shapes: Vec<(&'a str, CollisionShape)>,
    visuals: Vec<VisualMesh>,
    /// URDF links that are part of this body.
    links: Vec<&'a str>,
    /// Each with its frame in the frame of this body.
    hinges: Vec<(&'a urdf_rs::Joint, Isometry3<f64>)>,
}

impl<'a> Tree<'a> {
    pub(crate) fn new(
        description: &'a Description,
        urdf: &'a urdf_rs::Robot,
        folder: Option<&'a Path>,
    ) -> Result<Self, Problem> {
        let links = urdf.links.len();
        let what = "number of links";
        require(links <= MOST_LINKS, what, links as f64, "at most 500")?;
        unique("link", urdf.links.iter().map(|link| &link.name))?;
        unique("joint", urdf.joints.iter().map(|joint| &joint.name))?;
        let links: BTreeMap<&str, _> = urdf.links.iter().map(|l| (l.name.as_str(), l)).collect();

        let mut joint_of_child: BTreeMap<&str, &urdf_rs::Joint> = BTreeMap::new();
        let mut joints_of_parent: BTreeMap<&str, Vec<&urdf_rs::Joint>> = BTreeMap::new();
        for joint in &urdf.joints {
            for link in [&joint.parent.link, &joint.child.link] {
                if !links.contains_key(link.as_str()) {
                    return Err(Problem::MissingLink {
                        joint: joint.name.clone(),
                        link: link.clone(),
                    });
                }
            }
            if joint_of_child.insert(&joint.child.link, joint).is_some() {
                return Err(Problem::ClosedChain {
                    link: joint.child.link.clone(),
                    joint: joint.name.clone(),
                });
            }
            joints_of_parent
                .entry(&joint.parent.link)
                .or_default()
                .push(joint);
        }
        for &link in links.keys() {
            check_reaches_root(link, &joint_of_child)?;
        }
        let roots: Vec<_> = urdf
            .links
            .iter()
            .map(|link| link.name.as_str())
            .filter(|link| !joint_of_child.contains_key(link))
            .collect();
        let &[root] = roots.as_slice() else {
            return Err(Problem::Roots(if roots.is_empty() {
                "none".to_owned()
            } else {
                roots.join(", ")
            }));
        };
        Ok(Self {
            description,
            folder,
            links,
            joints_of_parent,
            root,
        })
    }

    /// The base.
    pub(crate) fn base(&self) -> Result<Body<'a>, Problem> {
        self.body(self.root)
    }

    /// A link merged with everything that is fixed to it.
    fn body(&self, name: &'a str) -> Result<Body<'a>, Problem> {
        let mut body = Body {
            name,
            mass: MassMoments::zero(),
            shapes: Vec::new(),
            visuals: Vec::new(),
            links: Vec::new(),
            hinges: Vec::new(),
        };
        let mut pending = vec![(name, Isometry3::identity())];
        while let Some((name, pose)) = pending.pop() {
            self.merge_link(&mut body, name, &pose)?;
            for joint in self.joints_of_parent.get(name).into_iter().flatten() {
                let what = || format!("origin of joint `{}`", joint.name);
                let pose = pose * isometry(&joint.origin, what)?;
                match joint.joint_type {
                    JointType::Fixed => pending.push((&joint.child.link, pose)),
                    JointType::Revolute | JointType::Continuous if joint.mimic.is_none() => {
                        body.hinges.push((joint, pose));
                    }
                    _ => {
                        return Err(Problem::JointType {
                            joint: joint.name.clone(),
                            kind: joint_kind(joint),
                        });
                    }
                }
            }
        }
        Ok(body)
    }

    fn merge_link(
        &self,
        body: &mut Body<'a>,
        name: &'a str,
        pose: &Isometry3<f64>,
    ) -> Result<(), Problem> {
        let Some(link) = self.links.get(name) else {
            return Ok(());
        };
        body.links.push(name);

        let mass = link.inertial.mass.value;
        let what = format!("mass of link `{name}`");
        require(mass >= 0.0, &what, mass, "positive")?;
        require(mass <= HEAVIEST_KG, &what, mass, "at most 1000")?;
        let i = &link.inertial.inertia;
        let inertia = Matrix3::new(
            i.ixx, i.ixy, i.ixz, i.ixy, i.iyy, i.iyz, i.ixz, i.iyz, i.izz,
        );
        for value in inertia.iter() {
            let what = format!("an entry of <inertia> of link `{name}`");
            require(value.is_finite(), &what, *value, "a finite number")?;
            let is_small = value.abs() <= HEAVIEST_KG;
            require(is_small, &what, *value, "within -1000 and 1000")?;
        }
        if inertia != Matrix3::zeros() {
            check_inertia(name, &inertia)?;
        }
        let what = || format!("origin of <inertial> of link `{name}`");
        let inertial_pose = pose * isometry(&link.inertial.origin, what)?;
        body.mass.add(mass, &inertia, &inertial_pose);

        for collision in &link.collision {
            let class = self
                .description
                .contact_class(name)
                .ok_or_else(|| Problem::NoContactClass(name.to_owned()))?;
            let what = || format!("origin of <collision> of link `{name}`");
            let origin = (pose * isometry(&collision.origin, what)?).cast();
            let shape = shape(name, &collision.geometry)?;
            body.shapes.push((
                name,
                CollisionShape {
                    origin,
                    shape,
                    class,
                },
            ));
        }
        for visual in &link.visual {
            if let (Some(folder), Some(file)) = (self.folder, own_mesh(&visual.geometry)) {
                let what = || format!("origin of <visual> of link `{name}`");
                body.visuals.push(VisualMesh {
                    origin: (pose * isometry(&visual.origin, what)?).cast(),
                    file: folder.join(file),
                });
            }
        }
        Ok(())
    }

    /// Follows the joints of a leg from the base outwards.
    pub(crate) fn leg(&self, leg: &LegDescription, base: &Body<'a>) -> Result<Leg, Problem> {
        let mut joints = Vec::with_capacity(leg.joints.len());
        let mut bodies: Vec<Body<'a>> = Vec::with_capacity(leg.joints.len());
        for name in &leg.joints {
            let parent = bodies.last().unwrap_or(base);
            let hinge = parent.hinges.iter().find(|(joint, _)| joint.name == *name);
            let Some((joint, origin)) = hinge else {
                return Err(Problem::NotAChain {
                    leg: leg.name.clone(),
                    joint: name.clone(),
                    expected: parent.name.to_owned(),
                });
            };
            let body = self.body(&joint.child.link)?;
            joints.push(hinge_joint(joint, origin, body.link()?)?);
            bodies.push(body);
        }
        for (body, next) in bodies
            .iter()
            .zip(leg.joints.iter().skip(1).map(Some).chain([None]))
        {
            if let Some((branch, _)) = body.hinges.iter().find(|(j, _)| Some(&j.name) != next) {
                return Err(Problem::Branch {
                    joint: branch.name.clone(),
                    leg: leg.name.clone(),
                    parent: body.name.to_owned(),
                });
            }
        }
        let last = bodies.last().unwrap_or(base);
        Ok(Leg {
            name: leg.name.clone(),
            joints,
            foot: foot(leg, last)?,
        })
    }
}

impl Body<'_> {
    pub(crate) fn link(&self) -> Result<Link, Problem> {
        let (mass, com, inertia) = self.mass.about_com(self.name)?;
        Ok(Link {
            name: self.name.to_owned(),
            mass_kg: mass as f32,
            com: com.cast(),
            inertia_kgm2: inertia.cast(),
            shapes: self.shapes.iter().map(|(_, shape)| shape.clone()).collect(),
            visuals: self.visuals.clone(),
        })
    }
}

/// A mesh that is in the robot's folder, as an import writes it; no other is looked for.
fn own_mesh(geometry: &Geometry) -> Option<&Path> {
    let Geometry::Mesh {
        filename,
        scale: None,
    } = geometry
    else {
        return None;
    };
    let path = Path::new(filename);
    let is_inside = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    let is_stl = path.extension().is_some_and(|extension| extension == "stl");
    (is_inside && is_stl).then_some(path)
}

fn foot(leg: &LegDescription, last: &Body<'_>) -> Result<Foot, Problem> {
    if !last.links.contains(&leg.foot.as_str()) {
        return Err(Problem::FootElsewhere {
            leg: leg.name.clone(),
            foot: leg.foot.clone(),
            last: last.name.to_owned(),
        });
    }
    let mut shapes = last.shapes.iter().filter(|(link, _)| *link == leg.foot);
    match (shapes.next(), shapes.next()) {
        (Some((_, shape)), None) => match shape.shape {
            Shape::Sphere { radius } => Ok(Foot {
                link: leg.foot.clone(),
                position: Point3::from(shape.origin.translation.vector),
                radius,
            }),
            _ => Err(Problem::FootShape(leg.foot.clone())),
        },
        _ => Err(Problem::FootShape(leg.foot.clone())),
    }
}

/// A hinge without its motor, which `robot.toml` describes.
fn hinge_joint(
    joint: &urdf_rs::Joint,
    origin: &Isometry3<f64>,
    link: Link,
) -> Result<Joint, Problem> {
    let axis = Vector3::from(joint.axis.xyz.0);
    let what = format!("length of the axis of joint `{}`", joint.name);
    let axis = Unit::try_new(axis, 1e-6)
        .filter(|axis| axis.iter().all(|x| x.is_finite()))
        .ok_or_else(|| Problem::Value {
            what,
            value: axis.norm().to_string(),
            expected: "positive",
        })?;
    let limit = &joint.limit;
    let (lower, upper) = if joint.joint_type == JointType::Continuous {
        (
            -f64::from(CONTINUOUS_LIMIT_RAD),
            f64::from(CONTINUOUS_LIMIT_RAD),
        )
    } else {
        (limit.lower, limit.upper)
    };
    if lower.is_nan() || upper.is_nan() || lower >= upper {
        return Err(Problem::ReversedLimits {
            joint: joint.name.clone(),
            lower,
            upper,
        });
    }
    let turns = f64::from(CONTINUOUS_LIMIT_RAD);
    Ok(Joint {
        name: joint.name.clone(),
        origin: origin.cast(),
        axis: axis.cast(),
        lower_rad: lower.max(-turns) as f32,
        upper_rad: upper.min(turns) as f32,
        velocity_limit_radps: limit.velocity as f32,
        effort_limit_nm: limit.effort as f32,
        armature_kgm2: 0.0,
        damping_nms: 0.0,
        friction_nm: 0.0,
        link,
    })
}

fn shape(link: &str, geometry: &Geometry) -> Result<Shape, Problem> {
    let length = |what: &str, value: f64| {
        let what = format!("{what} of a collision shape of link `{link}`");
        require(value > 0.0 && value.is_finite(), &what, value, "positive")?;
        require(value <= LARGEST, &what, value, "at most 100").map(|()| value as f32)
    };
    Ok(match geometry {
        Geometry::Box { size } => {
            let [x, y, z] = size.0;
            Shape::Box {
                half_extents: 0.5
                    * Vector3::new(length("size", x)?, length("size", y)?, length("size", z)?),
            }
        }
        Geometry::Sphere { radius } => Shape::Sphere {
            radius: length("radius", *radius)?,
        },
        Geometry::Capsule {
            radius,
            length: between_centres,
        } => Shape::Capsule {
            half_length: 0.5 * length("length", *between_centres)?,
            radius: length("radius", *radius)?,
        },
        &Geometry::Cylinder {
            radius,
            length: total,
        } => {
            let (radius_m, total_m) = (length("radius", radius)?, length("length", total)?);
            if total < 2.0 * radius {
                return Err(Problem::ShortCylinder {
                    link: link.to_owned(),
                    length: total,
                    radius,
                });
            }
            Shape::Capsule {
                half_length: 0.5 * total_m - radius_m,
                radius: radius_m,
            }
        }
        Geometry::Mesh { filename, .. } => {
            return Err(Problem::Mesh {
                link: link.to_owned(),
                mesh: filename.clone(),
            });
        }
    })
}

/// A link that never gets to a root by way of its parents is part of a loop.
fn check_reaches_root(
    start: &str,
    joint_of_child: &BTreeMap<&str, &urdf_rs::Joint>,
) -> Result<(), Problem> {
    let mut link = start;
    for _ in 0..=joint_of_child.len() {
        let Some(joint) = joint_of_child.get(link) else {
            return Ok(());
        };
        link = &joint.parent.link;
    }
    let joint = joint_of_child.get(link).map(|joint| joint.name.clone());
    Err(Problem::ClosedChain {
        link: link.to_owned(),
        joint: joint.unwrap_or_default(),
    })
}

fn joint_kind(joint: &urdf_rs::Joint) -> String {
    if joint.mimic.is_some() {
        "a mimic joint".to_owned()
    } else {
        format!("{:?}", joint.joint_type).to_lowercase()
    }
}

/// URDF's roll, pitch and yaw are about the fixed axes x, y and z, as nalgebra's.
fn isometry(pose: &urdf_rs::Pose, what: impl Fn() -> String) -> Result<Isometry3<f64>, Problem> {
    for &value in pose.xyz.iter().chain(pose.rpy.iter()) {
        require(value.is_finite(), &what(), value, "a finite number")?;
        let is_near = value.abs() <= LARGEST;
        require(is_near, &what(), value, "within -100 and 100")?;
    }
    let [roll, pitch, yaw] = pose.rpy.0;
    Ok(Isometry3::from_parts(
        Translation3::from(pose.xyz.0),
        UnitQuaternion::from_euler_angles(roll, pitch, yaw),
    ))
}

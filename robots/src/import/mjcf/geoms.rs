//! Geoms: what collides, what is seen, and what bodies without `<inertial>` weigh.

use nalgebra::{Isometry3, Matrix3, UnitQuaternion, Vector3};
use roxmltree::Node;

use super::{
    super::{
        source::{Geometry, Inertial, SourceShape},
        xml::child,
    },
    Attributes, Reader,
};

/// Density of a geom that says none, kg/m³.
const DENSITY: f64 = 1000.0;

/// The viewer of MuJoCo shows the groups 0 to 2 and hides the others.
const LAST_SHOWN_GROUP: i32 = 2;

pub(super) struct Geom {
    pub shape: SourceShape,
    pub collides: bool,
    pub is_shown: bool,
}

impl Reader<'_> {
    pub(super) fn inertial(
        &mut self,
        node: Node<'_, '_>,
        class: &str,
        place: &str,
        in_link: &Isometry3<f64>,
    ) -> Option<Inertial> {
        if let Some(inertial) = child(node, "inertial") {
            let own: Attributes = inertial
                .attributes()
                .map(|a| (a.name().to_owned(), a.value().to_owned()))
                .collect();
            let pose = in_link * self.pose(&own, place);
            let inertia = if own.contains_key("fullinertia") {
                let [xx, yy, zz, xy, xz, yz] = self.vector(&own, "fullinertia", [0.0; 6], place);
                Matrix3::new(xx, xy, xz, xy, yy, yz, xz, yz, zz)
            } else {
                Matrix3::from_diagonal(&Vector3::from(self.vector(
                    &own,
                    "diaginertia",
                    [0.0; 3],
                    place,
                )))
            };
            let mass = self.number(&own, "mass", place);
            return Some(Inertial {
                mass,
                pose,
                inertia,
            });
        }
        // Of its largest geom, as MuJoCo does of all of them.
        let geoms = node.children().filter(|n| n.has_tag_name("geom"));
        let mut heaviest: Option<Inertial> = None;
        for geom in geoms {
            let own = self.attributes(geom, class);
            let Some(Geom { shape, .. }) = self.geom(geom, class, place) else {
                continue;
            };
            let sides = match shape.geometry {
                Geometry::Box(size) => size,
                Geometry::Sphere { radius } => Vector3::repeat(1.6 * radius),
                Geometry::Cylinder { radius, length } | Geometry::Capsule { radius, length } => {
                    Vector3::new(1.77 * radius, 1.77 * radius, length)
                }
                Geometry::Mesh { .. } => Vector3::zeros(),
            };
            let density = if own.contains_key("density") {
                self.number(&own, "density", place)
            } else {
                DENSITY
            };
            let mass = if own.contains_key("mass") {
                self.number(&own, "mass", place)
            } else {
                density * sides.product()
            };
            let squares = sides.component_mul(&sides);
            let total = mass + heaviest.as_ref().map_or(0.0, |other| other.mass);
            if heaviest.as_ref().is_none_or(|other| other.mass < mass) {
                heaviest = Some(Inertial {
                    mass,
                    pose: in_link * shape.pose,
                    inertia: Matrix3::from_diagonal(
                        &(mass / 12.0 * (Vector3::repeat(squares.sum()) - squares)),
                    ),
                });
            }
            if let Some(heaviest) = &mut heaviest {
                heaviest.inertia *= total / heaviest.mass.max(1e-9);
                heaviest.mass = total;
            }
        }
        if heaviest
            .as_ref()
            .is_some_and(|inertial| inertial.mass > 0.0)
        {
            self.report.guessed(format!(
                "{place} has no <inertial>: that of its geoms as boxes"
            ));
        }
        heaviest
    }

    /// A geom in the body's frame.
    pub(super) fn geom(&mut self, node: Node<'_, '_>, class: &str, place: &str) -> Option<Geom> {
        let own = self.attributes(node, class);
        let is_zero = |name: &str| own.get(name).is_some_and(|value| value.trim() == "0");
        let collides = !(is_zero("contype") && is_zero("conaffinity"));
        let group = own.get("group").and_then(|group| group.trim().parse().ok());
        let is_shown = group.is_none_or(|group: i32| group <= LAST_SHOWN_GROUP);
        let mut pose = self.pose(&own, place);
        let sizes: Vec<f64> = own
            .get("size")
            .map(|s| s.split_whitespace().map_while(|w| w.parse().ok()).collect())
            .unwrap_or_default();
        let size = |index: usize| sizes.get(index).copied().unwrap_or(0.0);
        let mut half_length = size(1);
        if own.contains_key("fromto") {
            let [a, b, c, d, e, f] = self.vector(&own, "fromto", [0.0; 6], place);
            let (from, to) = (Vector3::new(a, b, c), Vector3::new(d, e, f));
            let turn =
                UnitQuaternion::rotation_between(&Vector3::z(), &(to - from)).unwrap_or_default();
            pose = Isometry3::from_parts((0.5 * (from + to)).into(), turn);
            half_length = 0.5 * (to - from).norm();
        }
        let kind = own.get("type").map_or(
            if own.contains_key("mesh") {
                "mesh"
            } else {
                "sphere"
            },
            String::as_str,
        );
        let geometry = match kind {
            "box" => Geometry::Box(2.0 * Vector3::new(size(0), size(1), size(2))),
            "sphere" => Geometry::Sphere { radius: size(0) },
            "capsule" => Geometry::Capsule {
                radius: size(0),
                length: 2.0 * half_length,
            },
            "cylinder" => Geometry::Cylinder {
                radius: size(0),
                length: 2.0 * half_length,
            },
            "ellipsoid" => Geometry::Box(1.6 * Vector3::new(size(0), size(1), size(2))),
            "mesh" => {
                let (file, path, scale) = self.meshes.get(own.get("mesh")?)?.clone();
                let geometry = Geometry::Mesh {
                    name: file,
                    places: vec![path],
                    scale,
                };
                return Some(Geom {
                    shape: SourceShape { pose, geometry },
                    collides,
                    is_shown,
                });
            }
            _ => return None,
        };
        let has_size = size(0) > 0.0;
        has_size.then_some(Geom {
            shape: SourceShape { pose, geometry },
            collides,
            is_shown,
        })
    }
}

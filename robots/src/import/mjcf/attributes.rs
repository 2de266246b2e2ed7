//! Attributes of elements, with those of their classes, and the poses that they write.

use nalgebra::{
    Isometry3, Matrix3, Quaternion, Rotation3, Translation3, Unit, UnitQuaternion, Vector3,
};
use roxmltree::Node;

use super::{super::xml, Attributes, Reader};

impl Reader<'_> {
    pub(super) fn add_defaults(&mut self, default: Node<'_, '_>, parent: &str) {
        // The outermost class is called main, and holds where no class is named.
        let class = match parent {
            "" => "main",
            _ => default.attribute("class").unwrap_or_default(),
        };
        let inherited: Vec<_> = self
            .defaults
            .iter()
            .filter(|((c, _), _)| c == parent)
            .map(|((_, e), a)| (e.clone(), a.clone()))
            .collect();
        for (element, attributes) in inherited {
            self.defaults
                .insert((class.to_owned(), element), attributes);
        }
        for element in default.children().filter(Node::is_element) {
            if element.has_tag_name("default") {
                continue;
            }
            let key = (class.to_owned(), element.tag_name().name().to_owned());
            let own = element
                .attributes()
                .map(|a| (a.name().to_owned(), a.value().to_owned()));
            self.defaults.entry(key).or_default().extend(own);
        }
        for nested in default.children().filter(|n| n.has_tag_name("default")) {
            self.add_defaults(nested, class);
        }
    }

    /// Own attributes over those of the class.
    pub(super) fn attributes(&self, node: Node<'_, '_>, class: &str) -> Attributes {
        let class = node.attribute("class").unwrap_or(class);
        let class = if class.is_empty() { "main" } else { class };
        let key = (class.to_owned(), node.tag_name().name().to_owned());
        let mut all = self.defaults.get(&key).cloned().unwrap_or_default();
        all.extend(
            node.attributes()
                .map(|a| (a.name().to_owned(), a.value().to_owned())),
        );
        all
    }

    pub(super) fn vector<const N: usize>(
        &mut self,
        own: &Attributes,
        name: &str,
        default: [f64; N],
        place: &str,
    ) -> [f64; N] {
        let Some(text) = own.get(name) else {
            return default;
        };
        match xml::finite(text) {
            Some(values) => values,
            None => {
                let short: String = text.chars().take(60).collect();
                self.report.error(format!(
                    "{place}: {name}=\"{short}\" must be {N} finite number{}",
                    if N == 1 { "" } else { "s" }
                ));
                default
            }
        }
    }

    pub(super) fn number(&mut self, own: &Attributes, name: &str, place: &str) -> f64 {
        let [value] = self.vector(own, name, [0.0], place);
        value
    }

    pub(super) fn radians(&self, angle: f64) -> f64 {
        if self.is_degrees {
            angle.to_radians()
        } else {
            angle
        }
    }

    pub(super) fn pose(&mut self, own: &Attributes, place: &str) -> Isometry3<f64> {
        let at = self.vector(own, "pos", [0.0; 3], place);
        let rotation = if own.contains_key("quat") {
            let [w, x, y, z] = self.vector(own, "quat", [1.0, 0.0, 0.0, 0.0], place);
            Unit::try_new(Quaternion::new(w, x, y, z), 1e-9).unwrap_or_default()
        } else if own.contains_key("euler") {
            let angles = self.vector(own, "euler", [0.0; 3], place);
            let axes = self.sequence.chars().zip(angles).collect::<Vec<_>>();
            axes.iter()
                .fold(UnitQuaternion::identity(), |turned, (axis, angle)| {
                    let own = match axis.to_ascii_lowercase() {
                        'x' => Vector3::x_axis(),
                        'y' => Vector3::y_axis(),
                        _ => Vector3::z_axis(),
                    };
                    let turn = UnitQuaternion::from_axis_angle(&own, self.radians(*angle));
                    // Small letters turn with the frame, capital ones do not.
                    if axis.is_ascii_lowercase() {
                        turned * turn
                    } else {
                        turn * turned
                    }
                })
        } else if own.contains_key("axisangle") {
            let [x, y, z, angle] = self.vector(own, "axisangle", [0.0, 0.0, 1.0, 0.0], place);
            let axis = Unit::try_new(Vector3::new(x, y, z), 1e-9).unwrap_or(Vector3::z_axis());
            UnitQuaternion::from_axis_angle(&axis, self.radians(angle))
        } else if own.contains_key("xyaxes") {
            let [a, b, c, d, e, f] =
                self.vector(own, "xyaxes", [1.0, 0.0, 0.0, 0.0, 1.0, 0.0], place);
            let [x, y] = [Vector3::new(a, b, c), Vector3::new(d, e, f)];
            // Axes that are none turn nothing, as in MuJoCo's other orientations.
            x.try_normalize(1e-9)
                .and_then(|x| Some((x, (y - y.dot(&x) * x).try_normalize(1e-9)?)))
                .map_or_else(UnitQuaternion::identity, |(x, y)| {
                    let axes = Matrix3::from_columns(&[x, y, x.cross(&y)]);
                    UnitQuaternion::from_rotation_matrix(&Rotation3::from_matrix_unchecked(axes))
                })
        } else {
            UnitQuaternion::identity()
        };
        Isometry3::from_parts(Translation3::from(at), rotation)
    }
}

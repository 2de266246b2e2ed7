//! Sum of the masses of links that are fixed to each other.

use nalgebra::{Isometry3, Matrix3, Point3, Vector3};

use crate::error::Problem;

/// Mass, first and second moment about a frame's origin: rigid bodies add up entry by entry.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MassMoments {
    mass: f64,
    first: Vector3<f64>,
    /// Inertia tensor about the frame's origin.
    second: Matrix3<f64>,
}

impl MassMoments {
    pub(crate) fn zero() -> Self {
        Self {
            mass: 0.0,
            first: Vector3::zeros(),
            second: Matrix3::zeros(),
        }
    }

    /// Adds a body whose centre of mass and inertia axes are at `pose`.
    pub(crate) fn add(&mut self, mass: f64, inertia: &Matrix3<f64>, pose: &Isometry3<f64>) {
        let com = pose.translation.vector;
        let rotation = pose.rotation.to_rotation_matrix();
        self.mass += mass;
        self.first += mass * com;
        self.second += rotation * inertia * rotation.transpose() + point_inertia(mass, &com);
    }

    /// Mass and centre of mass; none without mass.
    #[cfg(feature = "import")]
    pub(crate) fn centre(&self) -> Option<(f64, Point3<f64>)> {
        let com = Point3::from(self.first / self.mass);
        (self.mass > 0.0).then_some((self.mass, com))
    }

    /// Mass, centre of mass, and inertia about it.
    pub(crate) fn about_com(
        &self,
        link: &str,
    ) -> Result<(f64, Point3<f64>, Matrix3<f64>), Problem> {
        if self.mass <= 0.0 {
            return Err(Problem::NoMass(link.to_owned()));
        }
        let com = self.first / self.mass;
        let inertia = self.second - point_inertia(self.mass, &com);
        if inertia.norm() <= 1e-12 * self.second.norm() {
            return Err(Problem::NoInertia(link.to_owned()));
        }
        check_inertia(link, &inertia)?;
        Ok((self.mass, Point3::from(com), inertia))
    }
}

/// A rigid body's principal moments are positive, and each is at most the sum of the other two.
pub(crate) fn check_inertia(link: &str, inertia: &Matrix3<f64>) -> Result<(), Problem> {
    let mut moments: [f64; 3] = inertia.symmetric_eigenvalues().into();
    moments.sort_by(f64::total_cmp);
    let [small, middle, large] = moments;
    // Published inertias are rounded; a thin rod lies on the edge of what is possible.
    if small > 0.0 && large <= (small + middle) * 1.01 {
        Ok(())
    } else {
        Err(Problem::Inertia {
            link: link.to_owned(),
            moments,
        })
    }
}

/// Inertia of a point mass about the origin.
fn point_inertia(mass: f64, at: &Vector3<f64>) -> Matrix3<f64> {
    mass * (Matrix3::identity() * at.norm_squared() - at * at.transpose())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_spheres_on_a_rod_by_hand() {
        // 2 kg at x = 0 and 1 kg at x = 0.3, each with 0.01 kg m^2 about its own centre:
        // com x = 0.1; about it, yy and zz gain 2 * 0.1^2 + 1 * 0.2^2 = 0.06.
        let own = Matrix3::identity() * 0.01;
        let mut sum = MassMoments::zero();
        sum.add(2.0, &own, &Isometry3::identity());
        sum.add(1.0, &own, &Isometry3::translation(0.3, 0.0, 0.0));
        let (mass, com, inertia) = sum.about_com("rod").unwrap();
        assert_eq!(mass, 3.0);
        assert!((com - Point3::new(0.1, 0.0, 0.0)).norm() < 1e-15);
        let expected = Matrix3::from_diagonal(&Vector3::new(0.02, 0.08, 0.08));
        assert!((inertia - expected).norm() < 1e-15, "{inertia}");
    }

    #[test]
    fn inertia_turns_with_its_frame() {
        // Turned by 90 degrees about z, x and y change places and xy changes its sign.
        let own = Matrix3::new(1.0, 0.1, 0.0, 0.1, 2.0, 0.0, 0.0, 0.0, 2.5);
        let turn = Isometry3::rotation(Vector3::z() * std::f64::consts::FRAC_PI_2);
        let mut sum = MassMoments::zero();
        sum.add(1.0, &own, &turn);
        let (_, _, inertia) = sum.about_com("turned").unwrap();
        let expected = Matrix3::new(2.0, -0.1, 0.0, -0.1, 1.0, 0.0, 0.0, 0.0, 2.5);
        assert!((inertia - expected).norm() < 1e-12, "{inertia}");
    }
}

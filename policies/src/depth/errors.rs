//! How far predicted rays are off.

use serde::Serialize;

/// Upper ends of the distances that errors are told apart by, m.
const DISTANCE_ENDS_M: [f32; 7] = [0.5, 1.0, 1.5, 2.0, 3.0, 4.5, 6.0];

/// Mean of squared errors in log2 of the distance.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MeanError {
    sum: f64,
    /// Number of rays.
    pub rays: u64,
}

impl MeanError {
    fn add(&mut self, squared: f64) {
        self.sum += squared;
        self.rays += 1;
    }

    /// The mean; 0 of nothing.
    pub fn mean(&self) -> f64 {
        self.sum / self.rays.max(1) as f64
    }
}

impl Serialize for MeanError {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut fields = serializer.serialize_struct("MeanError", 2)?;
        fields.serialize_field("squared_error", &self.mean())?;
        fields.serialize_field("rays", &self.rays)?;
        fields.end()
    }
}

/// Errors of all rays of some images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RayErrors {
    /// Over all rays.
    pub all: MeanError,
    /// By true distance: up to so many metres; the last are the rays that hit nothing.
    pub by_distance: Vec<DistanceError>,
    /// By the code of the kind that the ray hits; rays that hit nothing are in none.
    #[serde(skip)]
    pub by_kind: Vec<MeanError>,
}

/// Errors of the rays up to a distance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DistanceError {
    /// Longest distance, m; none for rays that hit nothing.
    pub to_m: Option<f32>,
    /// Their error.
    #[serde(flatten)]
    pub error: MeanError,
}

impl Default for RayErrors {
    /// None yet.
    fn default() -> Self {
        let ends = DISTANCE_ENDS_M.into_iter().map(Some).chain([None]);
        let distance = |to_m| DistanceError {
            to_m,
            error: MeanError::default(),
        };
        Self {
            all: MeanError::default(),
            by_distance: ends.map(distance).collect(),
            by_kind: vec![MeanError::default(); 256],
        }
    }
}

impl RayErrors {
    /// Adds the rays of an image; returns their mean squared error. Predictions are log2 of metres; they count within the
    /// range of the rays, as they are used.
    ///
    /// # Panics
    /// When the slices differ in length.
    pub fn add(
        &mut self,
        predicted_log2_m: &[f32],
        distance_m: &[f32],
        hit: &[u8],
        range_m: [f32; 2],
    ) -> f64 {
        assert_eq!(predicted_log2_m.len(), distance_m.len(), "predicted rays");
        assert_eq!(hit.len(), distance_m.len(), "hits");
        let [low, high] = range_m.map(f32::log2);
        let mut sum = 0.0;
        for ((predicted, distance), hit) in predicted_log2_m.iter().zip(distance_m).zip(hit) {
            let squared = f64::from(predicted.clamp(low, high) - distance.log2()).powi(2);
            sum += squared;
            self.all.add(squared);
            let is_clear = *hit == super::DepthSamples::NOTHING;
            let bin = self.by_distance.iter_mut().find(|bin| match bin.to_m {
                Some(to_m) => !is_clear && *distance <= to_m,
                None => true,
            });
            if let Some(bin) = bin {
                bin.error.add(squared);
            }
            if !is_clear {
                self.by_kind[usize::from(*hit)].add(squared);
            }
        }
        sum / distance_m.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sorted_by_distance_and_kind() {
        let mut errors = RayErrors::default();
        // Off by a factor of 2, by 4 of which 1.5 are beyond the longest ray, and not at all.
        let mean = errors.add(&[1.0, 3.0, 2.0], &[1.0, 4.0, 4.0], &[3, 255, 3], [0.1, 6.0]);
        let clipped = (6.0_f64 / 4.0).log2().powi(2);
        assert!((mean - (1.0 + clipped) / 3.0).abs() < 1e-6);
        assert_eq!(errors.by_distance[1].error.mean(), 1.0);
        assert_eq!(errors.by_distance[5].error, MeanError { sum: 0.0, rays: 1 });
        assert!((errors.by_distance[7].error.mean() - clipped).abs() < 1e-6);
        assert_eq!((errors.by_kind[3].mean(), errors.by_kind[3].rays), (0.5, 2));
    }
}

//! Which feet are on the ground.

use robots::FootVec;

use super::EstimatorConfig;

/// A foot sensor that has been silent for this long while a leg carries force does not work, s.
const SILENCE_S: f32 = 0.5;
/// A foot that touches is let go below this share of the threshold.
const RELEASE_SHARE: f32 = 0.6;

/// Foot contacts from the foot sensors, or from the joint torques where these are silent.
#[derive(Clone, Debug)]
pub(super) struct ContactSensor {
    sensor_threshold: f32,
    force_n: f32,
    /// How long each sensor has been silent, s; at first for ever.
    silent_s: FootVec<f32>,
}

impl ContactSensor {
    pub(super) fn new(num_feet: usize, config: &EstimatorConfig) -> Self {
        Self {
            sensor_threshold: config.foot_sensor_threshold,
            force_n: config.foot_force_n,
            silent_s: std::iter::repeat_n(f32::INFINITY, num_feet).collect(),
        }
    }

    /// Updates `contact` from the readings of the foot sensors (none, or one per foot) and the vertical forces that the
    /// joint torques carry, N.
    pub(super) fn update(
        &mut self,
        sensor: &FootVec<f32>,
        vertical_force_n: &FootVec<f32>,
        interval_s: f32,
        contact: &mut FootVec<bool>,
    ) {
        for (foot, (contact, &force_n)) in contact.iter_mut().zip(vertical_force_n).enumerate() {
            let reading = sensor.get(foot).copied().unwrap_or(0.0);
            let silent_s = &mut self.silent_s[foot];
            if reading != 0.0 {
                *silent_s = 0.0;
            } else if force_n > self.force_n {
                // In the air a sensor may well read nothing.
                *silent_s += interval_s;
            }
            let (value, threshold) = if *silent_s < SILENCE_S {
                (reading, self.sensor_threshold)
            } else {
                (force_n, self.force_n)
            };
            let threshold = if *contact {
                RELEASE_SHARE * threshold
            } else {
                threshold
            };
            *contact = value > threshold;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torques_stand_in_for_a_sensor_that_is_silent_under_load() {
        let config = EstimatorConfig {
            foot_sensor_threshold: 10.0,
            foot_force_n: 20.0,
            ..EstimatorConfig::default()
        };
        let feet = |values: [f32; 2]| -> FootVec<f32> { values.into_iter().collect() };
        let mut contacts = ContactSensor::new(2, &config);
        let mut contact: FootVec<bool> = [false; 2].into_iter().collect();
        let mut step = |sensor: [f32; 2], force_n: [f32; 2], interval_s: f32| {
            contacts.update(&feet(sensor), &feet(force_n), interval_s, &mut contact);
            [contact[0], contact[1]]
        };
        // Never heard: torques decide, with hysteresis.
        assert_eq!(step([0.0, 0.0], [25.0, 15.0], 0.002), [true, false]);
        assert_eq!(step([0.0, 0.0], [13.0, 15.0], 0.002), [true, false]);
        assert_eq!(step([0.0, 0.0], [11.0, 15.0], 0.002), [false, false]);
        // The second sensor speaks: it decides, also while the foot is in the air for long.
        assert_eq!(step([0.0, 12.0], [0.0, 0.0], 0.002), [false, true]);
        assert_eq!(step([0.0, 0.0], [0.0, 0.0], 5.0), [false, false]);
        assert_eq!(step([0.0, 0.0], [0.0, 30.0], 0.1), [false, false]);
        // It stays silent under load: torques again.
        assert_eq!(step([0.0, 0.0], [0.0, 30.0], 0.5), [false, true]);
    }
}

//! Foot contacts.

use robots::FootVec;

use super::EstimatorConfig;

/// A foot sensor that reads zero for this long while its leg carries a load does not work, s.
const SILENCE_S: f32 = 0.5;
/// Contact ends below this fraction of the threshold.
const RELEASE_FRACTION: f32 = 0.6;
/// A foot that moves faster than this over the ground swings, whatever its torques, m/s.
const SWING_MPS: f32 = 1.0;
/// Without any contact for this long the estimated velocity may be wrong, and is not used, s.
const AIRBORNE_S: f32 = 0.3;

/// Evidence of contacts per foot: the reading of its sensor (empty without sensors), the vertical force of the joint
/// torques, N, and the speed over the ground, m/s.
pub(super) struct ContactEvidence<'a> {
    pub(super) sensor: &'a FootVec<f32>,
    pub(super) vertical_force_n: &'a FootVec<f32>,
    pub(super) foot_speed_mps: &'a FootVec<f32>,
}

/// Detects foot contacts from the foot sensors, or from the joint torques where these are silent.
#[derive(Clone, Debug)]
pub(super) struct ContactSensor {
    sensor_threshold: f32,
    force_n: f32,
    /// For how long each sensor has read zero under load, s; infinite before its first reading.
    silent_s: FootVec<f32>,
    /// Time since the last contact of any foot, s.
    airborne_s: f32,
}

impl ContactSensor {
    pub(super) fn new(num_feet: usize, config: &EstimatorConfig) -> Self {
        Self {
            sensor_threshold: config.foot_sensor_threshold,
            force_n: config.foot_force_n,
            silent_s: std::iter::repeat_n(f32::INFINITY, num_feet).collect(),
            airborne_s: f32::INFINITY,
        }
    }

    /// Forgets all contacts.
    pub(super) fn restart(&mut self) {
        self.silent_s.fill(f32::INFINITY);
        self.airborne_s = f32::INFINITY;
    }

    /// Updates `contact` after an interval.
    pub(super) fn update(
        &mut self,
        evidence: &ContactEvidence<'_>,
        interval_s: f32,
        contact: &mut FootVec<bool>,
    ) {
        let trusts_speed = self.airborne_s < AIRBORNE_S;
        for (foot, contact) in contact.iter_mut().enumerate() {
            let force_n = evidence.vertical_force_n[foot];
            let reading = evidence.sensor.get(foot).copied().unwrap_or(0.0);
            let silent_s = &mut self.silent_s[foot];
            if reading != 0.0 {
                *silent_s = 0.0;
            } else if force_n > self.force_n {
                // In the air a working sensor reads zero, too.
                *silent_s += interval_s;
            }
            let has_sensor = *silent_s < SILENCE_S;
            let (value, threshold) = if has_sensor {
                (reading, self.sensor_threshold)
            } else {
                (force_n, self.force_n)
            };
            let threshold = if *contact {
                RELEASE_FRACTION * threshold
            } else {
                threshold
            };
            // Torque also accelerates a swinging leg.
            let swings = !has_sensor && trusts_speed && evidence.foot_speed_mps[foot] > SWING_MPS;
            *contact = value > threshold && !swings;
        }
        self.airborne_s = if contact.contains(&true) {
            0.0
        } else {
            self.airborne_s + interval_s
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torques_replace_a_sensor_that_is_silent_under_load() {
        let config = EstimatorConfig {
            foot_sensor_threshold: 10.0,
            foot_force_n: 20.0,
            ..EstimatorConfig::default()
        };
        let feet = |values: [f32; 2]| -> FootVec<f32> { values.into_iter().collect() };
        let mut contacts = ContactSensor::new(2, &config);
        let mut contact: FootVec<bool> = [false; 2].into_iter().collect();
        let mut step = |sensor: [f32; 2], force_n: [f32; 2], interval_s: f32| {
            let evidence = ContactEvidence {
                sensor: &feet(sensor),
                vertical_force_n: &feet(force_n),
                foot_speed_mps: &feet([0.0; 2]),
            };
            contacts.update(&evidence, interval_s, &mut contact);
            [contact[0], contact[1]]
        };
        // No reading yet: the torques decide, with hysteresis.
        assert_eq!(step([0.0, 0.0], [25.0, 15.0], 0.002), [true, false]);
        assert_eq!(step([0.0, 0.0], [13.0, 15.0], 0.002), [true, false]);
        assert_eq!(step([0.0, 0.0], [11.0, 15.0], 0.002), [false, false]);
        // The second sensor has a reading: it decides, even during a long flight.
        assert_eq!(step([0.0, 12.0], [0.0, 0.0], 0.002), [false, true]);
        assert_eq!(step([0.0, 0.0], [0.0, 0.0], 5.0), [false, false]);
        assert_eq!(step([0.0, 0.0], [0.0, 30.0], 0.1), [false, false]);
        // It stays silent under load: the torques decide again.
        assert_eq!(step([0.0, 0.0], [0.0, 30.0], 0.5), [false, true]);
    }
    #[test]
    fn torques_of_a_swinging_leg_are_no_contact_unless_nothing_else_is() {
        let mut contacts = ContactSensor::new(1, &EstimatorConfig::default());
        let mut contact: FootVec<bool> = [false].into_iter().collect();
        let one = |value: f32| -> FootVec<f32> { [value].into_iter().collect() };
        let mut step = |speed_mps: f32, interval_s: f32| {
            let evidence = ContactEvidence {
                sensor: &FootVec::new(),
                vertical_force_n: &one(100.0),
                foot_speed_mps: &one(speed_mps),
            };
            contacts.update(&evidence, interval_s, &mut contact);
            contact[0]
        };
        assert!(step(0.5, 0.002));
        assert!(!step(3.0, 0.002));
        assert!(!step(3.0, 0.4));
        assert!(step(3.0, 0.002), "no contact for long: the speed is wrong");
    }
}

//! Who sends the states of the robot.

use controller::deploy::RobotSample;

use crate::{MotorMap, messages::LowState};

/// Publishers that are remembered; more take the places of the first.
const PUBLISHERS: usize = 16;

/// Tells the publishers of states apart, and knows which of them send checksums.
#[derive(Debug, Default)]
pub struct StateSource {
    known: Vec<Known>,
    /// Publishers heard so far.
    heard: usize,
}

#[derive(Debug)]
struct Known {
    id: [u8; 16],
    number: u8,
    sends_checksums: bool,
}

impl StateSource {
    /// A state of the publisher with this GUID, in our order.
    pub fn sample(
        &mut self,
        map: &MotorMap,
        state: &LowState,
        publisher: [u8; 16],
        received_ns: u64,
    ) -> RobotSample {
        let known = self.publisher(publisher);
        // The vendor's simulator sends none.
        let has_none = state.crc == 0 && !known.sends_checksums;
        let number = known.number;
        let sample = map.sample(state, received_ns);
        known.sends_checksums |= sample.crc_ok && state.crc != 0;
        RobotSample {
            publisher: number,
            crc_ok: sample.crc_ok || has_none,
            ..sample
        }
    }

    fn publisher(&mut self, id: [u8; 16]) -> &mut Known {
        let place = match self.known.iter().position(|known| known.id == id) {
            Some(place) => place,
            None => {
                // From 1 to 255, and again.
                let number = (self.heard % 255) as u8 + 1;
                let place = self.heard % PUBLISHERS;
                self.heard += 1;
                let known = Known {
                    id,
                    number,
                    sends_checksums: false,
                };
                match self.known.get_mut(place) {
                    Some(oldest) => *oldest = known,
                    None => self.known.push(known),
                }
                place
            }
        };
        &mut self.known[place]
    }
}

#[cfg(test)]
mod tests {
    use robots::Robot;

    use super::*;

    #[test]
    fn a_missing_checksum_is_only_right_from_a_publisher_that_never_sent_one() {
        let map = MotorMap::new(&Robot::load("go2").unwrap()).unwrap();
        let mut source = StateSource::default();
        let sealed = LowState::default().sealed();
        let none = LowState {
            crc: 0,
            ..LowState::default()
        };
        let wrong = LowState {
            tick: 1,
            ..sealed.clone()
        };
        let mut take = |state: &LowState, publisher: u8| {
            let sample = source.sample(&map, state, [publisher; 16], 5);
            (sample.publisher, sample.crc_ok)
        };
        assert_eq!(take(&none, 7), (1, true));
        assert_eq!(take(&wrong, 7), (1, false));
        assert_eq!(take(&none, 7), (1, true), "a wrong one is none of its own");
        assert_eq!(take(&sealed, 8), (2, true));
        assert_eq!(take(&none, 8), (2, false));
        assert_eq!(take(&none, 7), (1, true));
        assert_eq!(take(&sealed, 7), (1, true));
        assert_eq!(take(&none, 7), (1, false));
        // A flood of publishers is forgotten again.
        for publisher in 0..200 {
            take(&none, publisher);
        }
        assert_eq!(source.known.len(), PUBLISHERS);
    }
}

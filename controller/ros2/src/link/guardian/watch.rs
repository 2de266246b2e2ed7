//! When the guardian acts.

use std::time::Duration;

use super::{MAX_DAMPING, SILENT_TICKS, messages::Beat};

/// By how much sequence numbers jump when another process goes on: more than the other can have sent meanwhile.
pub const SEQUENCE_MARGIN: i64 = 1000;

/// The guardian's view of the run.
#[derive(Debug, Default)]
pub struct Watch {
    beat: Option<Beat>,
    silent_ticks: u32,
    /// Since it took over.
    damping: Option<Duration>,
}

/// What the guardian does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The run commands the motors, or nobody does.
    Watch,
    /// The first sample has a number above this.
    TakeOver(i64),
    /// The guardian goes on to damp.
    Damp,
}

impl Watch {
    /// A heartbeat has come; `sequence` is the number of the guardian's last sample.
    pub fn heard(&mut self, beat: Beat, sequence: i64) {
        // A run that goes on where it was, not knowing that it was silent, is not followed.
        let knows = beat.damps && beat.sequence > sequence || !beat.commands;
        if self.damping.is_some() && !knows {
            return;
        }
        self.damping = None;
        self.silent_ticks = 0;
        self.beat = Some(beat);
    }

    /// A tick without a heartbeat.
    pub fn tick(&mut self, tick: Duration) -> Action {
        let Some(beat) = self.beat.filter(|beat| beat.commands) else {
            return Action::Watch;
        };
        if let Some(damping) = &mut self.damping {
            *damping += tick;
            return match *damping < MAX_DAMPING {
                true => Action::Damp,
                false => Action::Watch,
            };
        }
        self.silent_ticks += 1;
        if self.silent_ticks < SILENT_TICKS {
            return Action::Watch;
        }
        self.damping = Some(Duration::ZERO);
        Action::TakeOver(beat.sequence + SEQUENCE_MARGIN)
    }

    /// The run has ended: whether the robot is to be damped, and above which number if that begins now.
    pub fn end(&self) -> Option<Action> {
        let beat = self.beat.filter(|beat| beat.commands)?;
        Some(match self.damping {
            Some(_) => Action::Damp,
            None => Action::TakeOver(beat.sequence + SEQUENCE_MARGIN),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::guardian::TICK;

    fn beat(sequence: i64, damps: bool) -> Beat {
        Beat {
            sequence,
            commands: true,
            damps,
        }
    }

    /// A watch that has taken over after sample 7.
    fn taken_over() -> Watch {
        let mut watch = Watch::default();
        watch.heard(beat(7, false), 0);
        for _ in 1..SILENT_TICKS {
            assert_eq!(watch.tick(TICK), Action::Watch);
        }
        assert_eq!(watch.tick(TICK), Action::TakeOver(7 + SEQUENCE_MARGIN));
        watch
    }

    #[test]
    fn a_run_that_commands_nothing_is_not_replaced() {
        let mut watch = Watch::default();
        for commands in [false, true, false] {
            watch.heard(
                Beat {
                    commands,
                    ..beat(1, false)
                },
                0,
            );
        }
        for _ in 0..100 {
            assert_eq!(watch.tick(TICK), Action::Watch);
        }
        assert_eq!(watch.end(), None);
    }

    #[test]
    fn heartbeats_keep_it_from_taking_over() {
        let mut watch = Watch::default();
        for sequence in 0..100 {
            watch.heard(beat(sequence, false), 0);
            for _ in 1..SILENT_TICKS {
                assert_eq!(watch.tick(TICK), Action::Watch);
            }
        }
        assert_eq!(watch.end(), Some(Action::TakeOver(99 + SEQUENCE_MARGIN)));
    }

    #[test]
    fn a_run_that_goes_on_with_old_commands_is_not_followed() {
        let mut watch = taken_over();
        let sequence = 7 + SEQUENCE_MARGIN + 3;
        // Stiff, or damped by chance before it knows.
        for beat in [beat(8, false), beat(9, true), beat(sequence + 1, false)] {
            watch.heard(beat, sequence);
            assert_eq!(watch.tick(TICK), Action::Damp);
        }
        assert_eq!(watch.end(), Some(Action::Damp));
        watch.heard(beat(sequence + 1, true), sequence);
        assert_eq!(watch.tick(TICK), Action::Watch);
    }

    #[test]
    fn it_damps_a_silent_run_for_a_limited_time() {
        let mut watch = taken_over();
        let damps = |_: &u32| watch.tick(TICK) == Action::Damp;
        let num_damping = (0..u32::MAX).take_while(damps).count();
        assert_eq!(TICK * (num_damping as u32 + 1), MAX_DAMPING);
    }
}

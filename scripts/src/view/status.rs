//! A robot that is deployed, at present or in a log: what its controller knows of it.

use anyhow::Result;
use controller::deploy::{FaultSet, Status};
use sim::scene::Terrain;

use super::{Destination, Frame, Subject, Surroundings, View, mode_name};

/// Time between two frames, ns; a log has more.
const PERIOD_NS: u64 = 20_000_000;

/// Shows statuses of a controller.
pub struct StatusView {
    view: View,
    /// Of the first and of the last frame, ns.
    times_ns: Option<[u64; 2]>,
    faults: FaultSet,
}

impl StatusView {
    /// Opens a view of empty ground; `reach_m` is the distance from the goal that counts as reached, m.
    ///
    /// # Errors
    /// One line that says what is missing, and what would do instead.
    pub fn open(destination: &Destination, subject: &Subject<'_>, reach_m: f32) -> Result<Self> {
        let mut view = View::open(destination, subject)?;
        view.enter(&Surroundings {
            obstacles: &[],
            terrain: &Terrain::Flat,
            reach_m,
        })?;
        Ok(Self {
            view,
            times_ns: None,
            faults: FaultSet::NONE,
        })
    }

    /// Shows a status, unless one was shown shortly before.
    ///
    /// # Errors
    /// When the recording does not take it.
    pub fn show(&mut self, status: &Status) -> Result<()> {
        // Nothing is known before the robot's first state.
        if status.estimate.joint_position_rad.is_empty() {
            return Ok(());
        }
        let now_ns = status.time_ns;
        let [start_ns, shown_ns] = self.times_ns.unwrap_or([now_ns; 2]);
        if self.times_ns.is_some() && now_ns < shown_ns + PERIOD_NS {
            return Ok(());
        }
        self.times_ns = Some([start_ns, now_ns]);
        let time_s = now_ns.saturating_sub(start_ns) as f64 * 1e-9;
        self.view.show(&Frame::of_status(status, time_s))?;
        if status.faults != self.faults {
            self.faults = status.faults;
            let text = match status.faults.is_empty() {
                true => "no faults".to_owned(),
                false => status.faults.to_string(),
            };
            self.view.report(&text)?;
        }
        Ok(())
    }

    /// As [`View::close`].
    ///
    /// # Errors
    /// When it could not all be written or sent.
    pub fn close(self) -> Result<()> {
        self.view.close()
    }

    /// As [`View::finish`].
    ///
    /// # Errors
    /// When it could not all be written or sent.
    pub fn finish(self) -> Result<()> {
        self.view.finish()
    }
}

impl Frame {
    fn of_status(status: &Status, time_s: f64) -> Self {
        Self {
            time_s,
            state: status.estimate.clone(),
            ray_distance_m: status.rays.distance_m.to_vec(),
            goal_world: status.goal.map(|goal| goal.position_world),
            mode: status.mode.map_or(status.state.name(), mode_name).into(),
            value: status.value,
            twist: status.twist,
        }
    }
}

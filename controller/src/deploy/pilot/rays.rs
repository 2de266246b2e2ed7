//! What the policies see: the last scan, completed, and moved with the robot.

use std::time::Duration;

use policies::{Bundle, Goal, GoalYaw, RayMemory, RayScan, rays::HeldScan, spec::role};
use rand_pcg::Pcg64;
use robots::RobotState;

use crate::{controller::ControllerError, deploy::ScanSample};

/// The rays of a bundle, from the arrival of a scan to what the policies observe. Nothing here allocates after the start.
#[derive(Clone, Debug)]
pub(super) struct Rays {
    /// Completes the rays of a depth camera with those of the past.
    memory: Option<RayMemory>,
    received_ns: u64,
    /// As the last scan showed them.
    last: RayScan,
    held: HeldScan,
    /// From where the robot is now and with the illusion, as the policies observe them.
    pub(super) observed: RayScan,
    illusion_margin_m: Option<f32>,
    stream: Pcg64,
}

impl Rays {
    /// Nothing in sight.
    ///
    /// # Errors
    /// When the ray network predicts other rays than the policies observe.
    pub fn new(bundle: &Bundle) -> Result<Self, ControllerError> {
        let predicts = bundle.has(role::RAYS);
        let spec = &bundle.spec.rays;
        Ok(Self {
            memory: predicts.then(|| bundle.ray_memory()).transpose()?,
            received_ns: 0,
            last: RayScan::clear(spec),
            held: HeldScan::new(spec),
            observed: RayScan::clear(spec),
            illusion_margin_m: bundle.spec.illusion_margin_m,
            stream: Pcg64::new(0, 0),
        })
    }

    /// Number of rays that the ray network predicts, where there is one.
    pub fn num_predicted(&self) -> Option<usize> {
        self.memory.as_ref().map(RayMemory::num_seen)
    }

    /// As the last scan showed them.
    pub fn last(&self) -> &RayScan {
        &self.last
    }

    /// Past scans are in a world frame that is no more.
    pub fn enter_frame(&mut self) {
        if let Some(memory) = &mut self.memory {
            memory.reset();
        }
        self.held.enter_frame();
    }

    /// Whether a scan is another one than the last.
    pub fn is_new(&self, sample: &ScanSample) -> bool {
        sample.received_ns != self.received_ns
    }

    /// Takes a usable scan, which may be only a part of the rays, those of a depth camera.
    pub fn take(&mut self, sample: &ScanSample, state: &RobotState) {
        self.received_ns = sample.received_ns;
        match &mut self.memory {
            Some(memory) if memory.num_seen() == sample.scan.distance_m.len() => {
                let time = Duration::from_nanos(sample.received_ns);
                memory.complete(time, state, &sample.scan, &mut self.last);
            }
            _ => self.last.clone_from(&sample.scan),
        }
        self.held.take(state, &self.last);
    }

    /// What the policies of a robot in this state observe on the way to a goal.
    pub fn observe(&mut self, state: &RobotState, goal: Option<&Goal>) -> &RayScan {
        self.held.seen_from(state, &mut self.observed);
        if let (Some(margin_m), Some(goal)) = (self.illusion_margin_m, goal) {
            let bound_m = GoalYaw::new(state, goal).distance_m() + margin_m;
            self.observed.apply_illusion(bound_m, &mut self.stream);
        }
        &self.observed
    }
}

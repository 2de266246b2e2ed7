//! The last frames of an observation, for terms that observe more than one policy step.

use serde::{Deserialize, Serialize};

use super::Layout;

/// The frames of the last policy steps of one robot, as they were observed. Empty for a layout without history.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FrameHistory {
    /// Ring of frames [max_history, frame_dim].
    frames: Vec<f32>,
    /// Where the next frame is written.
    next: usize,
    /// Nothing was pushed since the start of the episode.
    empty: bool,
}

impl FrameHistory {
    /// For the observations of this layout.
    pub fn new(layout: &Layout) -> Self {
        let steps = match layout.max_history() {
            1 => 0,
            steps => steps,
        };
        Self {
            frames: vec![0.0; steps * layout.frame_dim()],
            next: 0,
            empty: true,
        }
    }

    /// Starts an episode.
    pub fn reset(&mut self) {
        self.next = 0;
        self.empty = true;
    }

    /// Takes the frame that [`Layout::write`] left at the start of `row`, clips and masks it, and writes the whole observation, history included.
    /// At the start of an episode every past frame is this one. Never allocates.
    ///
    /// # Panics
    /// When `row` is not [`Layout::dim`] long, or the layout is another one.
    pub fn complete(&mut self, layout: &Layout, row: &mut [f32]) {
        assert_eq!(row.len(), layout.dim(), "length of the observation row");
        layout.clip_and_mask(row);
        if self.frames.is_empty() {
            return;
        }
        let (dim, steps) = (layout.frame_dim(), layout.max_history());
        assert_eq!(self.frames.len(), steps * dim, "frames of another layout");
        let frame = &row[..dim];
        if self.empty {
            for past in self.frames.chunks_exact_mut(dim) {
                past.copy_from_slice(frame);
            }
            self.empty = false;
        } else {
            self.frames[self.next * dim..][..dim].copy_from_slice(frame);
        }
        self.next = (self.next + 1) % steps;
        for term in layout.stacked() {
            for (age, out) in row[term.range.clone()]
                .chunks_exact_mut(term.frame.len())
                .rev()
                .enumerate()
            {
                let step = (self.next + steps - 1 - age) % steps;
                let past = &self.frames[step * dim..][..dim];
                out.copy_from_slice(&past[term.frame.clone()]);
            }
        }
    }
}

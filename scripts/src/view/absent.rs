//! A program that was built without the viewer.

use std::path::Path;

use anyhow::{Result, bail};

use super::{Destination, Frame, Subject, Surroundings};

/// No view can be opened.
pub enum View {}

impl Destination {
    /// Says how to get a program that has the viewer.
    pub(super) fn check(&self) -> Result<()> {
        bail!(
            "this program was built without the viewer; start it as scripts/abs with --view, which builds it with"
        )
    }
}

/// Says how to get a program that has the viewer.
///
/// # Errors
/// Always.
pub fn open_file(_file: &Path, destination: &Destination) -> Result<()> {
    destination.check()
}

#[expect(missing_docs, reason = "as where there is a viewer")]
impl View {
    pub fn open(destination: &Destination, _subject: &Subject<'_>) -> Result<Self> {
        destination.check()?;
        bail!("there is no viewer")
    }

    pub fn enter(&mut self, _surroundings: &Surroundings<'_>) -> Result<()> {
        match *self {}
    }

    pub fn show(&mut self, _frame: &Frame) -> Result<()> {
        match *self {}
    }

    pub fn wait_until(&mut self, _time_s: f64) {
        match *self {}
    }

    #[cfg(feature = "train")]
    pub fn plot_curves(
        &mut self,
        _time_s: f64,
        _iteration: u64,
        _curves: impl Iterator<Item = (String, f64)>,
    ) -> Result<()> {
        match *self {}
    }

    pub fn report(&mut self, _text: &str) -> Result<()> {
        match *self {}
    }

    pub fn close(self) -> Result<()> {
        match self {}
    }

    pub fn finish(self) -> Result<()> {
        match self {}
    }
}

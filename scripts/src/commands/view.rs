//! `abs view`: a recorded view.

use std::path::PathBuf;

use anyhow::Result;

use crate::view::{self, Destination};

/// Open a 3-D view that was written to a file
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs play --view play.rrd      writes a file
  abs view play.rrd             opens it in a window
  abs view play.rrd web         opens it in a browser")]
pub struct ViewCommand {
    /// The file
    #[arg(value_name = "FILE.rrd")]
    file: PathBuf,
    /// Where: in a window, or in a browser with `web` or `web:PORT`
    #[arg(value_name = "web", default_value = "window")]
    destination: Destination,
}

impl ViewCommand {
    /// Opens the file.
    ///
    /// # Errors
    /// One line if there is no file, no viewer or no display.
    pub fn run(&self) -> Result<()> {
        view::open_file(&self.file, &self.destination)
    }
}

//! Where a view is shown.

use std::{path::PathBuf, str::FromStr};

use anyhow::Result;

/// Port of the page, unless another one is asked for.
const PAGE_PORT: u16 = 9090;
/// Port of the data, behind that of the page.
const DATA_PORT: u16 = 9876;

/// Where a view is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// In a window of the viewer.
    Window,
    /// In a browser on this machine.
    Web {
        /// Port of the page.
        page_port: u16,
        /// Port of the data.
        data_port: u16,
    },
    /// In a file that the viewer opens.
    File(PathBuf),
}

/// The flag of the commands that show something in 3-D.
#[derive(Clone, Debug, clap::Args)]
pub struct ViewArgs {
    /// Show it in 3-D: in a window, with `web` (or `web:PORT`) in a browser, with a file name in FILE.rrd
    #[arg(long, value_name = "web|FILE.rrd", num_args = 0..=1, default_missing_value = "window")]
    view: Option<Destination>,
}

impl ViewArgs {
    /// Where to show it, if it is to be shown; before the work, so that none is lost.
    ///
    /// # Errors
    /// One line that says what is missing for it, and what would do instead.
    pub fn destination(&self) -> Result<Option<&Destination>> {
        if let Some(destination) = &self.view {
            destination.check()?;
        }
        Ok(self.view.as_ref())
    }
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "window" {
            return Ok(Self::Window);
        }
        if text == "web" {
            return Ok(Self::Web {
                page_port: PAGE_PORT,
                data_port: DATA_PORT,
            });
        }
        if let Some(port) = text.strip_prefix("web:") {
            let port = port
                .parse()
                .ok()
                .filter(|port| (1024..65535).contains(port));
            let page_port: u16 = port.ok_or("the port is a number from 1024 to 65534")?;
            return Ok(Self::Web {
                page_port,
                data_port: page_port + 1,
            });
        }
        match text.strip_suffix(".rrd") {
            Some(name) if !name.is_empty() => Ok(Self::File(text.into())),
            _ => Err("it is `web`, `web:PORT`, a file that ends with .rrd, or nothing for a window; if it is another argument of the command, put it before --view".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_a_window_a_page_or_a_file() {
        let read = |text: &str| text.parse::<Destination>();
        assert_eq!(read("window"), Ok(Destination::Window));
        let ports = |page_port, data_port| {
            Ok(Destination::Web {
                page_port,
                data_port,
            })
        };
        assert_eq!(read("web"), ports(9090, 9876));
        assert_eq!(read("web:8000"), ports(8000, 8001));
        assert_eq!(read("out/a.rrd"), Ok(Destination::File("out/a.rrd".into())));
        for wrong in [
            "",
            ".rrd",
            "web:",
            "web:80",
            "web:65535",
            "web:x",
            "run.mcap",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}

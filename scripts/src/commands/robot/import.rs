//! `abs robot import`.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use policies::Bundle;
use robots::{
    Robot, RobotFiles,
    import::{GivenControl, Import, ImportOptions, MotorOptions, Severity, import},
};

/// Make a robot folder of a maker's URDF or MJCF
///
/// Reads a URDF in any encoding, with meshes (STL, OBJ, DAE), `package://` and everything that simulators ignore, or an MJCF. Fixed links are
/// merged; extra joints (arm, head, wheels) are held fixed; legs are found as chains of hinges that end in feet; collision meshes become
/// boxes, capsules and spheres; visual meshes are kept for the 3-D view, as one STL per link; poses, gains and missing limits are chosen from size and mass, and marked as guesses. All that was
/// found is printed, errors last; with an error, nothing is written.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  abs robot import robots/go9_description/urdf/go9.urdf
  abs robot import go9.urdf --name go9-lab --out robots/go9-lab
  abs robot import go2.urdf --name go2 --control-of policies/bundles/go2   the maker's robot, for the shipped policies
  abs robot import go9.urdf --effort-limit-nm 30 --velocity-limit-radps 25   where the file has no limits")]
pub struct ImportCommand {
    /// The description
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Folder of the robot [default: its name, in the current folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Name of the robot [default: the name in the file]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Effort limit of joints that have none in the file, N·m [default: from mass and leg length]
    #[arg(long, value_name = "NM")]
    effort_limit_nm: Option<f64>,
    /// Velocity limit of joints that have none in the file, rad/s [default: 20]
    #[arg(long, value_name = "RADPS")]
    velocity_limit_radps: Option<f64>,
    /// Take poses, gains and action scale from a bundle, or from another robot, instead of guessing them: its policies then fit
    #[arg(long, value_name = "BUNDLE|NAME|DIR")]
    control_of: Option<String>,
    /// Leave the visual meshes out; the 3-D view then shows the collision shapes
    #[arg(long)]
    no_meshes: bool,
}

impl ImportCommand {
    /// Prints what was found and writes the folder.
    ///
    /// # Errors
    /// When the description cannot be imported, or the folder is there or cannot be written.
    pub fn run(&self) -> Result<()> {
        for (flag, limit) in [
            ("--effort-limit-nm", self.effort_limit_nm),
            ("--velocity-limit-radps", self.velocity_limit_radps),
        ] {
            if limit.is_some_and(|limit| !(limit > 0.0 && limit.is_finite())) {
                bail!("{flag} must be positive");
            }
        }
        let options = ImportOptions {
            name: self.name.clone(),
            motor: MotorOptions {
                effort_limit_nm: self.effort_limit_nm,
                velocity_limit_radps: self.velocity_limit_radps,
            },
            no_meshes: self.no_meshes,
            control: self.control_of.as_deref().map(control_of).transpose()?,
        };
        let Import { findings, robot } = import(&self.file, &options);
        let lines: String = findings
            .iter()
            .map(|finding| format!("{finding}\n"))
            .collect();
        io::stdout().write_all(lines.as_bytes())?;
        let Some((robot, files)) = robot else {
            let errors = findings
                .iter()
                .filter(|finding| finding.severity == Severity::Error)
                .count();
            match errors {
                1 => bail!("1 error; nothing is written"),
                errors => bail!("{errors} errors; nothing is written"),
            }
        };
        let out = self
            .out
            .clone()
            .unwrap_or_else(|| PathBuf::from(&robot.name));
        write(&files, &out)?;
        // A built-in robot wins over a folder of its name; with ./ it is a folder.
        let out = match out.components().count() {
            1 => format!("./{}", out.display()),
            _ => out.display().to_string(),
        };
        writeln!(
            io::stdout(),
            "{}: {:.1} kg, {} joints, stands {:.3} m high; written to {out}\nnext: abs robot check {out}",
            robot.name,
            robot.mass_kg(),
            robot.num_joints(),
            robot.control.standing_height_m,
        )?;
        Ok(())
    }
}

/// Of a bundle, or of a robot.
fn control_of(of: &str) -> Result<GivenControl> {
    let robot = match Path::new(of).join("bundle.toml").is_file() {
        true => Bundle::load(of.as_ref())?.robot()?,
        false => Robot::load(of)?,
    };
    Ok(GivenControl {
        of: of.to_owned(),
        control: robot.control,
    })
}

/// Writes the folder under another name first, so that nobody finds half of it.
fn write(files: &RobotFiles, out: &Path) -> Result<()> {
    if out.exists() {
        bail!(
            "{} exists; choose another --out, or remove it",
            out.display()
        );
    }
    let unwritable = || format!("cannot write {}", out.display());
    let mut partial = out.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    // A folder of this name is what an import left that was stopped.
    let _ = fs::remove_dir_all(&partial);
    let written = files
        .write(&partial)
        .and_then(|()| fs::rename(&partial, out));
    if written.is_err() {
        let _ = fs::remove_dir_all(&partial);
    }
    written.with_context(unwritable)
}

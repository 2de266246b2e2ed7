//! `abs doctor`: what this machine has, what is missing, and what to do about it.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write},
    path::Path,
    process::Command,
};

use anyhow::{Result, bail};
use policies::Bundle;
use robots::Robot;

use super::robot::quick_check;
use crate::repository;

const GIB: f64 = (1u64 << 30) as f64;

/// Check tools, CPU, memory, disk, robots and shipped policies
#[derive(clap::Args)]
pub struct DoctorCommand {
    /// Check this robot, too
    #[arg(long, value_name = "NAME|DIR")]
    robot: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    Ok,
    Warn,
    Fail,
}

struct Check {
    status: Status,
    name: String,
    finding: String,
    /// What to do; empty when all is well.
    remedy: &'static str,
}

impl DoctorCommand {
    /// Prints one line per check.
    ///
    /// # Errors
    /// When a check fails, so that the exit status tells.
    pub fn run(&self) -> Result<()> {
        let mut checks = tools();
        checks.push(libtorch());
        checks.push(mujoco());
        checks.push(viewer());
        checks.push(cpu());
        checks.extend([cores(), memory(), disk()]);
        checks.extend(Robot::names().map(robot));
        checks.extend(self.robot.as_deref().map(robot));
        checks.extend(bundles());

        io::stdout().write_all(table(&checks).as_bytes())?;
        match checks.iter().filter(|c| c.status == Status::Fail).count() {
            0 => Ok(()),
            1 => bail!("1 check failed"),
            failed => bail!("{failed} checks failed"),
        }
    }
}

fn table(checks: &[Check]) -> String {
    let width = checks.iter().map(|c| c.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for check in checks {
        let status = match check.status {
            Status::Ok => "ok",
            Status::Warn => "warn",
            Status::Fail => "FAIL",
        };
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "{status:<5} {:<width$}  {}",
            check.name, check.finding
        );
        if !check.remedy.is_empty() {
            let _ = write!(text, "; {}", check.remedy);
        }
        text.push('\n');
    }
    text
}

impl Check {
    fn new(name: &str, status: Status, finding: impl Into<String>, remedy: &'static str) -> Self {
        Self {
            status,
            name: name.to_owned(),
            finding: finding.into(),
            remedy,
        }
    }

    fn ok(name: &str, finding: impl Into<String>) -> Self {
        Self::new(name, Status::Ok, finding, "")
    }

    fn warn(name: &str, finding: impl Into<String>, remedy: &'static str) -> Self {
        Self::new(name, Status::Warn, finding, remedy)
    }

    fn fail(name: &str, finding: impl Into<String>, remedy: &'static str) -> Self {
        Self::new(name, Status::Fail, finding, remedy)
    }
}

fn tools() -> Vec<Check> {
    let cxx = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    let tools: [(&str, &str, &[&str], &str); 3] = [
        (
            "rust",
            "rustc",
            &["--version"],
            "needed to build; see https://rustup.rs",
        ),
        (
            "c++ compiler",
            &cxx,
            &["--version"],
            "needed to build training; on Debian: apt install g++",
        ),
        (
            "pip",
            "python3",
            &["-m", "pip", "--version"],
            "fetches libtorch; on Debian: apt install python3-pip",
        ),
    ];
    tools
        .into_iter()
        .map(|(name, program, arguments, remedy)| {
            let output = Command::new(program)
                .args(arguments)
                .current_dir(repository::root())
                .output();
            match output {
                Ok(output) if output.status.success() => {
                    let text = String::from_utf8_lossy(&output.stdout);
                    Check::ok(name, text.lines().next().unwrap_or_default())
                }
                Ok(_) => Check::warn(
                    name,
                    format!("`{program} {}` fails", arguments.join(" ")),
                    remedy,
                ),
                Err(error) => Check::warn(name, format!("`{program}`: {error}"), remedy),
            }
        })
        .collect()
}

/// The engine `mujoco`, which `scripts/abs` fetches and builds in when it is asked for.
fn mujoco() -> Check {
    let files = fs::read_dir(repository::root().join(".mujoco"));
    let names = files.into_iter().flatten().flatten();
    let version = names.filter_map(|file| {
        let name = file.file_name().into_string().ok()?;
        Some(name.strip_prefix("libmujoco.so.")?.to_owned())
    });
    match (version.max(), cfg!(feature = "mujoco")) {
        (Some(version), true) => Check::ok("mujoco", format!("{version}, linked")),
        (Some(version), false) => Check::ok(
            "mujoco",
            format!("{version}, built in by `--engine mujoco`"),
        ),
        (None, _) => Check::ok("mujoco", "not fetched; `--engine mujoco` fetches it"),
    }
}

/// The viewer, which `scripts/abs` fetches and builds in when it is asked for.
fn viewer() -> Check {
    let version = fs::read_to_string(repository::root().join(".rerun/version"));
    match (version, cfg!(feature = "viewer")) {
        (Ok(version), true) => Check::ok("viewer", format!("rerun {}", version.trim())),
        (Ok(version), false) => Check::ok(
            "viewer",
            format!("rerun {}, built in by `--view`", version.trim()),
        ),
        (Err(_), _) => Check::ok("viewer", "not fetched; `--view` fetches it"),
    }
}

fn libtorch() -> Check {
    let version = fs::read_to_string(repository::root().join(".libtorch/torch/build-version")).ok();
    match version {
        // The program would not have started without it.
        Some(version) if cfg!(feature = "train") => {
            Check::ok("libtorch", format!("{}, linked", version.trim()))
        }
        Some(version) => Check::warn(
            "libtorch",
            format!("{}, not linked into this program", version.trim()),
            "start it as scripts/abs",
        ),
        None => Check::warn(
            "libtorch",
            "not installed",
            "only training needs it, and scripts/abs train fetches it",
        ),
    }
}

fn cpu() -> Check {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags: Vec<&str> = cpuinfo
        .lines()
        .find(|line| line.starts_with("flags") || line.starts_with("Features"))
        .map(|line| line.split_whitespace().collect())
        .unwrap_or_default();
    let found: Vec<&str> = [
        "avx2",
        "fma",
        "avx512f",
        "avx512_bf16",
        "amx_bf16",
        "asimd",
        "sve",
        "bf16",
    ]
    .into_iter()
    .filter(|name| flags.contains(name))
    .collect();
    let has = |name| found.contains(&name);
    let finding = match found.as_slice() {
        [] => "no known vector extension".to_owned(),
        found => found.join(" "),
    };
    if !(has("avx2") && has("fma") || has("asimd")) {
        Check::warn("CPU", finding, "simulation and training will be slow")
    } else if !(has("amx_bf16") || has("avx512_bf16") || has("bf16")) {
        Check::warn(
            "CPU",
            finding,
            "no bfloat16 arithmetic: training runs in float32, about half as fast",
        )
    } else {
        Check::ok("CPU", finding)
    }
}

fn cores() -> Check {
    match std::thread::available_parallelism() {
        Ok(cores) => Check::ok("cores", cores.to_string()),
        Err(error) => Check::warn("cores", error.to_string(), "one thread will be used"),
    }
}

fn memory() -> Check {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available_kib = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<f64>().ok());
    let Some(available_kib) = available_kib else {
        return Check::warn("memory", "unknown on this system", "4 GiB should be free");
    };
    let available_gib = available_kib * 1024.0 / GIB;
    let finding = format!("{available_gib:.1} GiB available");
    if available_gib < 4.0 {
        Check::warn("memory", finding, "training needs 4 GiB")
    } else {
        Check::ok("memory", finding)
    }
}

fn disk() -> Check {
    let folder = repository::root();
    match rustix::fs::statvfs(folder) {
        Ok(stat) => {
            let free_gib = (stat.f_bavail * stat.f_frsize) as f64 / GIB;
            let finding = format!("{free_gib:.1} GiB free in {}", folder.display());
            if free_gib < 4.0 {
                Check::warn("disk", finding, "build, libtorch and runs need 4 GiB")
            } else {
                Check::ok("disk", finding)
            }
        }
        Err(error) => Check::fail(
            "disk",
            format!("{}: {error}", folder.display()),
            "build the program again at the repository's current path",
        ),
    }
}

fn robot(name: &str) -> Check {
    let label = format!("robot {name}");
    match Robot::load(name) {
        Ok(robot) => match quick_check(&robot) {
            (finding, true) => Check::ok(&label, finding),
            (finding, false) => Check::fail(&label, finding, "`abs robot check` tells more"),
        },
        Err(error) => Check::fail(&label, error.to_string(), "repair the files in its folder"),
    }
}

/// One check per folder in `policies/bundles`, in order of name.
fn bundles() -> Vec<Check> {
    let folder = repository::root().join("policies/bundles");
    let mut names: Vec<String> = fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    if names.is_empty() {
        return vec![Check::fail(
            "bundles",
            format!("none in {}", folder.display()),
            "train one with scripts/abs train agile",
        )];
    }
    names
        .iter()
        .map(|name| bundle(name, &folder.join(name)))
        .collect()
}

fn bundle(name: &str, path: &Path) -> Check {
    let label = format!("bundle {name}");
    match load_bundle(path) {
        Ok(finding) => Check::ok(&label, finding),
        Err(error) => Check::fail(
            &label,
            format!("{error:#}"),
            "restore it from the repository",
        ),
    }
}

fn load_bundle(path: &Path) -> Result<String> {
    let bundle = Bundle::load(path)?;
    bundle.check(&bundle.robot()?)?;
    let roles: Vec<&str> = bundle.spec.networks.keys().map(String::as_str).collect();
    let robot = &bundle.spec.robot.name;
    Ok(format!("for {robot}: {}", roles.join(", ")))
}

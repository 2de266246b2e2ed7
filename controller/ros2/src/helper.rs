//! Processes that a run starts beside its own, from the same executable.

use std::{
    ffi::CStr,
    fs::{self, File},
    io,
    os::fd::{AsFd as _, OwnedFd},
    process::{Command, ExitCode, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{
    process::{Resource, Rlimit, setrlimit, setsid},
    stdio::{dup2_stdin, dup2_stdout},
    thread::set_name,
};

use crate::link::{dds_process, guardian_process};

/// A process beside that of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helper {
    /// Damps the robot when the run ends or falls silent.
    Guardian,
    /// Runs DDS.
    Dds,
}

/// Whether `main` has called [`run_helper`].
static IS_READY: AtomicBool = AtomicBool::new(false);

impl Helper {
    const ALL: [Self; 2] = [Self::Guardian, Self::Dds];

    /// The only argument of the process.
    const fn argument(self) -> &'static str {
        match self {
            Self::Guardian => "--helper-process=guardian",
            Self::Dds => "--helper-process=dds",
        }
    }

    /// Its name in `ps` and `top`.
    const fn name(self) -> &'static CStr {
        match self {
            Self::Guardian => c"abs-guardian",
            Self::Dds => c"abs-dds",
        }
    }

    /// What the kernel adds to its score when it looks for a process to kill because memory is short: -1000 is never.
    const fn oom_score(self) -> &'static str {
        match self {
            Self::Guardian => "-1000",
            Self::Dds => "500",
        }
    }

    /// Starts it with these as standard input and output.
    ///
    /// # Errors
    /// When the system refuses it, or when the program's `main` does not begin with [`run_helper`].
    pub fn start(self, input: OwnedFd, output: Option<OwnedFd>) -> io::Result<std::process::Child> {
        if !IS_READY.load(Ordering::Acquire) {
            return Err(io::Error::other(
                "the program's main does not begin with ros2::run_helper",
            ));
        }
        Command::new("/proc/self/exe")
            .arg(self.argument())
            // To write a backtrace takes more time and memory than to start again.
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::from(input))
            .stdout(output.map_or_else(Stdio::null, Stdio::from))
            .stderr(Stdio::null())
            .spawn()
    }

    /// In the process itself: leaves the terminal, so that nothing that happens to it ends the process, and takes the
    /// standard input and output, on which nothing is to be read or printed by others.
    pub fn enter(self) -> io::Result<[OwnedFd; 2]> {
        let input = io::stdin().as_fd().try_clone_to_owned()?;
        let output = io::stdout().as_fd().try_clone_to_owned()?;
        let null = File::options().read(true).write(true).open("/dev/null")?;
        dup2_stdin(&null)?;
        dup2_stdout(&null)?;
        // It leads a session already, or has another name: nothing depends on it.
        let _ = setsid();
        let _ = set_name(self.name());
        // Ctrl-C, SIGTERM to all processes of a service, and SIGHUP are for the run, which ends this process in time.
        ctrlc::set_handler(|| ()).map_err(io::Error::other)?;
        let no_core = Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        let _ = setrlimit(Resource::Core, no_core);
        // Without the right to it the default holds.
        let _ = fs::write("/proc/self/oom_score_adj", self.oom_score());
        Ok([input, output])
    }
}

/// The first call of the `main` of a program with a [`Run`](crate::Run), which starts its own executable again as other
/// processes: if this process is one of them, runs it to its end and gives the exit code, with which `main` is to return.
pub fn run_helper() -> Option<ExitCode> {
    IS_READY.store(true, Ordering::Release);
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next()?;
    let helper = Helper::ALL
        .into_iter()
        .find(|helper| first == helper.argument())?;
    let result = match helper {
        Helper::Guardian => guardian_process(),
        Helper::Dds => dds_process(),
    };
    Some(match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    })
}

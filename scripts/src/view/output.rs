//! Where the data of a view goes: a file, or the viewer's program.

use std::{
    env,
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use policies::file;
use re_sdk::{RecordingStream, RecordingStreamBuilder};
use tempfile::{NamedTempFile, TempPath};

use super::{Destination, web::PageServer};
use crate::{repository, run::interrupt::Interrupt};

/// A program that has not opened its port by then does not.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);
const INSTEAD: &str = "show it in a browser with --view web, or write a file with --view FILE.rrd";

impl Destination {
    /// Whether a view can be opened there.
    pub(super) fn check(&self) -> Result<()> {
        match self {
            Self::File(path) => temporary_beside(path).map(drop),
            Self::Window => {
                let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
                ensure!(
                    is_set("DISPLAY") || is_set("WAYLAND_DISPLAY"),
                    "there is no display for a window: neither DISPLAY nor WAYLAND_DISPLAY is set; {INSTEAD}"
                );
                program().map(drop)
            }
            Self::Web {
                page_port,
                data_port,
            } => {
                listen(*page_port)?;
                listen(*data_port)?;
                program().map(drop)
            }
        }
    }
}

/// Opens a recording that was written to a file.
///
/// # Errors
/// One line if there is no such file, or what it needs is missing.
pub fn open_file(file: &Path, destination: &Destination) -> Result<()> {
    File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    destination.check()?;
    let file = fs::canonicalize(file)?.display().to_string();
    match destination {
        Destination::File(_) => {
            bail!("{file} is a file already; open it in a window, or with `web` in a browser")
        }
        Destination::Window => open_window(&[file]).map(drop),
        &Destination::Web {
            page_port,
            data_port,
        } => Server::start(page_port, data_port, &[file])?.wait(),
    }
}

/// Opens a window, and returns the port that takes data for it.
fn open_window(arguments: &[String]) -> Result<u16> {
    let port = free_port()?;
    let own = ["--hide-welcome-screen".to_owned(), format!("--port={port}")];
    let mut viewer = start(&[&own, arguments].concat())?;
    wait_for_port(&mut viewer, port)?;
    Ok(port)
}

/// What has to be done when the last of the data is there.
pub(super) enum Output {
    /// The file gets its name.
    File { temporary: TempPath, path: PathBuf },
    /// Nothing: a window outlives this program.
    Window,
    /// The server ends.
    Web(Server),
}

impl Output {
    /// Starts what is needed, and a stream to it.
    pub(super) fn open(
        destination: &Destination,
        builder: RecordingStreamBuilder,
    ) -> Result<(RecordingStream, Self)> {
        match destination {
            Destination::File(path) => {
                let temporary = temporary_beside(path)?.into_temp_path();
                let path = path.clone();
                Ok((
                    builder.save(temporary.to_path_buf())?,
                    Self::File { temporary, path },
                ))
            }
            Destination::Window => {
                let port = open_window(&[])?;
                Ok((connect(builder, port)?, Self::Window))
            }
            &Destination::Web {
                page_port,
                data_port,
            } => {
                let server = Server::start(page_port, data_port, &[])?;
                Ok((connect(builder, data_port)?, Self::Web(server)))
            }
        }
    }

    /// Returns when the user has seen it.
    pub(super) fn wait(&mut self) -> Result<()> {
        match self {
            Self::Web(server) => server.wait(),
            _ => Ok(()),
        }
    }

    pub(super) fn close(self) -> Result<()> {
        if let Self::File { temporary, path } = self {
            let unwritable = || format!("cannot write {}", path.display());
            temporary.persist(&path).with_context(unwritable)?;
        }
        Ok(())
    }
}

/// Serves data and page to browsers on this machine.
pub(super) struct Server {
    viewer: Child,
}

impl Server {
    /// Tells where the page is.
    fn start(page_port: u16, data_port: u16, files: &[String]) -> Result<Self> {
        let page = listen(page_port)?;
        drop(listen(data_port)?);
        let inner_port = free_port()?;
        let own = [
            "--serve-web".to_owned(),
            format!("--port={data_port}"),
            format!("--web-viewer-port={inner_port}"),
            format!("--cors-allow-origin=http://localhost:{page_port}"),
            format!("--cors-allow-origin=http://127.0.0.1:{page_port}"),
        ];
        let mut server = Self {
            viewer: start(&[&own, files].concat())?,
        };
        for port in [data_port, inner_port] {
            wait_for_port(&mut server.viewer, port)?;
        }
        PageServer::new(page, inner_port, data_port).start()?;
        eprintln!(
            "the view is at http://localhost:{page_port}/?url=rerun%2Bhttp%3A%2F%2Flocalhost%3A{data_port}%2Fproxy"
        );
        Ok(server)
    }

    /// Returns at Ctrl-C.
    fn wait(&mut self) -> Result<()> {
        eprintln!("it is there until Ctrl-C");
        let interrupt = Interrupt::listen("the page is closed")?;
        while !interrupt.flag().load(Ordering::Relaxed) && self.viewer.try_wait()?.is_none() {
            thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.viewer.kill();
        let _ = self.viewer.wait();
    }
}

/// A file that is to get the name `path`, its folder made.
fn temporary_beside(path: &Path) -> Result<NamedTempFile> {
    let unwritable = || format!("cannot write {}", path.display());
    ensure!(
        !path.is_dir(),
        "cannot write {}: it is a folder",
        path.display()
    );
    fs::create_dir_all(file::folder_of(path)).with_context(unwritable)?;
    file::temporary_beside(path).with_context(unwritable)
}

/// The folder of the viewer's program, which scripts/abs fetches.
fn folder() -> PathBuf {
    repository::root().join(".rerun")
}

fn program() -> Result<PathBuf> {
    let program = folder().join("rerun");
    ensure!(
        program.is_file(),
        "the viewer is not installed ({} is missing): start this command as scripts/abs, which fetches it, or write a file with --view FILE.rrd",
        program.display()
    );
    Ok(program)
}

/// Where the viewer's messages go.
fn messages() -> PathBuf {
    folder().join("viewer.log")
}

/// Starts the viewer's program with its telemetry turned off, reachable from this machine alone.
fn start(arguments: &[String]) -> Result<Child> {
    let program = program()?;
    let log = File::create(messages()).with_context(|| messages().display().to_string())?;
    let config = folder().join("config");
    Command::new(&program)
        .arg("--bind=127.0.0.1")
        .args(arguments)
        .env("XDG_CONFIG_HOME", &config)
        .env("XDG_DATA_HOME", &config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        // Ctrl-C is for this program.
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))
}

fn wait_for_port(viewer: &mut Child, port: u16) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let started = Instant::now();
    while TcpStream::connect_timeout(&address, POLL).is_err() {
        if viewer.try_wait()?.is_some() {
            bail!("the viewer ended at once: {}; {INSTEAD}", last_message());
        }
        if started.elapsed() > PATIENCE {
            viewer.kill()?;
            bail!(
                "the viewer did not start within {} s; its messages are in {}",
                PATIENCE.as_secs(),
                messages().display()
            );
        }
        thread::sleep(POLL);
    }
    Ok(())
}

/// The last line that says something.
fn last_message() -> String {
    let log = fs::read_to_string(messages()).unwrap_or_default();
    let errors = log
        .lines()
        .rev()
        .filter(|line| line.contains(char::is_alphabetic));
    let line = errors.map(without_colors).next();
    line.unwrap_or_else(|| "it says nothing".to_owned())
}

/// Text without the escape sequences of terminals.
fn without_colors(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + part.split_once('m').map_or(part, |(_, rest)| rest)
    })
}

fn connect(builder: RecordingStreamBuilder, port: u16) -> Result<RecordingStream> {
    Ok(builder.connect_grpc_opts(format!("rerun+http://127.0.0.1:{port}/proxy"))?)
}

fn listen(port: u16) -> Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).with_context(|| {
        format!("port {port} cannot be used; end the program that uses it, or choose another one with --view web:PORT")
    })
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

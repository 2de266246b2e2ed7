//! The tests of `abs eval`.

use std::path::PathBuf;

use abs::{Subject, config::ConfigArgs};
use anyhow::{Context, Result};
use pyo3::prelude::*;

use crate::value_error;

/// Evaluates a bundle as `abs eval` does, without pictures, and returns what `metrics.json` holds.
#[pyfunction]
#[pyo3(signature = (bundle=None, *, method=None, episodes=1000, engine=None, scene=None, reality=None, robot=None, seed=1, threads=0, settings=Vec::new()))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
pub fn evaluate<'py>(
    py: Python<'py>,
    bundle: Option<PathBuf>,
    method: Option<String>,
    episodes: usize,
    engine: Option<String>,
    scene: Option<String>,
    reality: Option<String>,
    robot: Option<String>,
    seed: u64,
    threads: usize,
    settings: Vec<String>,
) -> PyResult<Bound<'py, PyAny>> {
    let mut args = ConfigArgs {
        robot,
        seed: Some(seed),
        threads: Some(threads),
        scene,
        reality,
        sets: settings,
        ..ConfigArgs::default()
    };
    args.set("eval.episodes", Some(episodes));
    args.set("eval.engine", engine);
    let report = || -> Result<String> {
        let resolved = args.resolve_plain()?;
        let threads = resolved.config.num_threads();
        let method = method.as_deref().map(str::parse).transpose()?;
        let subject = Subject::resolve(resolved, bundle.as_deref(), method)?;
        let evaluation = subject.evaluation()?;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.context("cannot start threads")?;
        let (report, _) = pool.install(|| evaluation.report(&|| ()))?;
        Ok(serde_json::to_string(&report)?)
    };
    let json = py.detach(report).map_err(value_error)?;
    py.import("json")?.call_method1("loads", (json,))
}

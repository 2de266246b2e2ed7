//! Many evaluations, each in a folder of its own.

use std::{path::PathBuf, time::Instant};

use anyhow::Result;

use super::evaluate;
use crate::{commands::subject::Subject, results::request::Request, run::progress::clock};

/// An evaluation to run.
pub struct EvalJob {
    pub subject: Subject,
    pub request: Request,
    /// Where its results go; a finished evaluation of the same request is not run again.
    pub folder: PathBuf,
}

impl EvalJob {
    /// Checks that the subject runs to a goal and that everything fits, before hours of work.
    ///
    /// # Errors
    /// One line that says what does not fit.
    pub fn new(subject: Subject, folder: PathBuf) -> Result<Self> {
        anyhow::ensure!(
            !subject.tracks_twists(),
            "`{}` tracks twists; this needs what runs to a goal: abs, agile",
            subject.method
        );
        subject.evaluation()?;
        let request = Request::new(&subject, None)?;
        Ok(Self {
            subject,
            request,
            folder,
        })
    }
}

/// Runs the evaluations that are not finished.
///
/// # Errors
/// One line if a folder cannot be written.
pub fn run_all<'a>(jobs: impl Iterator<Item = &'a EvalJob> + Clone) -> Result<()> {
    let open = jobs.clone().filter(|job| !job.request.is_done(&job.folder));
    let (begin, many) = (Instant::now(), open.clone().count());
    eprintln!("{} cells, {many} of them to run", jobs.count());
    for (index, job) in open.enumerate() {
        evaluate(&job.subject, &job.request, &job.folder)?;
        let (spent_s, done) = (begin.elapsed().as_secs_f64(), index + 1);
        let left = clock(spent_s / done as f64 * (many - done) as f64);
        let folder = job.folder.display();
        eprintln!("{done} of {many} done: {folder}; ETA {left}");
    }
    Ok(())
}

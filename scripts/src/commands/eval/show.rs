//! `--view`: some episodes of an evaluation in 3-D.

use anyhow::Result;
use sim::eval::{EpisodeRecord, Outcome};

use crate::{
    commands::subject::Subject,
    pictures::caption_of,
    view::{Destination, View},
};

/// Episodes of each outcome that are shown.
const SHOWN: usize = 3;

/// Shows the first episodes of each outcome, one after the other.
///
/// # Errors
/// When the view cannot be opened or written.
pub fn show(destination: &Destination, subject: &Subject, records: &[EpisodeRecord]) -> Result<()> {
    let reach_m = subject.config.eval.reach_m;
    let evaluation = subject.evaluation()?;
    let title = format!(
        "{}, {}, seed {}",
        subject.robot.name, subject.method, subject.config.seed
    );
    let mut view = View::open(destination, &subject.recorded(title))?;
    for outcome in [Outcome::Collision, Outcome::Timeout, Outcome::Reach] {
        let such = records.iter().filter(|record| record.outcome == outcome);
        let first: Vec<u64> = such.take(SHOWN).map(|record| record.scene.index).collect();
        for record in evaluation.run(&first, true, &|| ())? {
            let caption = format!("{outcome}: episode {}", caption_of(&record));
            view.show_episode(&record, reach_m, &caption)?;
        }
    }
    view.finish()
}

//! What the processes of a training do together before and after they learn, so that a mistake in any of them is one
//! line, printed by the first.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use learning::{Processes, TrainError};
use policies::settings::{self, Difference};
use serde::{Deserialize, Serialize};
use toml::Table;

use super::Request;

/// The first process tells the error; this prints nothing.
#[derive(Debug, thiserror::Error)]
#[error("")]
struct Elsewhere;

/// How a process fares.
#[derive(Serialize, Deserialize)]
enum Status {
    Fine,
    /// Because of another process.
    Stopped,
    Failed(String),
}

/// What `processes` gave, in the order of the ranks.
fn gather<T: Serialize + for<'de> Deserialize<'de>>(
    processes: &Processes,
    own: T,
) -> Result<Vec<T>> {
    let Some(others) = processes.communicator() else {
        return Ok(vec![own]);
    };
    let all = others.all_gather(&serde_json::to_vec(&own)?)?;
    all.iter()
        .map(|bytes| serde_json::from_slice(bytes).context("the processes are not of one version"))
        .collect()
}

/// Goes on with `result` if no process has failed. If one has, the first process gets its error, the others one that
/// prints nothing.
pub fn all_ok<T>(processes: &Processes, result: Result<T>) -> Result<T> {
    if processes.size() == 1 {
        return result;
    }
    let status = match &result {
        Ok(_) => Status::Fine,
        Err(error) => match error.downcast_ref::<TrainError>() {
            Some(error) if error.is_elsewhere() => Status::Stopped,
            _ => Status::Failed(crate::with_causes(error)),
        },
    };
    let failed = |(rank, status)| match status {
        Status::Failed(text) => Some((rank, text)),
        Status::Fine | Status::Stopped => None,
    };
    let all = gather(processes, status)?;
    match all.into_iter().enumerate().find_map(failed) {
        None => result,
        Some((0, text)) if processes.rank() == 0 => Err(anyhow!(text)),
        Some((rank, text)) if processes.rank() == 0 => Err(anyhow!("rank {rank}: {text}")),
        Some(_) => Err(Elsewhere.into()),
    }
}

/// What is asked for, if it is the same for all processes.
pub fn same(processes: &Processes, request: Result<Request>) -> Result<Request> {
    let request = all_ok(processes, request)?;
    let own = (request.config.to_toml()?, format!("{:?}", request.robot));
    let all = gather(processes, own)?;
    let difference = (all.iter().enumerate()).find_map(|(rank, (config, robot))| {
        let (first_config, first_robot) = &all[0];
        if let Some(difference) = first_difference(config, first_config) {
            return Some(format!("rank {rank} has {difference}"));
        }
        (robot != first_robot).then(|| format!("rank {rank} has other files of the robot"))
    });
    let outcome = difference.map_or(Ok(request), |difference| {
        Err(anyhow!(
            "{difference}; start all processes with the same settings"
        ))
    });
    all_ok(processes, outcome)
}

/// The first process's path.
pub fn same_path(processes: &Processes, own: &Path) -> Result<PathBuf> {
    Ok(gather(processes, own.to_owned())?.swap_remove(0))
}

/// `key = ours where rank 0 has theirs`, for the first key of two configurations that differs.
fn first_difference(config: &str, first: &str) -> Option<String> {
    let (config, first) = (config.parse::<Table>(), first.parse::<Table>());
    let (Ok(config), Ok(first)) = (config, first) else {
        return Some("an unreadable configuration".to_owned());
    };
    let Difference { key, values } = settings::first_difference(&config, &first)?;
    let [here, there] = values;
    Some(format!("{key} = {here} where rank 0 has {there}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_key_that_differs_is_named() {
        let difference = |a: &str, b: &str| first_difference(a, b);
        assert_eq!(difference("a = 1\n[b]\nc = 2", "a = 1\n[b]\nc = 2"), None);
        assert_eq!(
            difference("a = 1\n[b.d]\nc = 2", "a = 1\n[b.d]\nc = 3").unwrap(),
            "b.d.c = 2 where rank 0 has 3"
        );
        assert_eq!(
            difference("a = 1", "a = 1\nb = \"x\"").unwrap(),
            "b = nothing where rank 0 has \"x\""
        );
    }
}

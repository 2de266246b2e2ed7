//! Recorded rollouts of the agile policy: what the value is learned from.

use std::{collections::HashMap, ops::Range};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::{
    margins::{course_targets, failure_margins, target_margin},
    report::Outcome,
};

/// Episodes of the agile policy, one row per policy step: what the value observes, and how far the goal is. An episode
/// ends with its first collision or its time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rollouts {
    dim: usize,
    observations: Vec<f32>,
    goal_distance_m: Vec<f32>,
    episodes: Vec<Episode>,
}

#[derive(Clone, Debug, PartialEq)]
struct Episode {
    rows: Range<usize>,
    collided: bool,
}

/// A file of rollouts that cannot be used; what follows its name in a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}; remove it to record anew")]
pub struct RolloutsError(String);

/// Key of the safetensors metadata that tells which rollouts a file holds.
const ORIGIN: &str = "origin";

impl Rollouts {
    /// None yet, with `dim` numbers in an observation.
    pub fn new(dim: usize) -> Self {
        Self {
            dim,
            ..Self::default()
        }
    }

    /// Numbers in an observation.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of rows of all episodes.
    pub fn num_rows(&self) -> usize {
        self.goal_distance_m.len()
    }

    /// Number of episodes.
    pub fn num_episodes(&self) -> usize {
        self.episodes.len()
    }

    /// Appends an episode: observations [steps, dim] and goal distances \[steps\], m. If `collided`, the last step is in
    /// collision. An episode without steps is left out.
    ///
    /// # Panics
    /// When the lengths do not fit each other.
    pub fn push_episode(&mut self, observations: &[f32], goal_distance_m: &[f32], collided: bool) {
        let steps = goal_distance_m.len();
        assert_eq!(observations.len(), steps * self.dim, "observations");
        if steps == 0 {
            return;
        }
        let first = self.num_rows();
        self.observations.extend_from_slice(observations);
        self.goal_distance_m.extend_from_slice(goal_distance_m);
        self.episodes.push(Episode {
            rows: first..first + steps,
            collided,
        });
    }

    /// Appends all episodes of `other`.
    ///
    /// # Panics
    /// When its observations have another length.
    pub fn append(&mut self, other: &Self) {
        assert_eq!(self.dim, other.dim, "numbers in an observation");
        let first = self.num_rows();
        self.observations.extend_from_slice(&other.observations);
        self.goal_distance_m
            .extend_from_slice(&other.goal_distance_m);
        self.episodes
            .extend(other.episodes.iter().map(|episode| Episode {
                rows: first + episode.rows.start..first + episode.rows.end,
                collided: episode.collided,
            }));
    }

    /// Observation \[dim\] of a row.
    pub fn observation(&self, row: usize) -> &[f32] {
        &self.observations[row * self.dim..(row + 1) * self.dim]
    }

    /// Observations [rows, dim] of an episode.
    pub fn observations(&self, episode: usize) -> &[f32] {
        let rows = self.rows(episode);
        &self.observations[rows.start * self.dim..rows.end * self.dim]
    }

    /// Distances to the goal \[rows\] of an episode, m.
    pub fn goal_distances_m(&self, episode: usize) -> &[f32] {
        &self.goal_distance_m[self.rows(episode)]
    }

    /// Rows of an episode.
    pub fn rows(&self, episode: usize) -> Range<usize> {
        self.episodes[episode].rows.clone()
    }

    /// Whether the last row of an episode is in collision.
    pub fn collided(&self, episode: usize) -> bool {
        self.episodes[episode].collided
    }

    /// Target margins l \[rows\] and failure margins zeta \[rows\] of an episode.
    pub fn margins(&self, episode: usize, softened: bool) -> [Vec<f32>; 2] {
        let distances_m = self.goal_distances_m(episode);
        [
            distances_m.iter().map(|d| target_margin(*d)).collect(),
            failure_margins(distances_m.len(), self.collided(episode), softened),
        ]
    }

    /// The value of every state of an episode on its recorded course.
    pub fn course_targets(&self, episode: usize, gamma: f32, softened: bool) -> Vec<f32> {
        let [target_margins, failure_margins] = self.margins(episode, softened);
        course_targets(gamma, &target_margins, &failure_margins)
    }

    /// What came after every state of an episode: the goal, a collision, or neither.
    pub fn outcomes(&self, episode: usize) -> Vec<Outcome> {
        let distances_m = self.goal_distances_m(episode);
        let mut next = Outcome::TimeOut;
        let mut outcomes = vec![next; distances_m.len()];
        for (step, outcome) in outcomes.iter_mut().enumerate().rev() {
            if self.collided(episode) && step + 1 == distances_m.len() {
                next = Outcome::Collision;
            } else if target_margin(distances_m[step]) <= 0.0 {
                next = Outcome::Reach;
            }
            *outcome = next;
        }
        outcomes
    }

    /// As a safetensors file: `observations` [rows, dim], `goal_distance_m` \[rows\], `episode_rows` and
    /// `episode_collided` \[episodes\]. `origin` tells which rollouts these are.
    ///
    /// # Errors
    /// When there are too many rows for the format.
    pub fn encode(&self, origin: &str) -> Result<Vec<u8>, RolloutsError> {
        let floats =
            |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|v| v.to_le_bytes()).collect() };
        let observations = floats(&self.observations);
        let distances = floats(&self.goal_distance_m);
        let rows = self.episodes.iter().map(|e| e.rows.len() as u32);
        let rows: Vec<u8> = rows.flat_map(u32::to_le_bytes).collect();
        let collided: Vec<u8> = self.episodes.iter().map(|e| e.collided.into()).collect();
        let error = |error: safetensors::SafeTensorError| RolloutsError(error.to_string());
        let view = |dtype, shape, data| TensorView::new(dtype, shape, data).map_err(error);
        let (num_rows, num_episodes) = (self.num_rows(), self.num_episodes());
        let views = [
            (
                "observations",
                view(Dtype::F32, vec![num_rows, self.dim], &observations)?,
            ),
            (
                "goal_distance_m",
                view(Dtype::F32, vec![num_rows], &distances)?,
            ),
            ("episode_rows", view(Dtype::U32, vec![num_episodes], &rows)?),
            (
                "episode_collided",
                view(Dtype::U8, vec![num_episodes], &collided)?,
            ),
        ];
        let metadata = HashMap::from([(ORIGIN.to_owned(), origin.to_owned())]);
        safetensors::serialize(views, Some(metadata)).map_err(error)
    }

    /// Reads what `encode` wrote, with `dim` numbers in an observation.
    ///
    /// # Errors
    /// When the file is damaged, or holds rollouts of another origin or width.
    pub fn decode(bytes: &[u8], origin: &str, dim: usize) -> Result<Self, RolloutsError> {
        let error = |what: String| RolloutsError(what);
        let damaged = |cause: safetensors::SafeTensorError| {
            RolloutsError(format!("not a whole file of rollouts ({cause})"))
        };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let metadata = header.metadata().as_ref();
        if metadata.and_then(|m| m.get(ORIGIN)).map(String::as_str) != Some(origin) {
            return Err(error(
                "holds rollouts of another policy, robot, configuration or seed".into(),
            ));
        }
        let tensors = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let tensor = |name, dtype| {
            let tensor = tensors.tensor(name).map_err(damaged)?;
            if tensor.dtype() != dtype {
                return Err(error(format!("`{name}` is {:?}", tensor.dtype())));
            }
            Ok(tensor)
        };
        let floats = |tensor: &TensorView<'_>| -> Vec<f32> {
            let words = tensor.data().as_chunks::<4>().0.iter();
            words.map(|word| f32::from_le_bytes(*word)).collect()
        };
        let observations = floats(&tensor("observations", Dtype::F32)?);
        let distances_m = floats(&tensor("goal_distance_m", Dtype::F32)?);
        let rows = tensor("episode_rows", Dtype::U32)?;
        let rows = rows.data().as_chunks::<4>().0.iter();
        let rows = rows.map(|word| u32::from_le_bytes(*word) as usize);
        let collided = tensor("episode_collided", Dtype::U8)?;
        let mut first = 0;
        let mut episodes = Vec::new();
        for (rows, collided) in rows.zip(collided.data()) {
            episodes.push(Episode {
                rows: first..first + rows,
                collided: *collided != 0,
            });
            first += rows;
        }
        if first != distances_m.len() || observations.len() != first * dim {
            return Err(error(format!(
                "its episodes have {first} rows of {dim}, its tensors do not"
            )));
        }
        if !observations
            .iter()
            .chain(&distances_m)
            .all(|v| v.is_finite())
        {
            return Err(error("holds numbers that are not finite".into()));
        }
        Ok(Self {
            dim,
            observations,
            goal_distance_m: distances_m,
            episodes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two numbers per row; the first is the distance to the goal.
    fn rollouts(episodes: &[(&[f32], bool)]) -> Rollouts {
        let mut rollouts = Rollouts::new(2);
        for (distances_m, collided) in episodes {
            let rows: Vec<f32> = distances_m.iter().flat_map(|d| [*d, 1.0]).collect();
            rollouts.push_episode(&rows, distances_m, *collided);
        }
        rollouts
    }

    #[test]
    fn what_came_after_is_the_first_of_goal_and_collision() {
        use Outcome::{Collision, Reach, TimeOut};
        let rollouts = rollouts(&[
            (&[3.0, 2.0, 1.0], true),
            (&[3.0, 0.4, 1.0], true),
            (&[3.0, 0.4, 1.0], false),
            (&[3.0, 0.4], true),
        ]);
        assert_eq!(rollouts.outcomes(0), [Collision; 3]);
        assert_eq!(rollouts.outcomes(1), [Reach, Reach, Collision]);
        assert_eq!(rollouts.outcomes(2), [Reach, Reach, TimeOut]);
        // Colliding at the goal is colliding.
        assert_eq!(rollouts.outcomes(3), [Collision; 2]);
        for episode in 0..4 {
            let targets = rollouts.course_targets(episode, 1.0, false);
            for (target, outcome) in targets.iter().zip(rollouts.outcomes(episode)) {
                assert_eq!(*target <= 0.0, outcome == Reach, "{episode}: {targets:?}");
            }
        }
    }

    #[test]
    fn episodes_survive_the_file_and_are_found_again() {
        let mut all = rollouts(&[(&[3.0, 2.0], false)]);
        let more = rollouts(&[(&[5.0], true), (&[], true), (&[6.0, 7.0], false)]);
        all.append(&more);
        assert_eq!((all.num_episodes(), all.num_rows()), (3, 5));
        assert_eq!(all.observations(2), [6.0, 1.0, 7.0, 1.0]);
        assert_eq!(all.observation(2), [5.0, 1.0]);
        let bytes = all.encode("here").unwrap();
        assert_eq!(Rollouts::decode(&bytes, "here", 2).unwrap(), all);

        let error = |bytes: &[u8], origin, dim| {
            Rollouts::decode(bytes, origin, dim)
                .unwrap_err()
                .to_string()
        };
        assert!(error(&bytes, "there", 2).contains("another policy"));
        assert!(error(&bytes, "here", 3).contains("5 rows of 3"));
        assert!(error(&bytes[..bytes.len() - 3], "here", 2).contains("not a whole file"));
        let nan = rollouts(&[(&[f32::NAN], false)]).encode("here").unwrap();
        assert!(error(&nan, "here", 2).contains("not finite"));
    }
}

//! Statistics between two calls of `take_log`.

use policies::training::Scalar;

use crate::tasks::task::EpisodeEnd;

/// Sums of reward terms per step and of scalars per episode.
pub(super) struct Log {
    names: Vec<&'static str>,
    terms: Vec<f64>,
    steps: u64,
    episodes: u64,
    episode_steps: u64,
    scalars: Vec<(&'static str, f64)>,
    pub(super) not_finite: u64,
}

impl Log {
    pub(super) fn new(names: Vec<&'static str>) -> Self {
        let terms = vec![0.0; names.len()];
        Self {
            names,
            terms,
            steps: 0,
            episodes: 0,
            episode_steps: 0,
            scalars: Vec::new(),
            not_finite: 0,
        }
    }

    pub(super) fn step(&mut self, terms: &[f32]) {
        self.steps += 1;
        for (sum, term) in self.terms.iter_mut().zip(terms) {
            *sum += f64::from(*term);
        }
    }

    pub(super) fn episode(&mut self, steps: u32, end: &EpisodeEnd) {
        self.episodes += 1;
        self.episode_steps += u64::from(steps);
        self.scalars.resize(end.scalars.len(), ("", 0.0));
        for (sum, (name, value)) in self.scalars.iter_mut().zip(&end.scalars) {
            *sum = (*name, sum.1 + f64::from(*value));
        }
    }

    /// Means since the last call.
    pub(super) fn take(&mut self, levels: impl ExactSizeIterator<Item = usize>) -> Vec<Scalar> {
        let scalar = |name: String, sum: f64, count: u64| Scalar {
            name,
            value: if count == 0 { 0.0 } else { sum / count as f64 },
            count,
        };
        let mut scalars = Vec::new();
        for (name, sum) in self.names.iter().zip(&self.terms) {
            scalars.push(scalar(format!("reward/{name}"), *sum, self.steps));
        }
        for (name, sum) in &self.scalars {
            scalars.push(scalar(format!("episode/{name}"), *sum, self.episodes));
        }
        scalars.push(scalar(
            "episode/steps".into(),
            self.episode_steps as f64,
            self.episodes,
        ));
        let count = levels.len() as u64;
        let sum: usize = levels.sum();
        scalars.push(scalar("curriculum/level".into(), sum as f64, count));
        scalars.push(scalar("env/not_finite".into(), self.not_finite as f64, 1));
        *self = Self::new(std::mem::take(&mut self.names));
        scalars
    }
}

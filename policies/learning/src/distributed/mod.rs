//! How data-parallel workers average what they computed: within a process by threads, between processes by the same trait.

mod processes;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

pub use processes::{JoinError, Processes};

/// A worker's tie to the others. Every worker calls the same methods in the same order.
pub trait Communicator: Send + Sync {
    /// Index of this worker, from 0.
    fn rank(&self) -> usize;
    /// Number of workers.
    fn size(&self) -> usize;
    /// Replaces `values` by their mean over all workers: the same bits everywhere, summed in the order of the ranks.
    ///
    /// # Errors
    /// When another worker has stopped.
    fn all_reduce_mean(&self, values: &mut [f32]) -> Result<(), LostWorker>;
    /// The bytes of every worker, in the order of the ranks.
    ///
    /// # Errors
    /// When another worker has stopped.
    fn all_gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, LostWorker>;
    /// Tells the others that this worker stops, so that none of them waits for it.
    fn abort(&self);
}

/// Another worker has failed; its own error says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another worker has stopped")]
pub struct LostWorker;

/// Worker threads of one process, optionally as one member of an outer group of processes.
pub struct ThreadCommunicator {
    rank: usize,
    group: Arc<Group>,
    /// The outer group; only rank 0 has it.
    outer: Option<Box<dyn Communicator>>,
    /// Rank and size over all processes.
    global: (usize, usize),
}

struct Group {
    size: usize,
    has_outer: bool,
    barrier: SpinBarrier,
    /// What each rank contributes.
    contributions: Vec<Mutex<Vec<f32>>>,
    /// The mean, in as many pieces as there are ranks: each rank sums one.
    means: Vec<Mutex<Vec<f32>>>,
    /// The bytes of each rank of this process, to be gathered.
    own: Vec<Mutex<Vec<u8>>>,
    /// Those of the ranks of all processes.
    gathered: Mutex<Vec<Vec<u8>>>,
}

impl ThreadCommunicator {
    /// `size` communicators, one for each worker thread.
    #[must_use]
    pub fn group(size: usize) -> Vec<Self> {
        Self::members(size, None)
    }

    /// As `group`, each process having `size` threads. The mean is over all threads of all processes.
    #[must_use]
    pub fn group_within(size: usize, outer: Box<dyn Communicator>) -> Vec<Self> {
        Self::members(size, Some(outer))
    }

    fn members(size: usize, mut outer: Option<Box<dyn Communicator>>) -> Vec<Self> {
        let buffers = || (0..size).map(|_| Mutex::default()).collect();
        let group = Arc::new(Group {
            size,
            has_outer: outer.is_some(),
            barrier: SpinBarrier::new(size),
            contributions: buffers(),
            means: buffers(),
            own: (0..size).map(|_| Mutex::default()).collect(),
            gathered: Mutex::default(),
        });
        let (outer_rank, outer_size) = outer.as_ref().map_or((0, 1), |o| (o.rank(), o.size()));
        (0..size)
            .map(|rank| Self {
                rank,
                group: group.clone(),
                outer: outer.take(),
                global: (outer_rank * size + rank, outer_size * size),
            })
            .collect()
    }
}

impl Communicator for ThreadCommunicator {
    fn rank(&self) -> usize {
        self.global.0
    }

    fn size(&self) -> usize {
        self.global.1
    }

    fn all_reduce_mean(&self, values: &mut [f32]) -> Result<(), LostWorker> {
        let group = &*self.group;
        if group.size > 1 {
            {
                let mut own = lock(&group.contributions[self.rank]);
                own.clear();
                own.extend_from_slice(values);
            }
            group.barrier.wait()?;
            {
                let mut mean = lock(&group.means[self.rank]);
                mean.clear();
                let piece = piece(self.rank, group.size, values.len());
                mean.extend_from_slice(&lock(&group.contributions[0])[piece.clone()]);
                for contribution in &group.contributions[1..] {
                    let contribution = lock(contribution);
                    for (sum, value) in mean.iter_mut().zip(&contribution[piece.clone()]) {
                        *sum += value;
                    }
                }
                let share = 1.0 / group.size as f32;
                mean.iter_mut().for_each(|sum| *sum *= share);
            }
            group.barrier.wait()?;
        }
        if group.has_outer {
            if let Some(outer) = &self.outer {
                if group.size > 1 {
                    self.copy_means(values);
                }
                let reduced = outer.all_reduce_mean(values);
                if reduced.is_err() {
                    group.barrier.abort();
                }
                reduced?;
                for (rank, mean) in group.means.iter().enumerate() {
                    let mut mean = lock(mean);
                    mean.clear();
                    mean.extend_from_slice(&values[piece(rank, group.size, values.len())]);
                }
            }
            group.barrier.wait()?;
        }
        if group.size > 1 {
            self.copy_means(values);
        }
        Ok(())
    }

    fn all_gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, LostWorker> {
        let group = &*self.group;
        *lock(&group.own[self.rank]) = bytes.to_vec();
        group.barrier.wait()?;
        if self.rank == 0 {
            let here: Vec<Vec<u8>> = group.own.iter().map(|own| lock(own).clone()).collect();
            let gathered = match &self.outer {
                Some(outer) => self.gather_through(&**outer, &here).inspect_err(|_| {
                    group.barrier.abort();
                })?,
                None => here,
            };
            *lock(&group.gathered) = gathered;
        }
        group.barrier.wait()?;
        Ok(lock(&group.gathered).clone())
    }

    fn abort(&self) {
        self.group.barrier.abort();
        if let Some(outer) = &self.outer {
            outer.abort();
        }
    }
}

impl ThreadCommunicator {
    /// Whether all processes are `ok`. Called by one thread of each process, while no iteration runs.
    pub(crate) fn agree(&self, ok: bool) -> Result<bool, LostWorker> {
        let Some(outer) = &self.outer else {
            return Ok(ok);
        };
        let mut share = [f32::from(u8::from(ok))];
        outer.all_reduce_mean(&mut share)?;
        Ok(share[0] == 1.0)
    }

    /// The bytes of the workers of all processes, of which `here` are those of this one.
    fn gather_through(
        &self,
        outer: &dyn Communicator,
        here: &[Vec<u8>],
    ) -> Result<Vec<Vec<u8>>, LostWorker> {
        let mut gathered = vec![Vec::new(); self.global.1];
        for (thread, bytes) in here.iter().enumerate() {
            for (process, bytes) in outer.all_gather(bytes)?.into_iter().enumerate() {
                gathered[process * here.len() + thread] = bytes;
            }
        }
        Ok(gathered)
    }

    fn copy_means(&self, values: &mut [f32]) {
        let len = values.len();
        for (rank, mean) in self.group.means.iter().enumerate() {
            values[piece(rank, self.group.size, len)].copy_from_slice(&lock(mean));
        }
    }
}

pub(crate) fn piece(rank: usize, size: usize, len: usize) -> std::ops::Range<usize> {
    len * rank / size..len * (rank + 1) / size
}

/// A poisoned lock is one whose holder panicked: it has aborted the group, and what the lock guards is no longer read.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A barrier that spins briefly, because workers arrive within microseconds of each other, and then parks.
struct SpinBarrier {
    size: usize,
    arrived: Mutex<usize>,
    generation: AtomicU32,
    aborted: AtomicBool,
    wake: Condvar,
}

const SPINS: u32 = 4000;

impl SpinBarrier {
    fn new(size: usize) -> Self {
        Self {
            size,
            arrived: Mutex::new(0),
            generation: AtomicU32::new(0),
            aborted: AtomicBool::new(false),
            wake: Condvar::new(),
        }
    }

    fn wait(&self) -> Result<(), LostWorker> {
        let generation = self.generation.load(Ordering::Acquire);
        let open = || {
            self.generation.load(Ordering::Acquire) != generation
                || self.aborted.load(Ordering::Acquire)
        };
        {
            let mut arrived = lock(&self.arrived);
            *arrived += 1;
            if *arrived == self.size {
                *arrived = 0;
                self.generation.fetch_add(1, Ordering::AcqRel);
                self.wake.notify_all();
            }
        }
        for _ in 0..SPINS {
            if open() {
                break;
            }
            std::hint::spin_loop();
        }
        let mut arrived = lock(&self.arrived);
        while !open() {
            arrived = self
                .wake
                .wait(arrived)
                .unwrap_or_else(PoisonError::into_inner);
        }
        drop(arrived);
        if self.aborted.load(Ordering::Acquire) {
            return Err(LostWorker);
        }
        Ok(())
    }

    fn abort(&self) {
        let _arrived = lock(&self.arrived);
        self.aborted.store(true, Ordering::Release);
        self.wake.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `work` once per member and returns the results in the order of the ranks.
    fn on_threads<T: Send>(
        members: Vec<ThreadCommunicator>,
        work: impl Fn(ThreadCommunicator) -> T + Sync,
    ) -> Vec<T> {
        std::thread::scope(|scope| {
            let handles: Vec<_> = members
                .into_iter()
                .map(|member| scope.spawn(|| work(member)))
                .collect();
            handles.into_iter().map(|h| h.join().unwrap()).collect()
        })
    }

    #[test]
    fn the_mean_is_the_same_bits_on_every_worker() {
        let results = on_threads(ThreadCommunicator::group(3), |member| {
            let mut values: Vec<f32> = (0..7)
                .map(|i| (i as f32 + 0.1) * (member.rank() + 1) as f32)
                .collect();
            for _ in 0..100 {
                let mut again = values.clone();
                member.all_reduce_mean(&mut again).unwrap();
            }
            member.all_reduce_mean(&mut values).unwrap();
            values
        });
        for (i, mean) in results[0].iter().enumerate() {
            assert!((mean - 2.0 * (i as f32 + 0.1)).abs() < 1e-5);
        }
        assert_eq!(results[0], results[1]);
        assert_eq!(results[0], results[2]);
    }

    #[test]
    fn groups_within_a_group_average_and_gather_over_all_threads() {
        let outer = ThreadCommunicator::group(2);
        let results: Vec<Vec<(usize, f32)>> = on_threads(outer, |process| {
            let members = ThreadCommunicator::group_within(2, Box::new(process));
            on_threads(members, |member| {
                assert_eq!(member.size(), 4);
                let mut values = [member.rank() as f32];
                member.all_reduce_mean(&mut values).unwrap();
                for round in 0..10 {
                    let gathered = member.all_gather(&[member.rank() as u8, round]).unwrap();
                    assert_eq!(
                        gathered,
                        (0..4).map(|rank| vec![rank, round]).collect::<Vec<_>>()
                    );
                }
                (member.rank(), values[0])
            })
        });
        let ranks: Vec<_> = results.concat();
        assert_eq!(ranks, [(0, 1.5), (1, 1.5), (2, 1.5), (3, 1.5)]);
    }

    #[test]
    fn a_worker_that_stops_frees_the_others() {
        let results = on_threads(ThreadCommunicator::group(2), |member| {
            if member.rank() == 1 {
                member.abort();
                return Ok(());
            }
            member.all_reduce_mean(&mut [0.0])
        });
        assert_eq!(results, [Err(LostWorker), Ok(())]);
    }
}

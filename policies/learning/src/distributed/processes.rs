//! The processes of a distributed training: this one alone, or those of an MPI job (feature `mpi`).

use super::Communicator;

/// What mpirun, srun and other starters of MPI jobs tell each process of a job.
const RANK_VARIABLES: [&str; 3] = ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"];

/// All processes of this training. MPI ends where this is dropped: after every runner that it connects.
pub struct Processes {
    #[cfg(feature = "mpi")]
    job: Option<job::Job>,
}

/// Why this process cannot join the others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// Started as one of several, but built without MPI.
    #[error(
        "started as one process of an MPI job ({variable} is set), but built without MPI; \
         start it as mpirun -n 4 scripts/abs train ..., which builds it with MPI"
    )]
    WithoutMpi {
        /// Variable of the environment that tells so.
        variable: &'static str,
    },
    /// The MPI library does not let other threads than the first communicate.
    #[error(
        "the MPI library does not support MPI_THREAD_SERIALIZED; use one that does, such as OpenMPI"
    )]
    Threading,
}

/// The variable by which one tells that this is a process of an MPI job.
fn launcher() -> Option<&'static str> {
    let mut variables = RANK_VARIABLES.into_iter();
    variables.find(|name| std::env::var_os(name).is_some())
}

impl Processes {
    /// Joins the MPI job that this process was started in, if it was. To be called once, by the main thread.
    ///
    /// # Errors
    /// When the program or the MPI library is not made for it.
    #[cfg(feature = "mpi")]
    pub fn join() -> Result<Self, JoinError> {
        let job = launcher().map(|_| job::Job::join()).transpose()?;
        Ok(Self { job })
    }

    /// This process alone.
    ///
    /// # Errors
    /// When it was started as one of several: this program is built without MPI.
    #[cfg(not(feature = "mpi"))]
    pub fn join() -> Result<Self, JoinError> {
        match launcher() {
            Some(variable) => Err(JoinError::WithoutMpi { variable }),
            None => Ok(Self {}),
        }
    }

    /// The tie to the other processes, if there are any.
    #[must_use]
    pub fn communicator(&self) -> Option<Box<dyn Communicator>> {
        #[cfg(feature = "mpi")]
        if let Some(job) = &self.job {
            return Some(Box::new(job.world));
        }
        None
    }

    /// Index of this process, from 0.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.communicator().map_or(0, |world| world.rank())
    }

    /// Number of processes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.communicator().map_or(1, |world| world.size())
    }

    /// Ends the other processes too, which wait for this one. Without others this does nothing.
    pub fn end_all(&self) {
        #[cfg(feature = "mpi")]
        if let Some(job) = &self.job {
            job.end();
        }
    }
}

#[cfg(feature = "mpi")]
mod job {
    use std::ops::Range;

    use mpi::Threading;
    use mpi::datatype::{Partition, PartitionMut};
    use mpi::environment::Universe;
    use mpi::topology::{Communicator as _, SimpleCommunicator};
    use mpi::traits::CommunicatorCollectives as _;

    use super::super::{Communicator, LostWorker, piece};
    use super::JoinError;

    pub(super) struct Job {
        pub(super) world: World,
        /// Ends MPI when it is dropped.
        _universe: Universe,
    }

    impl Job {
        pub(super) fn join() -> Result<Self, JoinError> {
            // Each iteration's first worker thread communicates, never two threads at once.
            let (universe, threading) = mpi::initialize_with_threading(Threading::Serialized)
                .ok_or(JoinError::Threading)?;
            if threading < Threading::Serialized {
                return Err(JoinError::Threading);
            }
            let world = universe.world();
            let world = World {
                rank: world.rank() as usize,
                size: world.size() as usize,
            };
            Ok(Self {
                world,
                _universe: universe,
            })
        }

        pub(super) fn end(&self) {
            SimpleCommunicator::world().abort(1);
        }
    }

    impl Drop for Job {
        fn drop(&mut self) {
            // To end MPI in good order would mean to wait for the others, which wait for this process.
            if std::thread::panicking() {
                self.end();
            }
        }
    }

    /// All processes of the job. MPI itself ends the job when it cannot communicate, so that no method fails.
    #[derive(Clone, Copy)]
    pub(super) struct World {
        rank: usize,
        size: usize,
    }

    impl World {
        fn pieces(self, len: usize) -> impl Iterator<Item = Range<usize>> {
            (0..self.size).map(move |rank| piece(rank, self.size, len))
        }
    }

    /// MPI's numbers of elements.
    fn counts(lengths: impl Iterator<Item = usize>) -> Vec<i32> {
        lengths.map(|length| length as i32).collect()
    }

    /// Where consecutive parts of these lengths begin.
    fn starts(counts: &[i32]) -> Vec<i32> {
        let mut end = 0;
        let start = |count: &i32| {
            end += count;
            end - count
        };
        counts.iter().map(start).collect()
    }

    impl Communicator for World {
        fn rank(&self) -> usize {
            self.rank
        }

        fn size(&self) -> usize {
            self.size
        }

        /// Each rank sums one piece in the order of the ranks. `MPI_Allreduce` promises neither an order nor the same bits everywhere.
        fn all_reduce_mean(&self, values: &mut [f32]) -> Result<(), LostWorker> {
            if self.size == 1 {
                return Ok(());
            }
            let world = SimpleCommunicator::world();
            let sent = counts(self.pieces(values.len()).map(|piece| piece.len()));
            let sent_from = starts(&sent);
            let own = sent[self.rank];
            let received = vec![own; self.size];
            let mut parts = vec![0.0_f32; own as usize * self.size];
            world.all_to_all_varcount_into(
                &Partition::new(&*values, &*sent, &*sent_from),
                &mut PartitionMut::new(&mut *parts, &*received, starts(&received)),
            );
            let (mean, others) = parts.split_at_mut(own as usize);
            for other in others.chunks_exact(mean.len().max(1)) {
                for (sum, value) in mean.iter_mut().zip(other) {
                    *sum += value;
                }
            }
            let share = 1.0 / self.size as f32;
            mean.iter_mut().for_each(|sum| *sum *= share);
            world.all_gather_varcount_into(
                &*mean,
                &mut PartitionMut::new(values, &*sent, &*sent_from),
            );
            Ok(())
        }

        fn all_gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, LostWorker> {
            let world = SimpleCommunicator::world();
            let mut lengths = vec![0_i32; self.size];
            world.all_gather_into(&(bytes.len() as i32), &mut *lengths);
            let from = starts(&lengths);
            let mut all = vec![0_u8; lengths.iter().map(|&length| length as usize).sum()];
            world.all_gather_varcount_into(
                bytes,
                &mut PartitionMut::new(&mut *all, &*lengths, &*from),
            );
            let parts = from.iter().zip(&lengths);
            Ok(parts
                .map(|(&from, &length)| all[from as usize..][..length as usize].to_vec())
                .collect())
        }

        /// Nothing: the others wait until this process has told its error and then ends them by `Processes::end_all`.
        fn abort(&self) {}
    }
}

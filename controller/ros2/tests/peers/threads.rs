//! Threads that share queues of the DDS library have one priority.

use std::{fs, thread, time::Duration};

use crate::{
    own_network::in_own_network,
    rig::{NO_SPORT_MODE, Robot},
};

/// Name, real-time priority and scheduling policy of each thread (proc_pid_stat(5), fields 2, 40 and 41).
fn threads(pid: u32) -> Vec<(String, u32, u32)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    // A thread may end while its folder is read.
    let stats = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("stat")).ok());
    stats
        .map(|stat| {
            let (before, after) = stat.rsplit_once(')').unwrap();
            let (_, name) = before.split_once('(').unwrap();
            let fields: Vec<&str> = after.split_whitespace().collect();
            let number = |field: usize| fields[field - 3].parse().unwrap();
            (name.to_owned(), number(40), number(41))
        })
        .collect()
}

#[test]
fn threads_that_share_dds_queues_have_one_priority() {
    in_own_network(
        "threads::threads_that_share_dds_queues_have_one_priority",
        || {
            let robot = Robot::start(18, NO_SPORT_MODE, &[]);
            robot.wait_for("no state of the robot");
            // The names of threads are set by the threads themselves.
            thread::sleep(Duration::from_millis(200));
            let threads = threads(robot.helper("abs-dds"));
            let of_dds: Vec<_> = (threads.iter())
                .filter(|(name, ..)| {
                    ["abs-dds", "states"].contains(&name.as_str()) || name.starts_with("RustDDS")
                })
                .collect();
            assert!(of_dds.len() >= 4, "{threads:?}");
            let (_, priority, policy) = of_dds[0];
            assert!(
                of_dds.iter().all(|(_, p, q)| (p, q) == (priority, policy)),
                "{threads:?}"
            );
            robot.end();
        },
    );
}

//! A network namespace for each test.

use std::{
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

use rustix::process::{Signal, set_parent_process_death_signal};

/// Set for the process inside the namespace.
const INSIDE: &str = "ABS_TEST_NAMESPACE";

/// Real-time threads of several tests at once would hold each other up.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Whether this process is inside the namespace.
pub fn is_own_network() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs the test `name` in a network namespace with nothing but a loopback that can multicast.
pub fn in_own_network(name: &str, test: fn()) {
    if is_own_network() {
        return test();
    }
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let setup =
        "ip link set lo up && ip link set lo multicast on && ip route add 224.0.0.0/4 dev lo";
    let allowed = Command::new("unshare")
        .args(["-n", "sh", "-c", setup])
        .stderr(Stdio::null())
        .status();
    if !allowed.is_ok_and(|status| status.success()) {
        println!("{name}: no network namespace allowed, on the machine's own loopback");
        return test();
    }
    let status = with_this_process(&mut Command::new("unshare"))
        .args(["-n", "sh", "-c", &format!("{setup} && exec \"$@\""), "sh"])
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{name} in its own network");
}

/// A process that is killed when this one ends, however it ends.
pub fn with_this_process(command: &mut Command) -> &mut Command {
    let die = || Ok(set_parent_process_death_signal(Some(Signal::KILL))?);
    // SAFETY: it runs between fork and exec, and makes one system call.
    unsafe { command.pre_exec(die) }
}

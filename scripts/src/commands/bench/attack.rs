//! `abs deploy` with a standing robot, in a network of its own with an attacker.

mod packets;
mod peer;

use std::{
    fs::{self, File},
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use serde::Serialize;

use crate::commands::memory::{children, peak_mb};

use self::{
    packets::{Damage, Seed, Writer},
    peer::Peer,
};

/// Set for the process inside the namespace.
const INSIDE: &str = "ABS_BENCH_NAMESPACE";
/// A loopback with multicast, and nothing else.
const NETWORK: &str =
    "ip link set lo up && ip link set lo multicast on && ip route add 224.0.0.0/4 dev lo";
/// The domain, alone in its network.
const DOMAIN: u16 = 0;
/// Datagrams from one step of the peer to the next, 2 ms.
const BURST: u64 = 50;
/// How long the robot is watched after the last datagram of a kind.
const AFTERWARDS: Duration = Duration::from_millis(200);
/// The robot stands again after this time, or the program does not survive the attack.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest time from a stiff command to the next.
const MAX_SILENCE_MS: f64 = 40.0;

/// Results of `abs bench attack`.
#[derive(Serialize)]
pub struct AttackReport {
    /// Sent in all.
    datagrams: u64,
    /// Longest time from a stiff command to the next command, which goes on or damps, as the robot sees it.
    max_silence_ms: f64,
    /// How often the robot was damped.
    damped: usize,
    /// Memory that the run, and DDS beside it, took beyond what they had at the start.
    run_memory_mb: f64,
    dds_memory_mb: f64,
    /// Longest time without a message of the program on `abs/state`.
    max_link_silence_s: f64,
    attacks: Vec<Attack>,
}

/// One kind of datagram.
#[derive(Serialize)]
struct Attack {
    submessage: &'static str,
    damage: &'static str,
    port: &'static str,
    datagrams: u64,
    silence_ms: f64,
    damped: usize,
    link_silence_s: f64,
}

/// Sends `datagrams`, in a network namespace of its own. None in the process that has only started the one inside.
///
/// # Errors
/// One line when the system allows no namespace, or the robot was left stiff.
pub fn measure(bundle: Option<&Path>, datagrams: u64) -> Result<Option<AttackReport>> {
    if std::env::var_os(INSIDE).is_none() {
        let status = Command::new("unshare")
            .args(["-n", "sh", "-c", &format!("{NETWORK} && exec \"$@\""), "sh"])
            .arg(std::env::current_exe()?)
            .args(std::env::args_os().skip(1))
            .env(INSIDE, "1")
            .status()
            .context("cannot start unshare")?;
        ensure!(
            status.success(),
            "the attack failed; for its network namespace it takes root, and the programs unshare and ip"
        );
        return Ok(None);
    }
    let bundle = match bundle {
        Some(folder) => folder.to_owned(),
        None => crate::repository::shipped_bundle("go1")?,
    };
    let folder = tempfile::tempdir()?;
    let mut scene = Scene::start(bundle, &folder.path().join("deploy.txt"))?;
    let seeds = packets::seeds();
    let kinds = seeds.len() * Damage::ALL.len() * Port::ALL.len();
    let mut random = Pcg64::seed_from_u64(0);
    let mut attacks = Vec::new();
    for seed in &seeds {
        for damage in Damage::ALL {
            for port in Port::ALL {
                let share = (datagrams / kinds as u64).max(1);
                attacks.push(scene.attack(seed, damage, port, share, &mut random)?);
            }
        }
    }
    let longest = |value: fn(&Attack) -> f64| attacks.iter().map(value).fold(0.0, f64::max);
    Ok(Some(AttackReport {
        datagrams: attacks.iter().map(|attack| attack.datagrams).sum(),
        max_silence_ms: longest(|attack| attack.silence_ms),
        damped: attacks.iter().map(|attack| attack.damped).sum(),
        run_memory_mb: scene.more_mb[0],
        dds_memory_mb: scene.more_mb[1],
        max_link_silence_s: longest(|attack| attack.link_silence_s),
        attacks,
    }))
}

impl AttackReport {
    /// One line for each kind of datagram, and the totals.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{:<22} {:<8} {:<10} {:>9} {:>11} {:>7} {:>15}\n",
            "submessage", "damage", "port", "datagrams", "silence, ms", "damped", "link silence, s"
        );
        for attack in &self.attacks {
            text += &format!(
                "{:<22} {:<8} {:<10} {:>9} {:>11.1} {:>7} {:>15.2}\n",
                attack.submessage,
                attack.damage,
                attack.port,
                attack.datagrams,
                attack.silence_ms,
                attack.damped,
                attack.link_silence_s
            );
        }
        text + &format!(
            "{} kinds, {} datagrams: at most {:.1} ms from a stiff command to the next, damped {} times, memory of run and DDS +{:.1} and +{:.1} MB",
            self.attacks.len(),
            self.datagrams,
            self.max_silence_ms,
            self.damped,
            self.run_memory_mb,
            self.dds_memory_mb
        )
    }

    /// # Errors
    /// When the robot was left stiff.
    pub fn check(&self) -> Result<()> {
        let worst = (self.attacks.iter())
            .max_by(|a, b| a.silence_ms.total_cmp(&b.silence_ms))
            .context("no attack")?;
        ensure!(
            worst.silence_ms <= MAX_SILENCE_MS,
            "the robot was left stiff for {:.1} ms by {}, {}, at the {} port",
            worst.silence_ms,
            worst.submessage,
            worst.damage,
            worst.port
        );
        Ok(())
    }
}

/// Which of the two ports of a participant.
#[derive(Clone, Copy)]
enum Port {
    Discovery,
    User,
}

impl Port {
    const ALL: [Self; 2] = [Self::Discovery, Self::User];

    const fn name(self) -> &'static str {
        match self {
            Self::Discovery => "discovery",
            Self::User => "user",
        }
    }

    /// Of participant `index` (RTPS 2.3, section 9.6.1.1).
    const fn number(self, index: u16) -> u16 {
        let of_domain = 7400 + 250 * DOMAIN + 2 * index;
        match self {
            Self::Discovery => of_domain + 10,
            Self::User => of_domain + 11,
        }
    }
}

/// `abs deploy`, and its robot.
struct Scene {
    deploy: Running,
    says: PathBuf,
    peer: Peer,
    socket: UdpSocket,
    before_mb: [f64; 2],
    more_mb: [f64; 2],
}

impl Scene {
    fn start(bundle: PathBuf, says: &Path) -> Result<Self> {
        // Participant 0, which is not attacked.
        let peer = Peer::new(DOMAIN)?;
        let output = File::create(says)?;
        let child = Command::new(std::env::current_exe()?)
            .args(["deploy", "--interface", "lo", "--domain", "0"])
            .args(["--set", "ros2.release_sport_mode=false", "--bundle"])
            .arg(bundle)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("cannot start abs deploy")?;
        let mut scene = Self {
            deploy: Running(child),
            says: says.to_owned(),
            peer,
            socket: UdpSocket::bind("127.0.0.1:0")?,
            before_mb: [f64::MAX; 2],
            more_mb: [0.0; 2],
        };
        scene.stand()?;
        scene.before_mb = scene.peak_mb();
        Ok(scene)
    }

    /// Leads the robot to stand.
    fn stand(&mut self) -> Result<()> {
        let start = Instant::now();
        while !self.peer.step_to_ready() {
            if let Some(status) = self.deploy.0.try_wait()? {
                bail!("abs deploy has ended, {status}: {}", self.last_words());
            }
            ensure!(
                start.elapsed() < PATIENCE,
                "the robot does not stand, it is in state `{}`: {}",
                self.peer.state(),
                self.last_words()
            );
        }
        Ok(())
    }

    fn attack(
        &mut self,
        seed: &Seed,
        damage: Damage,
        port: Port,
        datagrams: u64,
        random: &mut Pcg64,
    ) -> Result<Attack> {
        self.peer.forget();
        let writers = Writer::all(self.peer.writers());
        for number in 0..datagrams {
            let writer = &writers[random.random_range(0..writers.len())];
            let packet = seed.packet(writer, damage, random);
            // The program is the next participant; now and then another, if there is one.
            let index = match random.random_ratio(1, 10) {
                true => random.random_range(1..10),
                false => 1,
            };
            let _ = self
                .socket
                .send_to(&packet, ("127.0.0.1", port.number(index)));
            if number % BURST == 0 {
                self.peer.step();
            }
        }
        let end = Instant::now();
        while end.elapsed() < AFTERWARDS {
            self.peer.step();
        }
        self.stand()?;
        let now_mb = self.peak_mb();
        for (index, now_mb) in now_mb.into_iter().enumerate() {
            self.more_mb[index] = self.more_mb[index].max(now_mb - self.before_mb[index]);
        }
        let seen = self.peer.seen();
        Ok(Attack {
            submessage: seed.name,
            damage: damage.name(),
            port: port.name(),
            datagrams,
            silence_ms: seen.silence.as_secs_f64() * 1e3,
            damped: seen.damped,
            link_silence_s: seen.link_silence.as_secs_f64(),
        })
    }

    /// The most memory that the run, and the largest of the processes beside it, have had, MB.
    fn peak_mb(&self) -> [f64; 2] {
        let run = self.deploy.0.id();
        let beside = children(run).into_iter().filter_map(peak_mb);
        let beside = beside.fold(0.0, f64::max);
        [peak_mb(run).unwrap_or_default(), beside]
    }

    /// The last line that the program has said.
    fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.says).unwrap_or_default();
        text.lines().last().unwrap_or_default().to_owned()
    }
}

/// A process that is killed when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

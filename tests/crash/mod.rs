//! The engine dies at every place between two durable states, and at random ones, by a kill and by
//! a loss of power; then it is started again. What it comes to must be what it comes to undisturbed:
//! nothing lost, nothing doubled, nothing wrong.
//!
//! The method is that of mbsync (one run for each write operation) and of SQLite (and again while
//! recovering). The places are the engine's fault points (`engine/fault_point.rs`).

mod load;
mod power;
mod race;
mod store;
mod sweep;
mod world;

/// How a process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// SIGKILL: what was written is there.
    Kill,
    /// What was not synced is lost, all of it with seed 0, else some of it.
    Power { seed: u64 },
}

/// A step of splitmix64: the next number of a seed.
pub fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The seed of this run: `MAILMILL_TEST_SEED`, else another one each time.
pub fn seed() -> u64 {
    let given = std::env::var("MAILMILL_TEST_SEED").ok();
    let seed = given.map_or_else(|| u64::from(std::process::id()), |seed| seed.parse().unwrap());
    println!("MAILMILL_TEST_SEED={seed}");
    seed
}

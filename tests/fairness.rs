//! Accounts that flood and one whose server hangs do not slow the others: a trickling message's way to
//! its folder, in calm and in the flood, on the same engine in the same run.
//!
//! `MAILMILL_TEST_FLOOD` sets another number of flooding messages. The figure for 100,000 of them:
//! `cargo run --release --example fairness`.

use std::time::Instant;

use crate::support::fairness::{
    RULE, are_drained, config, flooding, hanging_server, make_maildir, pour, trickle,
};
use crate::support::mill::Mill;

/// Messages of the flood in a debug build.
const FLOOD: usize = 3_000;
/// Messages that trickle in calm.
const CALM: usize = 30;
/// A message may take so many times as long as in calm, and this part of the flood besides: on a busy
/// machine the flood's work is slow, and what little of it a message waits for as well. Who waits for
/// the flood's windows, or for its end, takes several times as long.
const RATIO: u32 = 5;
const PART: u32 = 20;

#[test]
fn floods_and_a_hanging_server_leave_the_others_calm() {
    let count = std::env::var("MAILMILL_TEST_FLOOD").map_or(FLOOD, |count| count.parse().unwrap());
    // More than there are threads that decide, on most machines.
    let names = flooding(3);
    let mill = Mill::new(&config(&names, hanging_server().unwrap()));
    mill.write("scripts/file.rhai", RULE);
    let trickling = mill.path("trickle");
    let floods: Vec<_> = names.iter().map(|name| mill.path(name)).collect();
    floods.iter().chain([&trickling]).for_each(|maildir| make_maildir(maildir).unwrap());
    let _engine = mill.start();

    // The first message waits for the engine's start.
    trickle(&trickling, |sent| Ok(sent == 1)).unwrap();
    let calm = trickle(&trickling, |sent| Ok(sent == CALM)).unwrap();
    floods.iter().for_each(|flood| pour(flood, count / floods.len()).unwrap());
    let started = Instant::now();
    let flooded = trickle(&trickling, |_| are_drained(&floods)).unwrap();
    let flood = started.elapsed();
    println!("calm:  {calm}\nflood: {flooded}, {count} messages in {flood:.1?}");
    assert!(flooded.count() >= 10, "the flood was over too soon to show anything: {flooded}");
    for percent in [50, 90] {
        let (in_calm, in_flood) = (calm.percentile(percent), flooded.percentile(percent));
        let most = in_calm * RATIO + flood / PART;
        assert!(in_flood <= most, "p{percent} is over {most:?}\ncalm:  {calm}\nflood: {flooded}");
    }
}

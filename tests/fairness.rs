//! One account that floods and one whose server hangs do not slow the others: a trickling message's
//! way to its folder, in calm and in the flood, on the same engine in the same run.
//!
//! `MAILMILL_TEST_FLOOD` sets another number of flooding messages.

use crate::support::fairness::{
    self, RULE, config, hanging_server, is_drained, make_maildir, pour,
};
use crate::support::mill::Mill;

/// Messages of the flood in a debug build.
const FLOOD: usize = 4_000;
/// Messages that trickle in calm.
const CALM: usize = 30;

#[test]
fn a_flood_and_a_hanging_server_leave_the_others_calm() {
    let flood = std::env::var("MAILMILL_TEST_FLOOD").map_or(FLOOD, |count| count.parse().unwrap());
    let mill = Mill::new(&config(hanging_server().unwrap()));
    mill.write("scripts/file.rhai", RULE);
    let (flooding, trickling) = (mill.path("flood"), mill.path("trickle"));
    make_maildir(&flooding).unwrap();
    make_maildir(&trickling).unwrap();
    let _engine = mill.start();

    // The first message waits for the engine's start.
    fairness::trickle(&trickling, |sent| Ok(sent == 1)).unwrap();
    let calm = fairness::trickle(&trickling, |sent| Ok(sent == CALM)).unwrap();
    pour(&flooding, flood).unwrap();
    let flooded = fairness::trickle(&trickling, |_| is_drained(&flooding)).unwrap();
    println!("calm:  {calm}\nflood: {flooded} ({flood} flooding)");
    assert!(flooded.count() >= 10, "the flood was over too soon to show anything: {flooded}");
}

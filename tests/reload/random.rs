//! Random edits: after each, what is in force is exactly what a fresh look at the files says, and the
//! next message is decided by it. The seed is printed; `MAILMILL_SEED` sets it.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::{CONFIG, decided, json, mill, rule, started};
use crate::support::mill::{Mill, signal};

/// A small generator, so that a seed says everything.
pub struct Dice(u64);

impl Dice {
    pub fn seeded() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let given = std::env::var("MAILMILL_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed: u64 = given.unwrap_or(now | 1);
        println!("MAILMILL_SEED={seed}");
        Self(seed)
    }

    /// A number below `sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

const STEPS: [&str; 3] = ["sort", "second", "third"];

/// Changes something at random, and says what.
fn edit(mill: &Mill, dice: &mut Dice, number: usize) -> String {
    let name = STEPS[dice.roll(3) as usize];
    let file = mill.path(&format!("scripts/{name}.rhai"));
    match dice.roll(9) {
        0 | 1 => {
            let _ = fs::remove_file(&file);
            fs::write(&file, rule(&format!("r{number}"))).unwrap();
            format!("{name} is r{number}")
        }
        2 => {
            let _ = fs::remove_file(&file);
            fs::write(&file, "fn inbound(mail) { mail.mov_to(1); }").unwrap();
            format!("{name} is broken")
        }
        3 => {
            let _ = fs::remove_file(&file);
            format!("{name} is gone")
        }
        4 => {
            let other = mill.path(&format!("elsewhere-{number}.rhai"));
            fs::write(&other, rule(&format!("l{number}"))).unwrap();
            let link = mill.path("scripts/.link");
            symlink(&other, &link).unwrap();
            fs::rename(&link, &file).unwrap();
            format!("{name} is a link to l{number}")
        }
        5 => {
            let steps: Vec<_> = (0..=dice.roll(3)).map(|_| STEPS[dice.roll(3) as usize]).collect();
            let steps = steps.iter().map(|step| format!("{{ script = \"{step}\" }}"));
            let steps = steps.collect::<Vec<_>>().join(", ");
            mill.write("mailmill.toml", CONFIG.replace("{ script = \"sort\" }", &steps));
            format!("the steps are {steps}")
        }
        6 => {
            mill.write("mailmill.toml", "[accounts.office\n");
            "the configuration is broken".into()
        }
        7 => {
            mill.write("mailmill.toml", CONFIG);
            "the configuration is the first".into()
        }
        _ => {
            fs::rename(mill.path("scripts"), mill.path("away")).unwrap();
            fs::rename(mill.path("away"), mill.path("scripts")).unwrap();
            "the folder was away".into()
        }
    }
}

#[test]
fn what_is_in_force_is_always_what_a_fresh_look_says() {
    let mut dice = Dice::seeded();
    let mill = mill(CONFIG);
    let mut running = started(&mill);
    let mut story = Vec::new();
    let mut good = mailmill::pipeline::load(&mill.path("mailmill.toml")).outcome.unwrap();
    for number in 0..25 {
        for _ in 0..=dice.roll(2) {
            story.push(edit(&mill, &mut dice, number));
        }
        let told = match dice.roll(5) {
            0 => {
                signal(running.pid(), "HUP");
                mill.call(&["reload", "--wait", "--json"])
            }
            _ => mill.call(&["reload", "--wait", "--json"]),
        };
        let told: Value = json(&String::from_utf8_lossy(&told.stdout));
        match mailmill::pipeline::load(&mill.path("mailmill.toml")).outcome {
            Ok(fresh) => {
                assert!(["in_force", "unchanged"].map(Value::from).contains(&told["result"]));
                assert_eq!(told["digest"], fresh.generation.digest, "{story:#?}");
                good = fresh;
            }
            Err(faults) => {
                assert_eq!(told["result"], "refused", "{faults}\n{story:#?}");
                let count = told["faults"].as_array().unwrap().len();
                assert_eq!(count, faults.0.len(), "{story:#?}");
            }
        }
        let done = decided(&mill, &mut running, &format!("m{number}"));
        assert_eq!(done["digest"], good.generation.digest, "{done}\n{story:#?}");
        if dice.roll(8) == 0 && mill.call(&["check"]).status.code() == Some(0) {
            story.push("killed".into());
            running.kill();
            running = mill.start();
            running.wait_event("started");
        }
    }
}

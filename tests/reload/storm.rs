//! The storm: a thousand writes in ten seconds, half of them broken, while mail flows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::random::Dice;
use super::{CONFIG, json, mail, mill, rule, started};
use crate::support::mill::Mill;

const WRITES: u32 = 1_000;
const GUSTS: u32 = 20;
const MESSAGES: u32 = 2_000;
const TIME: Duration = Duration::from_secs(10);

/// Does `each` so many times, spread over the time of the storm.
fn spread(times: u32, mut each: impl FnMut(u32)) {
    let began = Instant::now();
    for number in 0..times {
        each(number);
        let due = TIME * (number + 1) / times;
        std::thread::sleep(due.saturating_sub(began.elapsed()));
    }
}

/// The writes come in gusts, so that some of what they leave is read under way.
fn gusts(mut each: impl FnMut(u32)) {
    let began = Instant::now();
    for gust in 0..GUSTS {
        let own = WRITES / GUSTS;
        (gust * own..(gust + 1) * own).for_each(&mut each);
        let due = TIME * (gust + 1) / GUSTS;
        std::thread::sleep(due.saturating_sub(began.elapsed()));
    }
}

/// One write of the storm: half are broken.
fn write(folder: &Path, dice: &mut Dice, number: u32) {
    let file = folder.join("scripts/sort.rhai");
    let right = rule(&format!("w{number}"));
    let text = match dice.roll(4) {
        0 => right[..right.len() / 2].to_owned(),
        1 => "fn inbound(mail) { mail.mov_to(1); }".to_owned(),
        _ => right,
    };
    match dice.roll(4) {
        0 => fs::write(&file, text).unwrap(),
        1 => {
            let new = folder.join("scripts/.sort.new");
            fs::write(&new, text).unwrap();
            fs::rename(new, &file).unwrap();
        }
        2 => {
            let target = folder.join(format!("target-{}.rhai", number % 7));
            fs::write(&target, text).unwrap();
            let link = folder.join("scripts/.link");
            symlink(target, &link).unwrap();
            fs::rename(link, &file).unwrap();
        }
        _ => {
            fs::rename(folder.join("scripts"), folder.join("away")).unwrap();
            fs::rename(folder.join("away"), folder.join("scripts")).unwrap();
            fs::write(&file, text).unwrap();
        }
    }
}

/// Every message that lies in the Maildir, by its mailbox.
fn filed(mill: &Mill) -> BTreeMap<String, Vec<String>> {
    let mut filed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for folder in fs::read_dir(mill.path("maildir")).unwrap() {
        let folder = folder.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let Some(mailbox) = name.strip_prefix('.') else { continue };
        for part in ["new", "cur"] {
            for message in fs::read_dir(folder.join(part)).into_iter().flatten() {
                let text = fs::read_to_string(message.unwrap().path()).unwrap();
                let subject = text.lines().find_map(|line| line.strip_prefix("Subject: "));
                filed.entry(mailbox.into()).or_default().push(subject.unwrap().into());
            }
        }
    }
    filed
}

#[test]
fn in_a_storm_every_message_is_decided_once_by_one_accepted_generation() {
    let mut dice = Dice::seeded();
    let mill = mill(&format!("[engine]\nquiet = \"50ms\"\n{CONFIG}"));
    let mut running = started(&mill);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            spread(MESSAGES, |number| {
                mill.deliver("maildir", &format!("s{number}"), mail(&format!("s{number}")));
            });
        });
        gusts(|number| write(&mill.path(""), &mut dice, number));
    });
    mill.write("scripts/last.rhai", rule("last"));
    fs::rename(mill.path("scripts/last.rhai"), mill.path("scripts/sort.rhai")).unwrap();
    let last = mailmill::pipeline::load(&mill.path("mailmill.toml")).outcome.unwrap();
    running.wait_for("the last rule", |event| {
        event["event"] == "in_force" && event["digest"] == last.generation.digest
    });
    mill.deliver("maildir", "end", mail("end"));
    let done = running.wait_for("the last message", |event| event["subject"] == "end");
    assert_eq!(done["did"][0], "moved to last");
    let subjects: BTreeSet<String> = (0..MESSAGES).map(|number| format!("s{number}")).collect();
    let seen = |event: &Value| subjects.contains(event["subject"].as_str().unwrap_or_default());
    while running.seen().iter().filter(|event| seen(event)).count() < subjects.len() {
        running.wait_for("every message", seen);
    }

    // The generations that were in force, by number.
    let accepted: BTreeMap<u64, &str> = running
        .seen()
        .iter()
        .filter(|event| event["event"] == "in_force")
        .map(|event| (event["generation"].as_u64().unwrap(), event["digest"].as_str().unwrap()))
        .chain([(1, running.seen()[0]["digest"].as_str().unwrap())])
        .collect();
    println!("{} generations were in force", accepted.len());
    assert!(accepted.len() > 2, "rules came into force under way");
    let records = mill.expect(0, &["explain", "--limit", "10000", "--json"]);
    let mut told = BTreeSet::new();
    let mut rules: BTreeMap<u64, String> = BTreeMap::new();
    for record in records.lines().map(json) {
        let (subject, decision) = (record["subject"].as_str().unwrap(), &record["decision"]);
        assert!(told.insert(subject.to_owned()), "{subject} was decided twice");
        assert_eq!(record["state"], "settled", "{record}");
        let generation = decision["generation"].as_u64().unwrap();
        assert_eq!(accepted.get(&generation).copied(), decision["digest"].as_str(), "{record}");
        let rule = decision["tags"]["rule"].as_str().unwrap().to_owned();
        let known = rules.entry(generation).or_insert_with(|| rule.clone());
        assert_eq!(*known, rule, "one generation has one rule");
    }
    assert!(subjects.is_subset(&told), "some were not decided");
    let filed: Vec<String> = filed(&mill).into_values().flatten().collect();
    let once: BTreeSet<String> = filed.iter().cloned().collect();
    assert_eq!(filed.len(), once.len(), "none is there twice");
    assert_eq!(once.len(), subjects.len() + 2, "none is lost");
}

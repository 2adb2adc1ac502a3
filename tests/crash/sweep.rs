//! The sweep over all fault points.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::world::{End, Home, LOOK, World};
use super::{Death, random, seed};
use crate::support::dovecot::{Dovecot, Profile};

/// Runs at a time: they wait for disks and servers more than they compute.
const AT_ONCE: usize = 4;

/// One run: where and how the engine dies, and again while it recovers.
#[derive(Debug, Clone)]
struct Run {
    deaths: Vec<(usize, Death)>,
}

/// All runs over a model and what they are to come to.
struct Sweep<'d> {
    model: World<'d>,
    points: Vec<String>,
    expected: End,
    runs: Vec<Run>,
    next: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

impl<'d> Sweep<'d> {
    fn new(home: Home<'d>) -> Self {
        let sweep = Self::over(World::model(home));
        sweep.expected.check();
        sweep
    }

    fn over(model: World<'d>) -> Self {
        let unbroken = model.copy(0);
        let points = unbroken.points(LOOK);
        let expected = unbroken.end();
        let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        Self { model, points, expected, runs: Vec::new(), next, failures }
    }

    /// Dies at each point.
    fn each(&mut self, how: impl Fn(usize) -> Death) {
        let deaths = (1..=self.points.len()).map(|point| vec![(point, how(point))]);
        self.runs.extend(deaths.map(|deaths| Run { deaths }));
    }

    /// Dies at every `step`th point, and twice more while it recovers.
    fn again(&mut self, step: usize, how: impl Fn(usize) -> Death, seed: &mut u64) {
        for point in (1..=self.points.len()).step_by(step) {
            let mut deaths = vec![(point, how(point))];
            for _ in 0..2 {
                let left = (self.points.len() - point).max(8) as u64;
                let point = 1 + usize::try_from(random(seed) % left).unwrap();
                deaths.push((point, how(point)));
            }
            self.runs.push(Run { deaths });
        }
    }

    fn run(self, what: &str) {
        let started = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| self.work());
            }
        });
        let (count, points) = (self.runs.len(), self.points.len());
        println!("{what}: {count} runs over {points} points in {:.1?}", started.elapsed());
        let failures = self.failures.into_inner().unwrap();
        let shown: Vec<_> = failures.iter().take(5).map(String::as_str).collect();
        assert!(failures.is_empty(), "{} of {count} failed:\n{}", failures.len(), shown.join("\n"));
    }

    fn work(&self) {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(run) = self.runs.get(number) else { return };
            if let Err(why) = self.one(number + 1, run) {
                let point = &self.points[run.deaths[0].0 - 1];
                self.failures.lock().unwrap().push(format!("{run:?} at {point}: {why}"));
            }
        }
    }

    fn one(&self, number: usize, run: &Run) -> Result<(), String> {
        let world = self.model.copy(number);
        for death in &run.deaths {
            world.run(Some(*death));
        }
        let last = world.run(None);
        let log = String::from_utf8_lossy(&last.stdout).into_owned();
        if last.status.code() != Some(0) {
            return Err(format!("no recovery: {}\n{log}", String::from_utf8_lossy(&last.stderr)));
        }
        let end = world.end();
        if end != self.expected {
            return Err(format!("{}\n{log}", self.expected.difference(&end)));
        }
        if number.is_multiple_of(10) {
            let idle = String::from_utf8(world.run(None).stdout).unwrap();
            if idle.contains("\"event\":\"done\"") || world.end() != self.expected {
                return Err(format!("one more run does something: {idle}"));
            }
        }
        Ok(())
    }
}

/// Everything lost with one point, something of it with the next.
fn power(seed: u64) -> impl Fn(usize) -> Death {
    move |point| Death::Power {
        seed: if point.is_multiple_of(2) { 0 } else { seed + point as u64 },
    }
}

#[test]
fn a_maildir_account_comes_to_the_same_end_wherever_it_is_killed() {
    let mut seed = seed();
    let mut sweep = Sweep::new(Home::Maildir);
    sweep.each(|_| Death::Kill);
    sweep.again(3, |_| Death::Kill, &mut seed);
    sweep.run("Maildir, kill");
}

#[test]
fn a_maildir_account_comes_to_the_same_end_wherever_the_power_goes() {
    let mut seed = seed();
    let mut sweep = Sweep::new(Home::Maildir);
    sweep.each(|_| Death::Power { seed: 0 });
    sweep.each(power(seed));
    sweep.again(3, power(seed), &mut seed);
    sweep.run("Maildir, power");
}

#[test]
fn a_store_that_is_still_to_be_made_survives_its_first_run() {
    let seed = seed();
    let mut sweep = Sweep::over(World::fresh(Home::Maildir));
    sweep.points.truncate(30);
    sweep.each(|_| Death::Kill);
    sweep.each(|_| Death::Power { seed: 0 });
    sweep.each(power(seed));
    sweep.run("first run");
}

#[test]
fn an_imap_account_with_move_comes_to_the_same_end_wherever_the_engine_dies() {
    sweep_imap(Profile::Exchange, "IMAP with MOVE");
}

#[test]
fn an_imap_account_without_move_comes_to_the_same_end_wherever_the_engine_dies() {
    sweep_imap(Profile::NoMove, "IMAP without MOVE");
}

fn sweep_imap(profile: Profile, what: &str) {
    let mut seed = seed();
    let dovecot = Dovecot::start(profile);
    let mut sweep = Sweep::new(Home::Imap(&dovecot));
    sweep.each(|_| Death::Kill);
    sweep.each(power(seed));
    sweep.again(4, |_| Death::Kill, &mut seed);
    sweep.run(what);
}

//! The gate before a reload, as a library: it lets right rules pass and refuses wrong and slow ones.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mailmill::config::Config;
use mailmill::fault::Faults;
use mailmill::pipeline::Generation;
use mailmill::pipeline::case::{self, Test};
use mailmill::pipeline::gate::{self, BUDGET, GateReport};

use super::{INVOICE, mill};
use crate::support::mill::Mill;

/// One case that gates, one that does not and would fail, one of a step that no pipeline uses.
fn tests() -> String {
    let case = |name: &str, keys: &str, expect: &str| {
        format!("[[case]]\nname = \"{name}\"\n{INVOICE}{keys}\nexpect = {{ {expect} }}\n\n")
    };
    [
        case("filed", "gate = true", "contains = [{ action = 'move_to', mailbox = 'Invoices' }]"),
        case("not asked", "gate = false", "verdict = 'stop'"),
        case("unused", "gate = true\nstep = \"route\"", "verdict = 'stop'"),
    ]
    .concat()
}

fn loaded(mill: &Mill) -> (Arc<Generation>, Arc<[Test]>) {
    let config = Config::load(&mill.path("mailmill.toml")).unwrap();
    let tests = case::beside(&config).unwrap();
    (Arc::new(Generation::load(&config).unwrap()), tests.into())
}

fn passed(mill: &Mill, budget: Duration) -> Result<GateReport, Faults> {
    let (generation, tests) = loaded(mill);
    gate::run(&generation, &tests, budget)
}

#[test]
fn right_rules_pass_and_only_cases_that_gate_are_asked() {
    let report = passed(&mill(&tests()), BUDGET).unwrap();
    assert_eq!(report.messages, 1);
    assert_eq!(report.skipped, ["scripts/sort.test.toml:24"]);
}

#[test]
fn a_generation_without_any_case_passes() {
    let mill = mill("[[case]]\nname = \"x\"\nmessage = \"sort.rhai\"\nexpect.verdict = \"stop\"\n");
    assert_eq!(passed(&mill, BUDGET).unwrap().messages, 0);
}

#[test]
fn wrong_rules_are_refused_with_both_places() {
    let mill = mill(&tests());
    let (old, tests) = loaded(&mill);
    let right = std::fs::read_to_string(mill.path("scripts/sort.rhai")).unwrap();
    mill.write("scripts/sort.rhai", right.replace("Invoices", "Invoice"));
    let (new, _) = loaded(&mill);
    let refused = gate::run(&new, &tests, BUDGET).unwrap_err();
    insta::assert_snapshot!(refused.to_string());
    assert!(gate::run(&old, &tests, BUDGET).is_ok(), "the old rules still pass");
}

#[test]
fn a_rule_that_fails_is_refused() {
    let mill = mill(&tests());
    mill.write("scripts/sort.rhai", "fn inbound(mail) { throw \"on purpose\"; }");
    let told = passed(&mill, BUDGET).unwrap_err().to_string();
    assert!(told.contains("error: expected none, came") && told.contains("sort.rhai:1"), "{told}");
}

#[test]
fn what_is_not_through_in_time_is_refused_at_once() {
    let slow: String = (0..200)
        .map(|n| {
            format!(
                "[[case]]\nname = \"slow {n}\"\ngate = true\n{INVOICE}expect.verdict = \"hold\"\n\
                 expect.error = \"operations\"\n"
            )
        })
        .collect();
    let mill = mill(&slow);
    mill.write("scripts/sort.rhai", "fn inbound(mail) {\n    while true { }\n}\n");
    let (generation, tests) = loaded(&mill);
    let started = Instant::now();
    let refused = gate::run(&generation, &tests, Duration::from_millis(20)).unwrap_err();
    // 200 rules that run into their limit take many seconds; who waits for the gate does not.
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let late = refused.0.last().unwrap();
    assert!(late.what.contains("not through after 20ms; the case \"slow "), "{late}");
    assert!(late.line > 0 && late.help.as_ref().unwrap().contains("gate = true"), "{late}");
}

//! Plugins that loop, grow, recurse, trap, flood and lie: each is one failed step with a clear line,
//! and everything else goes on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mailmill::mail::{MailboxName, Message, Uid};
use mailmill::pipeline::table::Tables;
use mailmill::pipeline::{
    Decision, Direction, Input, Limits, NoMemory, OnError, Outcome, Pipeline, Placed, Run, Step,
    StepOutcome, Verdict, plugin,
};

use guest::Guest;

pub mod guest;

const HEADERS: &str = "From: a@example.com\r\nSubject: Hi\r\n\r\n";

fn load(guest: &Guest) -> Arc<dyn Step> {
    load_with(guest, &Arc::new(Limits::default()))
}

fn load_with(guest: &Guest, limits: &Arc<Limits>) -> Arc<dyn Step> {
    plugin::load(
        "hostile",
        "plugins/hostile.wasm".as_ref(),
        &guest.build(),
        limits,
        &plugin::Cache::none(),
    )
    .unwrap_or_else(|fault| panic!("{fault}"))
}

fn decide(step: &Arc<dyn Step>, message: Message) -> Outcome {
    let input = Input {
        direction: Direction::Inbound,
        account: "smartcity".into(),
        mailbox: MailboxName::new("INBOX").unwrap(),
        uid: Uid(7),
        size: 42,
        received_ms: None,
        flags: Vec::new(),
        message: Arc::new(message),
        user: None,
        now_ms: 0,
    };
    let (tables, limits) = (Arc::new(Tables::new()), Arc::new(Limits::default()));
    let run = Run::new(Arc::new(input), tables, Arc::new(NoMemory), limits);
    let placed = Placed { step: step.clone(), config: Arc::default(), on_error: OnError::Hold };
    Pipeline { name: "p".into(), steps: vec![placed] }.decide(run, 1, "digest")
}

fn decided(step: &Arc<dyn Step>) -> Decision {
    match decide(step, Message::from_headers(HEADERS.as_bytes())) {
        Outcome::Decided { decision, .. } => decision,
        Outcome::NeedBody => panic!("asks for the body"),
    }
}

/// The clause with which the guest's step fails. Nothing of what it said is left, the message is held,
/// and it is over soon after the time limit of one second.
fn failure(guest: &Guest) -> String {
    let step = load(guest);
    let started = Instant::now();
    let decision = decided(&step);
    assert!(started.elapsed() < Duration::from_secs(4), "took {:?}", started.elapsed());
    assert_eq!(decision.verdict, Verdict::Hold);
    assert_eq!(decision.steps[0].outcome, StepOutcome::Failed, "{decision:?}");
    assert!(decision.actions.is_empty(), "{decision:?}");
    let error = decision.steps[0].error.clone().unwrap_or_default();
    error.strip_prefix("hostile.wasm: ").unwrap_or_else(|| panic!("no place: {error}")).to_owned()
}

#[test]
fn a_plugin_that_does_nothing_does_nothing() {
    let decision = decided(&load(&Guest::default()));
    assert_eq!(decision.steps[0].outcome, StepOutcome::Ran, "{decision:?}");
    assert!(decision.actions.is_empty());
}

#[test]
fn an_endless_loop_is_ended() {
    assert_eq!(failure(&Guest::doing("(loop $l br $l)")), "ran longer than 1s");
}

#[test]
fn an_endless_loop_of_cheap_host_calls_is_ended() {
    let loops = "(loop $l (drop (call $uid (local.get $m))) br $l)";
    assert_eq!(failure(&Guest::doing(loops)), "ran longer than 1s");
}

#[test]
fn an_endless_start_function_is_ended() {
    let items = "(func $start (loop $l br $l)) (start $start)";
    let limits = Arc::new(Limits { plugin_time: Duration::from_millis(50), ..Limits::default() });
    let bytes = Guest::default().with(items).build();
    let fault = plugin::load("x", "x.wasm".as_ref(), &bytes, &limits, &plugin::Cache::none())
        .err()
        .unwrap();
    assert!(fault.what.ends_with("ran longer than 50ms"), "{fault}");
}

#[test]
fn growing_memory_ends_at_its_limit() {
    let grow = "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))";
    assert_eq!(failure(&Guest::doing(grow)), "needs more than 64 MiB of memory");
}

#[test]
fn a_growing_table_ends_at_its_limit() {
    let grow = "(loop $l (br_if $l (i32.ne
        (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1))))";
    let guest = Guest::doing(grow).with("(table $t 1 funcref)");
    assert_eq!(failure(&guest), "needs more than 20000 table elements");
}

#[test]
fn endless_recursion_is_ended() {
    let guest = Guest::doing("(drop (call $deep (i32.const 1)))").with(
        "(func $deep (param i32) (result i32)
           (i32.add (local.get 0) (call $deep (i32.add (local.get 0) (i32.const 1)))))",
    );
    assert_eq!(failure(&guest), "called itself too deeply: its stack is full");
}

#[test]
fn traps_are_named() {
    assert_eq!(failure(&Guest::doing("unreachable")), "trapped: unreachable (a panic or an abort)");
    let divides = "(drop (i32.div_u (i32.const 1) (i32.const 0)))";
    assert_eq!(failure(&Guest::doing(divides)), "trapped: integer divide by zero");
    let reads = "(drop (i32.load (i32.const -4)))";
    assert_eq!(failure(&Guest::doing(reads)), "trapped: out of bounds memory access");
}

#[test]
fn a_log_flood_is_ended() {
    let logs = "(loop $l (call $log (local.get $m) (i32.const 128) (i32.const 5)) br $l)";
    assert_eq!(failure(&Guest::doing(logs)), "more than 64 log lines for one message");
}

#[test]
fn ten_thousand_actions_are_refused() {
    let guest = Guest {
        inbound: "(local $n i32)
            (loop $l
              (call $copy (local.get $m) (i32.const 1024) (i32.const 1))
              (local.set $n (i32.add (local.get $n) (i32.const 1)))
              (br_if $l (i32.lt_u (local.get $n) (i32.const 10000))))
            i32.const 0"
            .into(),
        ..Guest::default()
    };
    let guest = guest.with(r#"(data (i32.const 1024) "X")"#);
    assert_eq!(failure(&guest), "more than 256 actions for one message");
}

#[test]
fn a_verb_that_is_not_performed_is_refused() {
    for (verb, value, said) in [
        (("delete-after", "duration"), "2d", "delete_after"),
        (("forward-to", "address"), "a@b.example", "forward_to"),
        (("reply-with", "template"), "thanks", "reply_with"),
    ] {
        let length = value.len();
        let says = format!("(call $copy (local.get $m) (i32.const 1024) (i32.const {length}))");
        let guest = Guest { verb, ..Guest::doing(&says) };
        let why = failure(&guest.with(format!("(data (i32.const 1024) \"{value}\")")));
        let refused = format!("{said} is not performed by this version; it comes with ");
        assert!(why.starts_with(&refused), "{why}");
    }
}

#[test]
fn a_line_end_in_a_mailbox_name_is_refused_even_if_the_plugin_goes_on() {
    let says = "(call $copy (local.get $m) (i32.const 1028) (i32.const 2))
        (call $copy (local.get $m) (i32.const 1024) (i32.const 4))
        (call $copy (local.get $m) (i32.const 1028) (i32.const 2))";
    let guest = Guest::doing(says).with(r#"(data (i32.const 1024) "A\0d\0aBOK")"#);
    let why = failure(&guest);
    assert!(why.contains("\\r\\n") && !why.contains('\n'), "{why}");
}

#[test]
fn a_string_beyond_its_memory_is_refused() {
    let logs = "(call $log (local.get $m) (i32.const 0) (i32.const 0x40000000))";
    let why = failure(&Guest::doing(logs));
    assert_eq!(why, "failed: string pointer/length out of bounds of memory");
}

#[test]
fn a_huge_string_is_refused_before_it_is_copied() {
    let logs = "(drop (memory.grow (i32.const 600)))
        (call $log (local.get $m) (i32.const 4096) (i32.const 0x2000000))";
    assert_eq!(failure(&Guest::doing(logs)), "gave more than 1 MiB in one call");
}

#[test]
fn a_string_that_is_not_utf_8_is_refused() {
    let guest = Guest::doing("(call $log (local.get $m) (i32.const 1024) (i32.const 2))")
        .with(r#"(data (i32.const 1024) "\ff\fe")"#);
    assert!(failure(&guest).contains("utf-8"));
}

#[test]
fn the_plugins_own_error_is_shown_inert_and_cut() {
    let returns = |pages: u32, length: u32| Guest {
        inbound: format!(
            "(drop (memory.grow (i32.const {pages})))
             (memory.fill (i32.const 2048) (i32.const 0x41) (i32.const {length}))
             (i32.store8 (i32.const 2048) (i32.const 0x1b))
             (i32.store (i32.const 1024) (i32.const 1))
             (i32.store (i32.const 1028) (i32.const 2048))
             (i32.store (i32.const 1032) (i32.const {length}))
             i32.const 1024"
        ),
        ..Guest::default()
    };
    assert_eq!(failure(&returns(0, 3)), "returned an error: \\u{1b}AA");
    let long = failure(&returns(0, 100_000));
    assert!(long.starts_with("returned an error: \\u{1b}AAAA") && long.ends_with('…'), "{long}");
    assert!(long.len() < 1100, "{}", long.len());
    assert_eq!(failure(&returns(200, 10_000_000)), "gave more than 1 MiB in one call");
}

#[test]
fn fail_ends_the_step_with_its_text() {
    let guest = Guest::doing(
        "(call $copy (local.get $m) (i32.const 1024) (i32.const 1))
         (call $fail (i32.const 1024) (i32.const 8))",
    )
    .with(r#"(data (i32.const 1024) "no\0a good")"#);
    assert_eq!(failure(&guest), "no\\n good");
}

#[test]
fn nothing_but_the_last_word_may_be_said_after_it() {
    let stops = "(call $stop (local.get $m))";
    let decision = decided(&load(&Guest::doing(stops)));
    assert_eq!(decision.verdict, Verdict::Stop, "{decision:?}");
    assert_eq!(decision.actions[0].at.as_deref(), Some("hostile.wasm"));
    let goes_on = format!("{stops} (call $log (local.get $m) (i32.const 128) (i32.const 5))");
    assert!(failure(&Guest::doing(&goes_on)).contains("last word"));
}

#[test]
fn a_handle_that_is_kept_fails_the_step() {
    let keeps =
        Guest { exports: guest::EXPORTS.replace("\"inbound\")", "\"keep\")"), ..Guest::default() };
    let keeps = Guest {
        exports: keeps.exports.replace("(export \"keep\")", "(export \"inbound\")"),
        ..keeps
    }
    .with(r#"(func (export "keep") (param i32) (result i32) i32.const 0)"#);
    assert!(failure(&keeps).contains("borrow handles still remain"));
}

#[test]
fn a_made_up_handle_is_refused() {
    let why = failure(&Guest::doing("(drop (call $uid (i32.const 12345)))"));
    assert!(why.contains("handle"), "{why}");
}

#[test]
fn a_body_is_asked_for_when_it_is_read_and_not_before() {
    let step = load(&Guest::doing("(call $text (local.get $m) (i32.const 1024))"));
    assert_eq!(decide(&step, Message::from_headers(HEADERS.as_bytes())), Outcome::NeedBody);
    let whole = format!("{HEADERS}Hello\r\n");
    let Outcome::Decided { decision, .. } = decide(&step, Message::whole(whole.as_bytes())) else {
        panic!("the body is there")
    };
    assert_eq!(decision.steps[0].outcome, StepOutcome::Ran, "{decision:?}");
    assert!(decision.steps[0].read_body);
}

#[test]
fn reading_again_and_again_ends_at_the_traffic_limit() {
    let step = load(&Guest::doing("(loop $l (call $text (local.get $m) (i32.const 1024)) br $l)"));
    let whole =
        format!("{HEADERS}{}", "Hello, world! Hello, world! Hello, world!\r\n".repeat(20_000));
    let Outcome::Decided { decision, .. } = decide(&step, Message::whole(whole.as_bytes())) else {
        panic!("the body is there")
    };
    let error = decision.steps[0].error.as_deref();
    assert_eq!(error, Some("hostile.wasm: moved more than 64 MiB over calls of the engine"));
}

#[test]
fn an_instance_keeps_nothing_from_one_message_to_the_next() {
    let guest = Guest::doing(
        "(if (global.get $seen) (then unreachable))
         (if (i32.load (i32.const 4096)) (then unreachable))
         (global.set $seen (i32.const 1))
         (i32.store (i32.const 4096) (i32.const 1))",
    )
    .with("(global $seen (mut i32) (i32.const 0))");
    let step = load(&guest);
    for _ in 0..20 {
        let decision = decided(&step);
        assert_eq!(decision.steps[0].outcome, StepOutcome::Ran, "{decision:?}");
    }
}

#[test]
fn others_go_on_while_one_loops() {
    let limits = Arc::new(Limits { plugin_time: Duration::from_secs(3), ..Limits::default() });
    let looping = load_with(&Guest::doing("(loop $l br $l)"), &limits);
    let fine = load(&Guest::default());
    let loops = std::thread::spawn(move || decided(&looping));
    for _ in 0..50 {
        assert_eq!(decided(&fine).steps[0].outcome, StepOutcome::Ran);
    }
    assert!(!loops.is_finished(), "fifty messages took longer than the loop");
    let decision = loops.join().unwrap();
    assert_eq!(decision.steps[0].error.as_deref(), Some("hostile.wasm: ran longer than 3s"));
}

#[test]
fn more_guests_at_once_than_the_pool_holds_wait_their_turn() {
    let limits = Arc::new(Limits { plugin_time: Duration::from_millis(50), ..Limits::default() });
    let looping = load_with(&Guest::doing("(loop $l br $l)"), &limits);
    let all: Vec<_> = (0..80)
        .map(|_| {
            let step = looping.clone();
            std::thread::spawn(move || decided(&step))
        })
        .collect();
    for one in all {
        let decision = one.join().unwrap();
        let error = decision.steps[0].error.as_deref();
        assert_eq!(error, Some("hostile.wasm: ran longer than 50ms"));
    }
}

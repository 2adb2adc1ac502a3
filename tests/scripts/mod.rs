//! What a script reads and says, and that none gets past its limits.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mailmill::config::Config;
use mailmill::mail::{Flag, MailboxName, Message, Uid};
use mailmill::pipeline::script::{Language, Names, Source};
use mailmill::pipeline::table::{Table, Tables};
use mailmill::pipeline::trial::{self, Given};
use mailmill::pipeline::{
    Action, Decision, Direction, Generation, Input, Limits, Memory, NoMemory, OnError, Outcome,
    Pipeline, Placed, Run, Verdict,
};
use serde_json::{Value, json};

mod shipped;

const MAIL: &str = "Return-Path: <jo@büro.example>\r\n\
    From: =?utf-8?q?J=C3=BCrgen_M=C3=BCller?= <jm@Firma.Example>\r\n\
    To: Anna <anna@example.com>, bert@example.com\r\nCc: c@example.com\r\n\
    Reply-To: office@firma.example\r\nSubject: AW: [EXTERN] =?utf-8?q?Pr=C3=BCfbericht?= [T-071]\r\n\
    Date: Sun, 1 Mar 2026 00:30:00 +0200\r\nMessage-ID: <m1@firma.example>\r\n\
    In-Reply-To: <m0@example.com>\r\nReferences: <r1@example.com> <m0@example.com>\r\n\
    List-Id: Bau <bau.lists.example>\r\nX-Twice: one\r\nX-Twice: two\r\n\
    Disposition-Notification-To: jm@firma.example\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\r\n\
    --b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nGr\u{fc}\u{df}e\r\n\
    --b\r\nContent-Type: application/pdf; name=plan.pdf\r\n\
    Content-Disposition: attachment; filename=plan.pdf\r\n\r\nPDF\r\n--b--\r\n";

/// A pipeline of scripts with what they are given.
struct Rules {
    steps: Vec<(String, String, Value)>,
    direction: Direction,
    tables: Tables,
    memory: Arc<dyn Memory>,
    whole: bool,
    /// The clock's limit; generous, so that on a busy machine the other limits show.
    time: Duration,
}

fn rules(script: &str) -> Rules {
    Rules {
        steps: vec![("rule".into(), script.into(), Value::Null)],
        direction: Direction::Inbound,
        tables: Tables::new(),
        memory: Arc::new(NoMemory),
        whole: true,
        time: Duration::from_secs(30),
    }
}

/// The body of `fn inbound(mail)`, on one line each.
fn inbound(body: &str) -> Rules {
    rules(&format!("fn inbound(mail) {{\n{body}\n}}"))
}

impl Rules {
    fn with(mut self, config: Value) -> Self {
        self.steps.last_mut().unwrap().2 = config;
        self
    }

    fn then(mut self, name: &str, body: &str) -> Self {
        let script = format!("fn inbound(mail) {{\n{body}\n}}");
        self.steps.push((name.into(), script, Value::Null));
        self
    }

    fn table(mut self, name: &str, key: &str, csv: &str) -> Self {
        let table = Table::read(Path::new("t.csv"), csv.as_bytes(), key).unwrap();
        self.tables.insert(name.into(), table);
        self
    }

    fn headers_only(mut self) -> Self {
        self.whole = false;
        self
    }

    fn outcome(self, mail: &str) -> Outcome {
        let pipeline = self.pipeline();
        let input = Arc::new(input(self.direction, mail, self.whole));
        let run = Run::new(input, Arc::new(self.tables), self.memory, Arc::default())
            .with_templates(std::iter::once("firm"));
        // As in the engine: a deep recursion needs 8 MiB.
        std::thread::Builder::new()
            .stack_size(8 << 20)
            .spawn(move || pipeline.decide(run, 1, "d"))
            .unwrap()
            .join()
            .unwrap()
    }

    fn pipeline(&self) -> Pipeline {
        let limits = Limits { script_time: self.time, ..Limits::default() };
        let language = Language::new(Arc::new(limits));
        let tables: BTreeSet<_> = self.tables.keys().cloned().collect();
        let targets = BTreeSet::from(["archive".to_owned()]);
        let templates = BTreeSet::from(["firm".to_owned()]);
        let steps = self.steps.iter().map(|(name, script, config)| {
            let file = format!("{name}.rhai");
            let source = Source { name, file: Path::new(&file), bytes: script.as_bytes() };
            let names = Names { tables: &tables, targets: &targets, templates: &templates };
            let step = language.compile(source, names).unwrap_or_else(|why| panic!("{why}"));
            let config = Arc::new(config.clone());
            Placed { step: Arc::new(step), config, on_error: OnError::Hold }
        });
        Pipeline { name: "p".into(), steps: steps.collect() }
    }

    fn decide(self, mail: &str) -> Decision {
        match self.outcome(mail) {
            Outcome::Decided { decision, .. } => decision,
            Outcome::NeedBody => panic!("the body is needed"),
        }
    }

    /// The actions as JSON, where nothing failed.
    fn said(self, mail: &str) -> Vec<Value> {
        let decision = self.decide(mail);
        let failed: Vec<_> = decision.steps.iter().filter_map(|step| step.error.clone()).collect();
        assert!(failed.is_empty(), "{failed:?}");
        decision.actions.iter().map(|said| serde_json::to_value(said).unwrap()).collect()
    }

    /// What the script logs, line by line.
    fn logged(self, mail: &str) -> Vec<String> {
        let said = self.said(mail);
        said.iter().map(|said| said["text"].as_str().unwrap().to_owned()).collect()
    }

    /// Why the step failed; nothing that it said stays.
    fn failure(self, mail: &str) -> String {
        let decision = self.decide(mail);
        assert_eq!(decision.verdict, Verdict::Hold, "{decision:?}");
        assert_eq!(decision.actions, []);
        let error = decision.steps.last().unwrap().error.clone().unwrap();
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.chars().count() < 400, "{error}");
        error
    }
}

fn input(direction: Direction, mail: &str, whole: bool) -> Input {
    let headers = mail.find("\r\n\r\n").map_or(mail.len(), |end| end + 4);
    let message = match whole {
        true => Message::whole(mail.as_bytes()),
        false => Message::from_headers(&mail.as_bytes()[..headers]),
    };
    Input {
        direction,
        account: "smartcity".into(),
        mailbox: MailboxName::inbox(),
        uid: Uid(7),
        size: mail.len() as u64,
        received_ms: Some(1_772_323_200_000),
        flags: vec![Flag::seen()],
        message: Arc::new(message),
        user: (direction == Direction::Outbound).then(|| "anna".to_owned()),
        now_ms: 1_772_409_600_000,
    }
}

/// Each expression with the text it must give.
fn expect(expressions: &[(&str, &str)]) {
    let body: String = expressions.iter().map(|(read, _)| format!("mail.log({read});\n")).collect();
    let expected: Vec<_> = expressions.iter().map(|(_, text)| (*text).to_owned()).collect();
    let rules = inbound(&body).with(json!({"box": "In", "deep": {"n": [1, 2.5, true]}}));
    let told = rules.table("projects", "code", "code,mailbox\nT-071,Büro\n").logged(MAIL);
    assert_eq!(told, expected);
}

#[test]
fn reads_of_the_headers() {
    expect(&[
        ("mail.subject", "AW: [EXTERN] Prüfbericht [T-071]"),
        ("mail.thread_subject", "Prüfbericht [T-071]"),
        ("mail.from", "Jürgen Müller <jm@Firma.Example>"),
        ("mail.from.name + mail.from.local", "Jürgen Müllerjm"),
        ("mail.from.domain", "firma.example"),
        ("mail.from == \"JM@firma.example\"", "true"),
        ("mail.to.len() + mail.cc.len()", "3"),
        ("mail.to[1].address", "bert@example.com"),
        ("mail.to.some(|to| to.local == \"anna\")", "true"),
        ("mail.reply_to[0].address", "office@firma.example"),
        ("mail.message_id", "m1@firma.example"),
        ("mail.in_reply_to[0]", "m0@example.com"),
        ("mail.references", "[\"r1@example.com\", \"m0@example.com\"]"),
        ("mail.list_id", "bau.lists.example"),
        ("mail.header(\"x-twice\")", "one"),
        ("mail.headers(\"X-Twice\")", "[\"one\", \"two\"]"),
        ("mail.header(\"X-None\") == ()", "true"),
    ]);
}

#[test]
fn reads_of_kind_body_and_place() {
    expect(&[
        ("mail.direction", "inbound"),
        ("mail.account + mail.mailbox + mail.uid", "smartcityINBOX7"),
        ("mail.size > 500", "true"),
        ("mail.flags", "[\"\\\\Seen\"]"),
        ("mail.user == ()", "true"),
        ("mail.is_list && mail.is_reply && mail.receipt_requested", "true"),
        ("mail.is_auto || mail.is_bounce || mail.is_mdn", "false"),
        ("mail.is_encrypted || mail.is_signed || mail.has_calendar", "false"),
        ("mail.text.len() < 10", "true"),
        ("mail.text.contains(\"Grüße\")", "true"),
        ("mail.html", ""),
        ("mail.attachments[0].name + \" \" + mail.attachments[0].type", "plan.pdf application/pdf"),
        ("mail.attachments[0].size", "3"),
        ("mail.attachments[0].sha256.len()", "64"),
        ("mail.raw.starts_with(\"Return-Path\")", "true"),
        ("mail.project == () && mail.links.is_empty() && mail.tags.is_empty()", "true"),
        ("mail.config.box + mail.config.deep.n", "In[1, 2.5, true]"),
        ("mail.config.none == ()", "true"),
        ("mail.table(\"projects\").get(\"T-071\").mailbox", "Büro"),
        ("mail.table(\"projects\").get(mail.project) == ()", "true"),
        ("mail.state.get(\"k\") == ()", "true"),
    ]);
}

#[test]
fn times_are_text_and_can_be_reckoned_with() {
    expect(&[
        ("mail.now", "2026-03-02T00:00:00Z"),
        ("`${mail.received}`", "2026-03-01T00:00:00Z"),
        ("mail.date", "2026-03-01T00:30:00+02:00"),
        ("mail.date.weekday + mail.date.day * 10 + mail.date.hour", "17"),
        ("mail.now - mail.received == duration(\"1d\")", "true"),
        ("mail.received + \"24h\" == mail.now", "true"),
        ("mail.date < mail.now && mail.now - \"2d\" < mail.received", "true"),
        ("mail.now.unix", "1772409600"),
        ("mail.now.year * 100 + mail.now.month", "202603"),
    ]);
}

#[test]
fn what_rhai_lacks_for_mail() {
    expect(&[
        ("mail.subject.matches(\"(?i)PRÜF\")", "true"),
        ("mail.subject.captures(`\\[([A-Z]+)-(\\d+)\\]`)", "[\"[T-071]\", \"T\", \"071\"]"),
        ("mail.subject.captures(\"none\") == ()", "true"),
        ("mail.from.name.equals_ignore_case(\"JÜRGEN MÜLLER\")", "true"),
        ("mail.subject.contains_ignore_case(\"prüf\")", "true"),
        ("mail.subject.starts_with_ignore_case(\"aw:\")", "true"),
        ("mail.subject.ends_with_ignore_case(\"t-071]\")", "true"),
        // What a message lacks contains nothing, and no rule has to ask first.
        ("mail.header(\"X-None\").contains(\"x\")", "false"),
        ("mail.header(\"X-None\").matches(\"x\")", "false"),
    ]);
}

#[test]
fn every_verb_is_recorded_in_order_with_its_place() {
    let body = "mail.copy_to(\"C\");\nmail.deliver_to(\"archive\");\nmail.add_flag(\"\\\\flagged\");\n\
                mail.remove_flag(\"\\\\Seen\");\nmail.link(\"T-071\", \"rule\");\nmail.tag(\"n\", 5);\n\
                mail.suppress_receipt();\nmail.strip_receipt_requests();\n\
                mail.set_header(\"X-A\", \"ä\");\nmail.add_header(\"X-B\", \"b\");\n\
                mail.remove_header(\"X-Twice\");\nmail.state.set(\"k\", 1);\nmail.log(mail.now);\n\
                print(\"p\");\nmail.move_to(\"inbox/x\");\nmail.stop();";
    let said = inbound(body).said(MAIL);
    let words: Vec<_> = said.iter().map(|said| said["action"].as_str().unwrap()).collect();
    let expected = [
        "copy_to",
        "deliver_to",
        "add_flag",
        "remove_flag",
        "link",
        "tag",
        "suppress_receipt",
        "strip_receipt_requests",
        "set_header",
        "add_header",
        "remove_header",
        "state_set",
        "log",
        "log",
        "move_to",
        "stop",
    ];
    assert_eq!(words, expected);
    assert_eq!(
        said[0],
        json!({"action": "copy_to", "mailbox": "C", "step": "rule", "at": "rule.rhai:2"})
    );
    assert_eq!(said[2]["flag"], "\\Flagged");
    assert_eq!(said[5]["value"], "5");
    assert_eq!(said[12]["text"], "2026-03-02T00:00:00Z");
    assert_eq!(said[14]["mailbox"], "INBOX/x");
    assert_eq!(said[14]["at"], "rule.rhai:16");
}

#[test]
fn a_later_action_sees_what_earlier_ones_did() {
    let body = "mail.move_to(\"A\");\nmail.move_to(\"B\");\nmail.add_flag(\"$work\");\n\
                mail.remove_flag(\"\\\\Seen\");\nmail.link(\"P\", \"e\");\nmail.tag(\"t\", \"v\");\n\
                mail.set_header(\"Subject\", \"New\");\nmail.strip_receipt_requests();\n\
                mail.state.set(\"k\", \"1\");\nif mail.state.get(\"k\") != \"1\" { throw \"state\"; }";
    let reads = "mail.log(mail.mailbox + mail.flags + mail.project + mail.tags.t + mail.subject);\n\
                 mail.log(mail.links[0].evidence + mail.receipt_requested);\n\
                 mail.log(mail.state.get(\"k\") == ());";
    let said = inbound(body).then("later", reads).said(MAIL);
    assert_eq!(said.iter().filter(|said| said["action"] == "move_to").count(), 1);
    let told: Vec<_> = said.iter().filter_map(|said| said["text"].as_str()).collect();
    assert_eq!(told, ["B[\"$work\"]PvNew", "efalse", "true"]);
}

#[test]
fn outbound_has_its_own_function_and_verbs() {
    let script = "fn outbound(mail) {\n  mail.sign(\"firm\");\n  mail.forward_to(\"a@b.example\");\n  \
                  mail.reply_with(\"thanks\");\n  mail.notify(\"chat\", #{subject: mail.subject, n: 1});\n  \
                  mail.reject(\"not as \" + mail.user);\n}";
    let mut outbound = rules(script);
    outbound.direction = Direction::Outbound;
    let decision = outbound.decide(MAIL);
    assert_eq!(decision.verdict, Verdict::Reject, "{decision:?}");
    let reasons = decision.actions.last().map(|said| said.action.clone());
    assert_eq!(reasons, Some(Action::Reject { reason: "not as anna".into() }));
    assert_eq!(decision.actions.len(), 5);
    assert_eq!(rules(script).decide(MAIL).actions, [], "inbound passes it over");
}

/// What `check` cannot see is refused when it is said: nothing counts as done that nobody does.
#[test]
fn a_verb_that_is_not_performed_is_refused_when_it_is_said() {
    for (verb, value, comes_with) in [
        ("delete_after", "\"2d\"", "retention"),
        ("forward_to", "\"a@b.example\"", "sending"),
        ("reply_with", "\"thanks\"", "sending"),
        ("notify", "\"chat\", #{}", "webhooks"),
    ] {
        let error = inbound(&format!("call(Fn(\"{verb}\"), mail, {value});")).failure(MAIL);
        let refused =
            format!("{verb} is not performed by this version; it comes with {comes_with}");
        assert_eq!(error, format!("rule.rhai:2: {refused}"));
    }
}

#[test]
fn a_decision_within_the_limits_fits_its_record() {
    for (say, refused) in [
        ("mail.tag(`k${i}`, v);", "more than 24576 bytes of actions for one message"),
        ("mail.add_header(`X-${i}`, v);", "more than 24576 bytes of actions for one message"),
        ("mail.log(v);", "more than 12288 bytes of log lines for one message"),
    ] {
        // In JSON each of these characters takes two bytes.
        let value = "let v = \"\"; v.pad(1000, '\"');\n";
        let logs = format!("{value} for i in 0..4 {{ print(v); }}");
        let mut largest = 0;
        let error = (1..20).find_map(|count| {
            let body = format!("{value} for i in 0..{count} {{ {say} }}");
            let decision = inbound(&body).then("other", &logs).decide(MAIL);
            if decision.verdict == Verdict::Continue {
                largest = serde_json::to_vec(&decision).unwrap().len();
            }
            decision.steps.into_iter().find_map(|step| step.error)
        });
        assert!(error.as_ref().is_some_and(|error| error.ends_with(refused)), "{error:?}");
        assert!((10 << 10..38 << 10).contains(&largest), "{say}: {largest} bytes");
    }
}

struct Remembers(BTreeMap<(String, String), String>);

impl Memory for Remembers {
    fn get(&self, _account: &str, step: &str, key: &str) -> Option<String> {
        self.0.get(&(step.to_owned(), key.to_owned())).cloned()
    }
}

#[test]
fn state_is_each_steps_own() {
    let kept = [(("rule".to_owned(), "n".to_owned()), "41".to_owned())].into();
    let mut first = inbound("mail.state.set(\"n\", parse_int(mail.state.get(\"n\")) + 1);");
    first.memory = Arc::new(Remembers(kept));
    let said = first.then("other", "if mail.state.get(\"n\") != () { throw \"seen\"; }").said(MAIL);
    assert_eq!(said[0]["value"], "42");
}

#[test]
fn the_body_is_asked_for_and_no_script_can_hide_that() {
    assert_eq!(inbound("mail.log(mail.text);").headers_only().outcome(MAIL), Outcome::NeedBody);
    let caught = "try { mail.log(mail.text); } catch { mail.move_to(\"Spam\"); }";
    assert_eq!(inbound(caught).headers_only().outcome(MAIL), Outcome::NeedBody);
    let hidden = "fn read(mail) { mail.text }\nfn inbound(mail) {\n  try { [1].map(Fn(\"read\")\
                  .curry(mail)); } catch { }\n  mail.move_to(\"Spam\");\n}";
    assert_eq!(rules(hidden).headers_only().outcome(MAIL), Outcome::NeedBody);
    assert_eq!(inbound("mail.log(mail.subject);").headers_only().said(MAIL).len(), 1);
}

#[test]
fn the_last_word_cannot_be_taken_back() {
    for (word, verdict) in [("stop()", Verdict::Stop), ("hold(\"why\")", Verdict::Hold)] {
        let body =
            format!("try {{ mail.{word}; }} catch {{ mail.log(\"caught\"); }} mail.log(\"on\");");
        let decision = inbound(&body).then("later", "mail.log(\"later\");").decide(MAIL);
        assert_eq!(decision.verdict, verdict);
        assert_eq!(decision.actions.len(), 1, "{decision:?}");
    }
}

#[test]
fn hostile_scripts_end_with_one_clear_line() {
    let cases = [
        ("loop { }", "rule.rhai:1: more than 500000 operations"),
        ("let s = \"ab\"; loop { s += s; }", "rule.rhai:1: length of string is too large"),
        ("let a = [1]; loop { a += a; }", "size of array/blob is too large"),
        ("let m = #{}; for i in 0..20000 { m[`k${i}`] = i; }", "size of object map is too large"),
        ("let a = []; loop { a = [a]; }", "the depth of lists within lists is too large"),
        ("let a = #{}; loop { let b = #{}; b[\"x\"] = a; a = b; }", "the depth of lists within"),
        ("let a = []; a.pad(100000, \"x\");", "is too large"),
        ("let s = \"\"; s.pad(9999999, 'x');", "is too large"),
        (
            "let s = \"\"; s.pad(200000, 'a'); s.replace(\"a\", s);",
            "replace() makes a text of more than 1048576 bytes",
        ),
        (
            "let s = \"\"; s.pad(200000, 'a'); s.replace('a', s); ",
            "replace() makes a text of more than 1048576 bytes",
        ),
        (
            "let s = \"\"; s.pad(500000, 'a'); let a = []; a.pad(9000, s); a.to_string();",
            "length of string is too large",
        ),
        (
            "let s = \"\"; s.pad(500000, 'a'); let a = []; a.pad(9000, s); let t = \"x\" + a;",
            "length of string is too large",
        ),
        (
            "let s = \"\"; s.pad(500000, 'a'); let a = []; a.pad(9000, s); let t = `x${a}`;",
            "length of string is too large",
        ),
        ("loop { print(\"gigabyte\"); }", "rule.rhai:2: more than 64 log lines"),
        ("for i in 0..100 { print(i); }", "more than 64 log lines for one message"),
        ("for i in 0..100 { mail.log(i); }", "more than 64 log lines for one message"),
        ("for i in 0..1000 { mail.tag(\"t\", i); }", "more than 256 actions for one message"),
        ("sleep(3600);", "rule.rhai:2: a script cannot sleep"),
        ("throw \"no\\r\\nidea\\x1b[2J\";", "rule.rhai:2: no\\r\\nidea\\u{1b}[2J"),
        ("throw;", "rule.rhai:2: it threw an error"),
        (
            "mail.move_to(\"A\\r\\nX: y\");",
            "a mailbox name has no control characters: \"A\\r\\nX: y\"",
        ),
        ("mail.move_to(\"A/../B\");", "has no empty, \".\" or \"..\" level"),
        (
            "mail.set_header(\"X\", \"a\\r\\nBcc: x@y\");",
            "a header value has no control characters",
        ),
        ("mail.set_header(\"X Y\", \"a\");", "no header field name: \"X Y\""),
        ("mail.move_to(mail.project);", "rule.rhai:2: mail.move_to() cannot take (())"),
        ("mail.log(mail.project + 1);", "rule.rhai:2: cannot do () + i64"),
        ("mail.log(mail.table(\"pro\" + \"jects\"));", "there is no table \"projects\""),
        ("mail.log(\"x\".matches(\"a\" + \"(\"));", "no pattern: \"a(\": unclosed group"),
        ("mail.log(\"x\".matches(`\\w{900}` + `{90}`));", "the pattern is too large"),
        ("let e = \"ev\" + \"al\"; Fn(e).call(\"1\");", "'eval' is a reserved keyword"),
        (
            "let m = #{}; let s = \"x\"; s.pad(1000000, 'x'); for i in 0..9000 { m[`k${i}`] = s + i; }",
            "all that the variables hold is too large",
        ),
        ("mail.log(1 / 0);", "rule.rhai:2: division by zero"),
        ("mail.log([1][5]);", "rule.rhai:2: "),
    ];
    let wrong = cases.into_iter().filter_map(|(body, expected)| {
        let decision = inbound(body).decide(MAIL);
        let error = decision.steps[0].error.clone().unwrap_or_default();
        let told = error.to_lowercase().contains(&expected.to_lowercase());
        let short = error.lines().count() == 1 && error.len() < 400 && decision.actions.is_empty();
        (!told || !short).then(|| format!("{body}: {error}"))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_recursion_ends_before_the_stack_does() {
    let script = "fn deep(n) { let x = [deep(n + 1)]; x }\nfn inbound(mail) { deep(0); }";
    let error = rules(script).failure(MAIL);
    assert!(error.contains("more than 32 calls within each other"), "{error}");
    // The deepest expressions that are let in, on every level.
    let language = Language::new(Arc::default());
    for (open, close) in [("(1 + ", ")"), ("[", "]"), ("if true { ", " }"), ("id(", ")")] {
        let script = |depth: usize| {
            let nested = [&open.repeat(depth), "deep(n + 1)", &close.repeat(depth)].concat();
            format!("fn id(n) {{ n }}\nfn deep(n) {{ {nested} }}\nfn inbound(mail) {{ deep(0); }}")
        };
        let deepest =
            (1..100).rev().map(script).find(|script| compiles(&language, script)).unwrap();
        let error = rules(&deepest).failure(MAIL);
        assert!(error.contains("more than 32 calls within each other"), "{error}");
    }
}

fn compiles(language: &Language, script: &str) -> bool {
    let source = Source { name: "rule", file: Path::new("rule.rhai"), bytes: script.as_bytes() };
    let names =
        Names { tables: &BTreeSet::new(), targets: &BTreeSet::new(), templates: &BTreeSet::new() };
    language.compile(source, names).is_ok()
}

#[test]
fn slow_native_calls_are_within_the_time_too() {
    // The worst for a regular expression engine: every position of a long text is a new start.
    let body = "let t = \"a\"; t.pad(1000000, 'a');\nlet n = 0;\n\
                for i in 0..10000 { if t.matches(\"(a{0,40}){0,4}$b\") { n += 1; } }";
    let started = std::time::Instant::now();
    let mut slow = inbound(body);
    slow.time = Limits::default().script_time;
    let error = slow.failure(MAIL);
    assert!(error.contains("ran longer than 250 ms"), "{error}");
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

#[test]
fn two_threads_run_the_same_script() {
    let body = "let n = 0; for i in 0..50 { n += mail.subject.len(); } mail.tag(\"n\", `${n}`);\n\
                print(mail.account);";
    let pipeline = Arc::new(inbound(body).pipeline());
    let decided: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let pipeline = pipeline.clone();
                scope.spawn(move || {
                    (0..200).map(|_| decide_with(&pipeline, MAIL)).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(decided.len(), 400);
    assert!(decided.iter().all(|actions| *actions == decided[0] && actions.len() == 2));
}

fn decide_with(pipeline: &Pipeline, mail: &str) -> Vec<mailmill::pipeline::Recorded> {
    let input = Arc::new(input(Direction::Inbound, mail, true));
    let run = Run::new(input, Arc::default(), Arc::new(NoMemory), Arc::default());
    match pipeline.decide(run, 1, "d") {
        Outcome::Decided { decision, .. } => decision.actions,
        Outcome::NeedBody => panic!("the body is needed"),
    }
}

#[test]
fn a_generation_decides_by_its_pipelines_and_by_single_steps() {
    let folder = tempfile::TempDir::new().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::create_dir(folder.path().join("scripts")).unwrap();
    write(
        "mailmill.toml",
        "[accounts.smartcity]\naddress = \"a@b.example\"\naliases = [\"c@b.example\"]\n\
         maildir = \"m\"\nproject = \"T-071\"\nwatch = [{ mailbox = \"INBOX\" }]\ninbound = \"p\"\n\
         [pipelines.p]\nsteps = [{ script = \"first\" }, { script = \"second\", with = { n = 7 } }]\n",
    );
    let row = "let row = mail.table(\"accounts\").get(mail.account);";
    let read = "mail.log(row.project + row.address + row.aliases);";
    write("scripts/first.rhai", &format!("fn inbound(mail) {{ {row} {read} }}"));
    write("scripts/second.rhai", "fn inbound(mail) { mail.log(mail.config.n); }");
    let config = Config::load(&folder.path().join("mailmill.toml")).unwrap();
    let generation = Generation::load(&config).unwrap();
    let input = Arc::new(input(Direction::Inbound, MAIL, true));
    let logged = |outcome: Option<Outcome>| match outcome {
        Some(Outcome::Decided { decision, .. }) => {
            assert_eq!(decision.digest, generation.digest);
            let text = |said: &mailmill::pipeline::Recorded| match &said.action {
                Action::Log { text } => text.clone(),
                other => panic!("{other:?}"),
            };
            Some(decision.actions.iter().map(text).collect::<Vec<_>>())
        }
        _ => None,
    };
    let memory: Arc<dyn Memory> = Arc::new(NoMemory);
    let whole = logged(generation.decide("p", input.clone(), memory.clone()));
    assert_eq!(whole.unwrap(), ["T-071a@b.examplec@b.example", "7"]);
    let step = |name: &str| trial::Rules::Step { name: name.into(), with: None };
    let given = Given::default();
    let alone = generation.ask(&step("second"), &given, input.clone(), memory.clone());
    let alone = logged(alone);
    assert_eq!(alone.unwrap(), ["7"]);
    assert_eq!(logged(generation.decide("none", input.clone(), memory.clone())), None);
    assert_eq!(logged(generation.ask(&step("none"), &given, input, memory)), None);
}

//! `plugins/project-link.wasm` itself, as it lies in the tree: every evidence and every guard.
//! `MAILMILL_TEST_PLUGINS` names another folder to take it from.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use mailmill::mail::{MailboxName, Message, Uid};
use mailmill::pipeline::table::{Table, Tables};
use mailmill::pipeline::{
    Action, Decision, Direction, Input, Limits, Memory, OnError, Outcome, Pipeline, Placed, Run,
    Step, StepError, StepOutcome, plugin,
};
use serde_json::{Value, json};

/// The real plugin, compiled once.
fn project_link() -> Arc<dyn Step> {
    static STEP: OnceLock<Arc<dyn Step>> = OnceLock::new();
    STEP.get_or_init(|| {
        let folder = std::env::var_os("MAILMILL_TEST_PLUGINS").map_or_else(
            || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("plugins"),
            PathBuf::from,
        );
        let file = folder.join("project-link.wasm");
        let bytes = std::fs::read(&file).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
        plugin::load(
            "project-link",
            &file,
            &bytes,
            &Arc::new(Limits::default()),
            &plugin::Cache::none(),
        )
        .unwrap_or_else(|fault| panic!("{fault}"))
    })
    .clone()
}

/// An account with its tables, its settings, and what the step remembers from message to message.
struct Office {
    tables: Tables,
    with: Value,
    memory: Arc<Remembered>,
}

#[derive(Default)]
struct Remembered(Mutex<HashMap<String, String>>);

impl Memory for Remembered {
    fn get(&self, _account: &str, _step: &str, key: &str) -> Option<String> {
        self.0.lock().unwrap().get(key).cloned()
    }
}

impl Office {
    /// Projects T-071 and T-072, and `smartcity@example.com` with the alias `t-071@example.com`.
    fn new() -> Self {
        let office = Self { tables: Tables::new(), with: Value::Null, memory: Arc::default() };
        office
            .table(
                "accounts",
                &[(
                    "smartcity",
                    &[
                        ("address", "smartcity@example.com"),
                        ("aliases", "t-071@example.com office@example.com"),
                        ("project", ""),
                    ],
                )],
            )
            .table("projects", &[("T-071", &[("name", "Library")]), ("T-072", &[])])
            .table("senders", &[("anna@known.example", &[]), ("partner.example", &[])])
    }

    fn table(mut self, name: &str, rows: &[(&str, &[(&str, &str)])]) -> Self {
        let row = |columns: &[(&str, &str)]| -> BTreeMap<String, String> {
            columns.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let rows = rows.iter().map(|(key, columns)| ((*key).to_owned(), row(columns)));
        self.tables.insert(name.to_owned(), Table::new(rows));
        self
    }

    fn without(mut self, table: &str) -> Self {
        self.tables.remove(table);
        self
    }

    fn with(mut self, with: Value) -> Self {
        self.with = with;
        self
    }

    fn receive(&self, mail: &str) -> Seen {
        self.decide(Direction::Inbound, mail, &[])
    }

    fn send(&self, mail: &str) -> Seen {
        self.decide(Direction::Outbound, mail, &[])
    }

    /// Decides a message from its headers alone, then keeps what the step wants remembered.
    fn decide(&self, direction: Direction, mail: &str, before: &[Arc<dyn Step>]) -> Seen {
        let mail = format!("{}\r\n\r\n", mail.trim().replace('\n', "\r\n"));
        let input = Input {
            direction,
            account: "smartcity".into(),
            mailbox: MailboxName::new("INBOX").unwrap(),
            uid: Uid(1),
            size: mail.len() as u64,
            received_ms: None,
            flags: Vec::new(),
            message: Arc::new(Message::from_headers(mail.as_bytes())),
            user: None,
            now_ms: 0,
        };
        let tables = Arc::new(self.tables.clone());
        let run =
            Run::new(Arc::new(input), tables, self.memory.clone(), Arc::new(Limits::default()));
        let config = Arc::new(self.with.clone());
        let steps = before
            .iter()
            .cloned()
            .chain([project_link()])
            .map(|step| Placed { step, config: config.clone(), on_error: OnError::Hold })
            .collect();
        match (Pipeline { name: "p".into(), steps }).decide(run, 1, "digest") {
            Outcome::Decided { decision, .. } => self.keep(decision),
            Outcome::NeedBody => panic!("project-link never reads bodies"),
        }
    }

    fn keep(&self, decision: Decision) -> Seen {
        let mut memory = self.memory.0.lock().unwrap();
        let mut kept = 0;
        for said in &decision.actions {
            if let Action::StateSet { key, value } = &said.action {
                memory.insert(key.clone(), value.clone());
                kept += 1;
            }
        }
        Seen { decision, kept }
    }
}

/// What came of one message.
struct Seen {
    decision: Decision,
    kept: usize,
}

impl Seen {
    /// All links as `project evidence`, with tags after them.
    fn links(&self) -> String {
        let ran = self.decision.steps.iter().all(|step| step.outcome == StepOutcome::Ran);
        assert!(ran, "{:?}", self.decision);
        let links = self.decision.actions.iter().filter_map(|said| match &said.action {
            Action::Link { project, evidence } => Some(format!("{project} {evidence}")),
            _ => None,
        });
        let tags = self.decision.tags.iter().map(|(key, value)| format!("{key}={value}"));
        links.chain(tags).collect::<Vec<_>>().join("; ")
    }

    fn error(&self) -> &str {
        self.decision.steps[0].error.as_deref().unwrap_or_default()
    }
}

const KNOWN: &str = "From: Anna <anna@known.example>\n";
const STRANGER: &str = "From: Eve <eve@stranger.example>\n";

fn from(who: &str, rest: &str) -> String {
    format!("{who}{rest}")
}

#[test]
fn the_accounts_project_comes_first() {
    let office = Office::new().table(
        "accounts",
        &[("smartcity", &[("address", "smartcity@example.com"), ("project", "T-099")])],
    );
    let seen = office.receive(&from(STRANGER, "To: smartcity+T-072@example.com\nSubject: [T-071]"));
    assert_eq!(seen.links(), "T-099 account");
    let link = seen.decision.actions.iter().find(|said| matches!(said.action, Action::Link { .. }));
    assert_eq!(link.unwrap().at.as_deref(), Some("project-link.wasm"));
}

#[test]
fn a_plus_address_of_the_account_links() {
    let office = Office::new();
    for (to, links) in [
        ("To: smartcity+T-072@example.com", "T-072 plus-address"),
        ("To: x@y.example\nCc: \"P\" <SmartCity+t-072@Example.com>", "T-072 plus-address"),
        ("To: office+T-072@example.com", "T-072 plus-address"),
        ("To: smartcity+T-999@example.com", ""),
        ("To: smartcity+T-072@elsewhere.example", ""),
        ("To: someone+T-072@example.com", ""),
        ("To: smartcity@example.com", ""),
    ] {
        assert_eq!(office.receive(&from(STRANGER, to)).links(), links, "{to}");
    }
    let both = office.receive(&from(KNOWN, "To: smartcity+T-072@example.com\nSubject: [T-071]"));
    assert_eq!(both.links(), "T-072 plus-address", "stronger than a token");
}

#[test]
fn a_token_of_a_known_project_links() {
    let office = Office::new();
    for (subject, links) in [
        ("[T-071] Plans", "T-071 subject-token"),
        ("AW: Plans [T-071]", "T-071 subject-token"),
        ("=?utf-8?q?Pl=C3=A4ne_=5BT-071=5D?=", "T-071 subject-token"),
        ("[EXT] [1] [T-071] Plans", "T-071 subject-token"),
        ("[T-999] Plans", ""),
        ("[EXT-1] Plans", ""),
        ("[1] Plans", ""),
        ("[EXT] Plans", ""),
        ("T-071 Plans", ""),
        ("[t-071] Plans", ""),
        ("", ""),
    ] {
        let seen = office.receive(&from(KNOWN, &format!("Subject: {subject}")));
        assert_eq!(seen.links(), links, "{subject}");
    }
}

#[test]
fn the_token_can_be_another_one() {
    let any_case = Office::new().with(json!({ "ignore_case": true }));
    let seen = any_case.receive(&from(KNOWN, "Subject: [t-071] Plans"));
    assert_eq!(seen.links(), "T-071 subject-token");

    let own = Office::new()
        .table("jobs", &[("4711", &[])])
        .with(json!({ "token": r"Job (\d{4})", "table": "jobs" }));
    assert_eq!(own.receive(&from(KNOWN, "Subject: Job 4711")).links(), "4711 subject-token");
    assert_eq!(own.receive(&from(KNOWN, "Subject: Job 4712")).links(), "");
}

#[test]
fn several_tokens_link_to_all_and_are_marked() {
    let office = Office::new();
    let mail = "Subject: [T-072] moved to [T-071], see [T-072]\nMessage-ID: <both@known.example>";
    let seen = office.receive(&from(KNOWN, mail));
    assert_eq!(seen.links(), "T-072 subject-token; T-071 subject-token; project-ambiguous=yes");
    let answer = office.receive(&from(KNOWN, "Subject: x\nIn-Reply-To: <both@known.example>"));
    assert_eq!(answer.links(), "", "an ambiguous message decides nothing for its answers");
}

#[test]
fn a_strangers_token_is_unverified() {
    let unverified = "T-071 subject-token (unverified); project-unverified=yes";
    let mail = "Subject: [T-071] Plans\nMessage-ID: <one@x>";
    let office = Office::new();
    assert_eq!(office.receive(&from(STRANGER, mail)).links(), unverified);
    assert_eq!(office.receive(&from("", mail)).links(), unverified, "no author at all");
    let two = "From: anna@known.example, eve@stranger.example\n";
    assert_eq!(office.receive(&from(two, mail)).links(), unverified, "one of two authors");
    // Whoever answers it, or writes again, gains nothing.
    let again = from(STRANGER, "Subject: Re: Plans\nIn-Reply-To: <one@x>\nMessage-ID: <two@x>");
    let links = office.receive(&again).links();
    assert_eq!(links, "T-071 in-reply-to (unverified); project-unverified=yes");
    assert_eq!(office.receive(&from(STRANGER, mail)).links(), unverified);

    let partner = "From: Bob <Bob@Partner.example>\n";
    assert_eq!(office.receive(&from(partner, mail)).links(), "T-071 subject-token", "by domain");
    let alone = Office::new().without("senders");
    assert_eq!(alone.receive(&from(KNOWN, mail)).links(), unverified, "no table of senders");
    let trusting = Office::new().with(json!({ "trust_token": true }));
    assert_eq!(trusting.receive(&from(STRANGER, mail)).links(), "T-071 subject-token");
    let other = Office::new().table("friends", &[("eve@stranger.example", &[])]);
    let other = other.with(json!({ "senders": "friends" }));
    assert_eq!(other.receive(&from(STRANGER, mail)).links(), "T-071 subject-token");
}

#[test]
fn an_answer_to_a_known_message_links_and_makes_its_sender_known() {
    let office = Office::new();
    office.receive(&from(KNOWN, "Subject: [T-071] Plans\nMessage-ID: <1@known.example>"));
    let eve = "Subject: something else\nIn-Reply-To: <1@known.example>\nMessage-ID: <2@x>";
    assert_eq!(office.receive(&from(STRANGER, eve)).links(), "T-071 in-reply-to");
    let token = office.receive(&from(STRANGER, "Subject: [T-072] next"));
    assert_eq!(token.links(), "T-072 subject-token", "she has answered us before");
    let answer = office.receive(&from(KNOWN, "Subject: Re: x\nIn-Reply-To: <2@x>"));
    assert_eq!(answer.links(), "T-071 in-reply-to");
    let token = "Subject: [T-072] Plans\nIn-Reply-To: <unknown@x> <1@known.example>";
    assert_eq!(office.receive(&from(KNOWN, token)).links(), "T-071 in-reply-to", "before a token");
}

#[test]
fn nobody_becomes_known_by_writing_to_an_open_address() {
    let office = Office::new();
    let first = "To: smartcity+T-071@example.com\nSubject: a\nMessage-ID: <1@x>";
    assert_eq!(office.receive(&from(STRANGER, first)).links(), "T-071 plus-address");
    let second = from(STRANGER, "Subject: a\nIn-Reply-To: <1@x>\nMessage-ID: <2@x>");
    assert_eq!(office.receive(&second).links(), "T-071 in-reply-to");
    let token = office.receive(&from(STRANGER, "Subject: [T-072] b"));
    assert_eq!(token.links(), "T-072 subject-token (unverified); project-unverified=yes");
}

#[test]
fn programs_do_not_become_known() {
    let office = Office::new();
    office.receive(&from(KNOWN, "Subject: [T-071] Plans\nMessage-ID: <1@known.example>"));
    let robot =
        "Subject: Automatic reply\nIn-Reply-To: <1@known.example>\nAuto-Submitted: auto-replied";
    assert_eq!(office.receive(&from(STRANGER, robot)).links(), "T-071 in-reply-to");
    let token = office.receive(&from(STRANGER, "Subject: [T-072] b"));
    assert_eq!(token.links(), "T-072 subject-token (unverified); project-unverified=yes");
}

#[test]
fn references_need_the_same_subject() {
    let office = Office::new();
    office.receive(&from(KNOWN, "Subject: [T-071] Plans\nMessage-ID: <1@known.example>"));
    let references = "References: <other@x> <1@known.example> <unseen@x>\nMessage-ID: <3@x>\n";
    for (subject, links) in [
        ("AW: WG: [T-071] Plans", "T-071 references"),
        ("Re: [t-071]  plans", "T-071 references"),
        ("A new topic in an old thread", ""),
        ("Re:", ""),
    ] {
        let mail = format!("{STRANGER}{references}Subject: {subject}");
        assert_eq!(office.receive(&mail).links(), links, "{subject}");
    }
    // The ids between were remembered with the first: a sibling's answer links too.
    let sibling = office.receive(&from(STRANGER, "Subject: hm\nIn-Reply-To: <unseen@x>"));
    assert_eq!(sibling.links(), "T-071 in-reply-to");
}

#[test]
fn receipts_and_bounces_link_by_their_references() {
    let office = Office::new();
    office.receive(&from(KNOWN, "Subject: [T-071] Plans\nMessage-ID: <1@known.example>"));
    let mdn = "Subject: Gelesen: Plans\nReferences: <1@known.example>\nContent-Type: \
               multipart/report; report-type=disposition-notification; boundary=b";
    assert_eq!(office.receive(&from(STRANGER, mdn)).links(), "T-071 references");
    let bounce = "Subject: Undelivered Mail Returned to Sender\nReferences: <1@known.example>\n\
                  Content-Type: multipart/report; report-type=delivery-status; boundary=b";
    let daemon = "From: MAILER-DAEMON@mx.example\n";
    assert_eq!(office.receive(&from(daemon, bounce)).links(), "T-071 references");
}

#[test]
fn an_alias_of_a_project_links_last() {
    let office = Office::new().with(json!({ "aliases": { "Library@Example.com": "T-072" } }));
    for (to, links) in [
        ("To: T-071@example.com", "T-071 alias"),
        ("Cc: library@example.com", "T-072 alias"),
        ("To: t-072@example.com", ""),
        ("To: t-071@elsewhere.example", ""),
        ("To: office@example.com", ""),
    ] {
        assert_eq!(office.receive(&from(STRANGER, to)).links(), links, "{to}");
    }
    let token = office.receive(&from(KNOWN, "To: t-071@example.com\nSubject: [T-072]"));
    assert_eq!(token.links(), "T-072 subject-token", "a token is stronger");
}

#[test]
fn no_message_takes_anothers_thread_away() {
    let office = Office::new();
    office.receive(&from(KNOWN, "Subject: [T-071] Plans\nMessage-ID: <1@known.example>"));
    let thief = "To: smartcity+T-072@example.com\nSubject: x\nMessage-ID: <1@known.example>\n\
                 References: <1@known.example>";
    assert_eq!(office.receive(&from(KNOWN, thief)).links(), "T-072 plus-address");
    let answer = office.receive(&from(KNOWN, "Subject: Re\nIn-Reply-To: <1@known.example>"));
    assert_eq!(answer.links(), "T-071 in-reply-to");
}

#[test]
fn a_verified_link_replaces_an_unverified_one() {
    let office = Office::new();
    office.receive(&from(STRANGER, "Subject: [T-072] Plans\nMessage-ID: <1@x>"));
    let anna = "To: smartcity+T-071@example.com\nSubject: x\nReferences: <1@x>\nMessage-ID: <2@x>";
    office.receive(&from(KNOWN, anna));
    let answer = office.receive(&from(KNOWN, "Subject: Re\nIn-Reply-To: <1@x>"));
    assert_eq!(answer.links(), "T-071 in-reply-to");
}

#[test]
fn what_is_remembered_is_bounded() {
    let office = Office::new();
    let ids: String = (0..500).map(|n| format!(" <{n}@x>\n")).collect();
    let long = format!("<{}@x>", "i".repeat(300));
    let mail = format!(
        "{KNOWN}Subject: [T-071] {}\nMessage-ID: <own@x>\nIn-Reply-To: {long} <asked@x>\n\
         References:\n{ids} {long}",
        "word ".repeat(500)
    );
    let seen = office.receive(&mail);
    assert_eq!(seen.links(), "T-071 subject-token");
    assert_eq!(seen.kept, 20);
    let memory = office.memory.0.lock().unwrap();
    for kept in ["mid:own@x", "mid:asked@x", "mid:499@x"] {
        assert!(memory.contains_key(kept), "{kept}: its own, what it answers, the newest");
    }
    assert!(memory.iter().all(|(key, value)| key.len() <= 204 && value.len() <= 500));
}

#[test]
fn what_we_send_makes_its_answers_link() {
    let office = Office::new();
    let ours = "From: office@example.com\nSubject: [T-071] Offer\nMessage-ID: <ours@example.com>";
    assert_eq!(office.send(ours).links(), "T-071 subject-token", "our token needs no proof");
    let answer = from(STRANGER, "Subject: other words\nIn-Reply-To: <ours@example.com>");
    assert_eq!(office.receive(&answer).links(), "T-071 in-reply-to");
    let token = office.receive(&from(STRANGER, "Subject: [T-072] b"));
    assert_eq!(token.links(), "T-072 subject-token", "who answers us is known");
}

#[test]
fn an_earlier_steps_link_stands_and_is_remembered() {
    struct Said;
    impl Step for Said {
        fn name(&self) -> &str {
            "said"
        }
        fn defines(&self, _direction: Direction) -> bool {
            true
        }
        fn run(&self, run: &Arc<Run>) -> Result<(), StepError> {
            run.link("T-072", "by hand", None).unwrap();
            Ok(())
        }
    }
    let office = Office::new();
    let mail = from(KNOWN, "Subject: [T-071] Plans\nMessage-ID: <1@x>");
    let seen = office.decide(Direction::Inbound, &mail, &[Arc::new(Said)]);
    assert_eq!(seen.links(), "T-072 by hand");
    let answer = office.receive(&from(KNOWN, "Subject: Re\nIn-Reply-To: <1@x>"));
    assert_eq!(answer.links(), "T-072 in-reply-to");
}

#[test]
fn it_works_without_any_table() {
    let office = Office::new().without("senders").without("projects").without("accounts");
    assert_eq!(office.receive(&from(KNOWN, "Subject: [T-071]\nTo: a+T-071@b")).links(), "");
}

#[test]
fn a_mistake_in_with_fails_the_step_with_its_name() {
    let why = |with| Office::new().with(with).receive(KNOWN).error().to_owned();
    let start = "project-link.wasm: returned an error: ";
    assert!(why(json!({ "tokn": "x" })).starts_with(&format!("{start}with.tokn is unknown")));
    assert!(why(json!({ "token": "(" })).starts_with(&format!("{start}with.token is no regular")));
    assert!(why(json!({ "token": "T-\\d" })).contains("one group"));
}

#[test]
fn hostile_headers_do_no_harm() {
    let office = Office::new();
    let many =
        format!("{KNOWN}Subject: {}\nTo: {}", "[T-071]".repeat(20_000), "a@b, ".repeat(20_000));
    assert_eq!(office.receive(&many).links(), "T-071 subject-token");
    let odd = from(
        KNOWN,
        "Subject: [T-071]\tx\u{1b}[31m\nMessage-ID: <a\tb@x>\nReferences: <<>>< <a> b>",
    );
    assert_eq!(office.receive(&odd).links(), "T-071 subject-token");
}

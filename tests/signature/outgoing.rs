//! What a generation lets leave: headers changed, and signed with the fields of project and user.

use std::collections::BTreeMap;

use mailmill::mail::Message;
use mailmill::mail::receipt::REQUESTS;
use mailmill::mail::signature::Signing;
use mailmill::pipeline::{Action, Decision, Recorded, Verdict};
use serde_json::Value;

use super::mail;
use super::templates::{folder, load};
use crate::support::mill::Mill;

const TEMPLATE: &[u8] = b"{{ project.name }}\n{{ user.full }}\n";

fn decision(project: Option<&str>, actions: Vec<Action>) -> Decision {
    let said = |action| Recorded { action, step: "send".into(), at: None };
    Decision {
        generation: 1,
        digest: String::new(),
        verdict: Verdict::Continue,
        actions: actions.into_iter().map(said).collect(),
        tags: BTreeMap::new(),
        project: project.map(str::to_owned),
        steps: Vec::new(),
    }
}

fn message() -> Message {
    let content =
        "Disposition-Notification-To: <anna@example.com>\nContent-Type: text/plain; charset=utf-8";
    Message::whole(mail(content, "Anbei.\n"))
}

fn sign(template: &str) -> Action {
    Action::Sign { template: template.into() }
}

#[test]
fn headers_and_signature_in_one() {
    let folder = folder(&[("firm.txt", TEMPLATE), ("other.txt", b"Other")]);
    let (config, generation) = load(&folder);
    let (generation, account) = (generation.unwrap(), &config.accounts["office"]);
    let set =
        |name: &str, value: &str| Action::SetHeader { name: name.into(), value: value.into() };
    let said = vec![
        Action::StripReceiptRequests,
        sign("other"),
        set("Subject", "[T-114] Lageplan"),
        sign("firm"),
        Action::AddHeader { name: "X-Project".into(), value: "T-114".into() },
    ];
    let edited =
        generation.outgoing(message(), &decision(Some("T-114"), said), account, "anna", 0).unwrap();
    assert_eq!(edited.signing, Some(Signing::Signed { template: "firm".into() }));
    let text = String::from_utf8(edited.message.bytes().to_vec()).unwrap();
    assert!(text.starts_with("X-Project: T-114\r\nFrom: Anna"), "{text}");
    assert!(text.contains("\r\nSubject: [T-114] Lageplan\r\n"), "{text}");
    assert!(!text.contains("Disposition-Notification-To"), "{text}");
    assert!(text.ends_with("\r\n\r\nAnbei.\r\n\r\n-- \r\n<Kita>\r\nAnna Muster\r\n"), "{text}");

    // Where nothing was linked, the account's project counts.
    let by_account = generation
        .outgoing(message(), &decision(None, vec![sign("firm")]), account, "x", 0)
        .unwrap();
    let text = by_account.message.text(1000).unwrap();
    assert!(text.ends_with("-- \nSmart City & Süd\n"), "{text}");
}

#[test]
fn no_request_for_a_receipt_leaves() {
    let folder = folder(&[]);
    let (config, generation) = load(&folder);
    let (generation, account) = (generation.unwrap(), &config.accounts["office"]);
    let requests = REQUESTS.map(|name| {
        [
            format!("{name}: anna@example.com"),
            format!("{}:\n anna@example.com,\n\t<b@example.com>", name.to_uppercase()),
            format!("{} : anna@example.com", name.to_lowercase()),
        ]
        .join("\n")
    });
    let content = format!(
        "{}\nDisposition-Notification-Options: x\nX-Keep: Return-Receipt-To: no",
        requests.join("\n")
    );
    let message = Message::whole(mail(&content, "Return-Receipt-To: in the text\n"));
    let said = decision(None, vec![Action::StripReceiptRequests]);
    let edited = generation.outgoing(message, &said, account, "anna", 0).unwrap();
    assert_eq!(
        String::from_utf8_lossy(edited.message.bytes()),
        String::from_utf8_lossy(&mail(
            "X-Keep: Return-Receipt-To: no",
            "Return-Receipt-To: in the text\n"
        ))
    );
}

#[test]
fn what_is_not_signed_leaves_as_it_is_and_says_why() {
    let folder = folder(&[("firm.txt", TEMPLATE)]);
    let (config, generation) = load(&folder);
    let (generation, account) = (generation.unwrap(), &config.accounts["office"]);
    let bytes = mail("Content-Type: text/calendar; method=REQUEST", "BEGIN:VCALENDAR\n");
    let asked = decision(None, vec![sign("firm")]);
    let edited =
        generation.outgoing(Message::whole(bytes.clone()), &asked, account, "anna", 0).unwrap();
    assert_eq!(**edited.message.bytes(), *bytes);
    let told = edited.signing.unwrap().to_string();
    assert_eq!(told, "not signed with firm: it is an invitation or an answer to one");
    let unasked = decision(None, Vec::new());
    let edited = generation.outgoing(message(), &unasked, account, "anna", 0).unwrap();
    assert_eq!(edited.signing, None);
    assert_eq!(edited.message.bytes(), message().bytes());
}

#[test]
fn a_template_that_is_not_there_lets_nothing_leave() {
    let folder = folder(&[("firm.txt", TEMPLATE)]);
    let (config, generation) = load(&folder);
    let asked = decision(None, vec![sign("frim")]);
    let account = &config.accounts["office"];
    let told = generation.unwrap().outgoing(message(), &asked, account, "anna", 0).unwrap_err();
    assert!(told.to_string().contains("there is no such template"), "{told}");
    assert_eq!(told.retry(), mailmill::error::Retry::Never);
}

const CONFIG: &str = r#"
[accounts.office]
address = "office@example.com"
maildir = "maildir"

[pipelines.send]
steps = [{ script = "send" }]
"#;

fn mill() -> Mill {
    let mill = Mill::new(CONFIG);
    mill.write("templates/firm.html", "<p>Firm {{ project.code }}<br>\n{{ user.name }}</p>\n");
    mill.write(
        "scripts/send.rhai",
        "fn outbound(mail) { mail.strip_receipt_requests(); mail.sign(\"firm\"); }\n",
    );
    mill.write("m.eml", message().bytes());
    mill
}

#[test]
fn it_can_be_seen_before_anything_is_sent() {
    let mill = mill();
    let told = mill
        .expect(0, &["sign", "--template", "firm", "--project", "T-1", "--user", "anna", "m.eml"]);
    assert_eq!(told, "m.eml\n    signed with firm\n    + \n    + --\n    + Firm T-1\n    + anna\n");
    let args = [
        "sign",
        "--template",
        "firm",
        "--user",
        "anna",
        "--output",
        "signed.eml",
        "--json",
        "m.eml",
    ];
    let told: Value = serde_json::from_str(&mill.expect(0, &args)).unwrap();
    assert_eq!(
        told,
        serde_json::json!({"v": 1, "file": "m.eml", "signing": "signed", "template": "firm", "message": "signed.eml"})
    );
    let told = mill.expect(1, &["sign", "--template", "firm", "--user", "anna", "signed.eml"]);
    assert!(told.contains("already signed"), "{told}");
    let signed = std::fs::read(mill.path("signed.eml")).unwrap();
    assert_eq!(
        mill.expect(0, &["sign", "--template", "firm", "--user", "anna", "--output", "-", "m.eml"])
            .as_bytes(),
        signed
    );
    let wrong = mill.call(&["sign", "--template", "frim", "m.eml"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("there is no such template"));
    mill.expect(2, &["sign", "--template", "firm", "--account", "nobody", "m.eml"]);
}

#[test]
fn try_shows_what_leaves() {
    let mill = mill();
    let try_out = |more: &[&'static str]| {
        let args = ["try", "--direction", "outbound", "--user", "anna", "--pipeline", "send"];
        [&args[..], more, &["m.eml"]].concat()
    };
    let told = mill.expect(0, &try_out(&["--output", "out"]));
    assert!(told.contains("    signed with firm\n    written to out/m.eml\n"), "{told}");
    let written = std::fs::read_to_string(mill.path("out/m.eml")).unwrap();
    assert!(!written.contains("Disposition-Notification-To"), "{written}");
    assert!(written.ends_with("Anbei.\r\n\r\n-- \r\nanna\r\n"), "{written}");
    let told: Value = serde_json::from_str(&mill.expect(0, &try_out(&["--json"]))).unwrap();
    assert_eq!(told["actions"][1]["action"], "sign");
    assert_eq!(told["signature"]["signing"], "signed");
    mill.expect(2, &["try", "--user", "anna", "--pipeline", "send", "m.eml"]);
}

#[test]
fn a_script_names_templates_that_there_are() {
    let mill = mill();
    mill.write("scripts/send.rhai", "fn outbound(mail) { mail.sign(\"frim\"); }\n");
    let output = mill.call(&["check"]);
    assert_eq!(output.status.code(), Some(78));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("send.rhai:1:31: there is no template \"frim\""), "{told}");
    assert!(told.contains("did you mean \"firm\"?"), "{told}");
    // A name that is not written out is seen when it is said.
    mill.write("scripts/send.rhai", "fn outbound(mail) { mail.sign(\"fri\" + \"m\"); }\n");
    let args = ["try", "--direction", "outbound", "--pipeline", "send", "m.eml"];
    let told = mill.expect(1, &args);
    assert!(told.contains("there is no template \"frim\"; did you mean \"firm\"?"), "{told}");
}

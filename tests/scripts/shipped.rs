//! The scripts that come with mailmill.

use std::path::Path;

use serde_json::{Value, json};

use super::{MAIL, Rules, rules};

fn shipped(name: &str, config: Value) -> Rules {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(format!("{name}.rhai"));
    let mut shipped = rules(&std::fs::read_to_string(file).unwrap());
    shipped.steps[0].0 = name.into();
    shipped.with(config)
}

/// The route script after a step that links.
fn route(link: &str, config: Value) -> Vec<Value> {
    let mut route = shipped("route", config);
    let before = format!("fn inbound(mail) {{ {link} }}");
    route.steps.insert(0, ("link".into(), before, Value::Null));
    let csv = "code,mailbox\nT-071,Projekte/Süd\nT-2,\n";
    let said = route.table("projects", "code", csv).table("other", "code", csv).said(MAIL);
    said.into_iter().filter(|said| said["step"] == "route").collect()
}

#[test]
fn route_files_by_the_table() {
    let target = |link: &str, config: Value| {
        let said = route(link, config);
        assert!(said.len() <= 1, "{said:?}");
        said.first().map(|said| said["mailbox"].as_str().unwrap().to_owned())
    };
    let link = |code: &str| format!("mail.link(\"{code}\", \"e\");");
    let to = |mailbox: &str| Some(mailbox.to_owned());
    assert_eq!(target(&link("T-071"), Value::Null), to("Projekte/Süd"));
    assert_eq!(target(&link("T-071"), json!({"table": "other"})), to("Projekte/Süd"));
    assert_eq!(target(&link("T-2"), Value::Null), to("Projects/T-2"));
    assert_eq!(target(&link("T-3"), json!({"prefix": "P/"})), to("P/T-3"));
    assert_eq!(target("", Value::Null), None);
    assert_eq!(target("", json!({"other": "Unsorted"})), to("Unsorted"));
    let unverified = link("T-071") + "mail.tag(\"project-unverified\", \"yes\");";
    assert_eq!(target(&unverified, Value::Null), None, "a stranger's claim files nothing");
    assert_eq!(target(&unverified, json!({"unverified": "file"})), to("Projekte/Süd"));
    assert_eq!(target(&unverified, json!({"unverified": "Review"})), to("Review"));
}

#[test]
fn strip_receipts_touches_only_what_asks() {
    let words = |mail: &str, config: Value| {
        let said = shipped("strip-receipts", config).headers_only().said(mail);
        let word = |said: &Value| {
            let about = said["mailbox"].as_str().or(said["flag"].as_str()).unwrap_or_default();
            format!("{} {about}", said["action"].as_str().unwrap()).trim().to_owned()
        };
        said.iter().map(word).collect::<Vec<_>>()
    };
    let config = json!({"mdn": "Receipts"});
    assert_eq!(words(MAIL, config.clone()), ["suppress_receipt", "strip_receipt_requests"]);
    let plain = MAIL.replace("Disposition-Notification-To", "X-Other");
    assert_eq!(words(&plain, config.clone()), Vec::<String>::new());
    let mdn = "From: a@b.example\r\nSubject: Gelesen\r\nContent-Type: multipart/report;\r\n \
               report-type=disposition-notification; boundary=b\r\n\r\n--b--\r\n";
    assert_eq!(words(mdn, config), ["move_to Receipts", "stop"]);
    let dropped = ["add_flag \\Seen", "move_to Trash", "stop"];
    assert_eq!(words(mdn, json!({"mdn": "drop"})), dropped);
    assert_eq!(words(mdn, Value::Null), Vec::<String>::new());
}

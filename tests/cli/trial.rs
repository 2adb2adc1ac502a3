//! `try` says what the live run would do, and never that it is done.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;

use serde_json::{Value, json};

use super::{mail, mill, told};
use crate::support::mill::Mill;

const SCRIPT: &str = r#"fn inbound(mail) {
    mail.tag("size", "small");
    mail.log("looked");
    let seen = mail.state.get("seen");
    mail.state.set("seen", "yes");
    if seen == "yes" { mail.hold("seen before"); }
    mail.move_to("Done");
}"#;

fn tried(mill: &Mill) -> Value {
    super::json(&mill.expect(0, &["try", "--pipeline", "sort", "--json", "same.eml"]))
}

fn ready(script: &str) -> Mill {
    let mill = mill(script);
    mill.write("same.eml", mail("Same"));
    // These compare other rules with those in force, which must not be put in force meanwhile.
    let config = std::fs::read_to_string(mill.path("mailmill.toml")).unwrap();
    mill.write("mailmill.toml", format!("[engine]\nwatch = \"off\"\n{config}"));
    mill
}

#[test]
fn the_generation_is_that_of_the_live_run() {
    let mill = ready(SCRIPT);
    assert_eq!(tried(&mill)["generation"], 0, "nothing is in force yet");
    mill.deliver("maildir", "1", mail("Same"));
    mill.once();
    let lived = super::json(&mill.expect(0, &["explain", "1", "--json"]));
    let at_rest = tried(&mill);
    assert_eq!(lived["decision"]["generation"], 1);
    assert_eq!(at_rest["generation"], 1);
    assert_eq!(at_rest["digest"], lived["decision"]["digest"]);
    assert_eq!(at_rest["verdict"], "hold", "it remembers what the live run remembered");

    let mut engine = mill.start();
    engine.wait_event("connected");
    let mut running = tried(&mill);
    running["steps"] = at_rest["steps"].clone();
    assert_eq!(running, at_rest);
    mill.write("scripts/sort.rhai", format!("{SCRIPT}\n"));
    assert_eq!(tried(&mill)["generation"], 0, "the engine runs with other rules");
}

#[test]
fn the_text_says_what_would_be_done_and_why_it_is_held() {
    let mill = ready(SCRIPT);
    let args = ["try", "--pipeline", "sort", "same.eml"];
    let text = mill.expect(0, &args);
    for line in ["tag size = small", "log: looked", "remember seen = yes", "move to Done"] {
        assert!(text.contains(&format!("    {line} (sort.rhai:")), "{line} is not in\n{text}");
    }
    assert!(!text.contains("moved"), "{text}");
    mill.deliver("maildir", "1", mail("Same"));
    mill.once();
    let text = mill.expect(0, &args);
    assert!(text.contains("    hold: seen before\n"), "{text}");
    mill.write("scripts/sort.rhai", "fn inbound(mail) { }");
    let text = mill.expect(0, &args);
    assert!(text.contains("    stay where it is\n"), "{text}");
}

#[test]
fn a_memory_that_cannot_be_asked_is_an_error_and_not_empty() {
    let mill = ready(SCRIPT);
    std::fs::create_dir(mill.path("data")).unwrap();
    let socket = UnixListener::bind(mill.path("data/control.sock")).unwrap();
    std::thread::spawn(move || {
        for stream in socket.incoming() {
            let mut stream = stream.unwrap();
            let mut request = String::new();
            BufReader::new(&stream).read_line(&mut request).unwrap();
            let answer = match super::json(&request)["ask"].as_str() {
                Some("step_state") => json!({ "error": "the disk is gone", "retry": "later" }),
                _ => json!({ "ok": null }),
            };
            writeln!(stream, "{answer}").unwrap();
        }
    });
    let args = ["try", "--pipeline", "sort", "--json", "same.eml"];
    let (code, out, err) = told(mill.call(&args));
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains("the disk is gone"), "{err}");
}

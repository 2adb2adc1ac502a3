//! Broken plugin files: each is refused when it is loaded, with what is wrong and what to do.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use mailmill::pipeline::{Direction, Limits, plugin};

use crate::plugins::guest::{EXPORTS, Guest};

/// A broken plugin's name and bytes.
pub type Broken = (&'static str, Vec<u8>);

#[test]
fn every_broken_plugin_is_told_apart() {
    let broken = broken();
    let mut report = String::new();
    for (name, bytes) in broken {
        let file = format!("plugins/{name}.wasm");
        match plugin::load(name, file.as_ref(), &bytes, &limits(), &plugin::Cache::none()) {
            Ok(_) => panic!("{name} was loaded"),
            Err(fault) => writeln!(report, "{fault}\n").unwrap(),
        }
    }
    insta::assert_snapshot!(report);
}

#[test]
fn a_right_plugin_is_loaded_and_says_its_directions() {
    let step = plugin::load(
        "x",
        "x.wasm".as_ref(),
        &Guest::default().build(),
        &limits(),
        &plugin::Cache::none(),
    )
    .unwrap();
    assert_eq!(step.name(), "x");
    assert!(step.defines(Direction::Inbound) && !step.defines(Direction::Outbound));
}

fn limits() -> Arc<Limits> {
    let plugin_time = Duration::from_millis(50);
    Arc::new(Limits { plugin_file: 1 << 20, plugin_time, ..Limits::default() })
}

/// All broken plugins.
pub fn broken() -> impl Iterator<Item = Broken> {
    no_components().into_iter().chain(other_contracts()).chain(bad_descriptions())
}

fn no_components() -> Vec<Broken> {
    let right = Guest::default().build();
    vec![
        ("empty", Vec::new()),
        ("text", b"(component)".to_vec()),
        ("core-module", wat::parse_str("(module)").unwrap()),
        ("other-version", b"\0asm\x0c\0\x01\0".to_vec()),
        ("cut-off", right[..right.len() / 2].to_vec()),
        ("too-large", vec![0; (1 << 20) + 1]),
    ]
}

fn other_contracts() -> Vec<Broken> {
    let exporting = |exports| Guest { exports, ..Guest::default() }.build();
    let interface = |interface, methods| Guest { interface, methods, ..Guest::default() }.build();
    let importing = |imports| Guest { imports, ..Guest::default() }.build();
    vec![
        ("no-exports", wat::parse_str("(component)").unwrap()),
        ("no-outbound", exporting(EXPORTS.replace("\"outbound\"", "\"outward\""))),
        ("wrong-signature", exporting(EXPORTS.replace("(result string)", "(result u32)"))),
        ("other-contract", interface("mailmill:step/message@2.0.0", "")),
        (
            "newer-contract",
            interface(
                "mailmill:step/message@1.9.0",
                r#"(export "[method]mail.summarize"
                    (func (param "self" (borrow $mail)) (result string)))"#,
            ),
        ),
        (
            "wrong-verb",
            interface(
                "mailmill:step/message@1.0.0",
                r#"(export "[method]mail.hold"
                    (func (param "self" (borrow $mail)) (param "x" u32)))"#,
            ),
        ),
        (
            "wasi",
            importing(
                r#"(import "wasi:cli/environment@0.2.0" (instance
                    (export "get-environment" (func (result (list (tuple string string)))))))"#,
            ),
        ),
        ("foreign", importing(r#"(import "acme:mail/send" (func))"#)),
    ]
}

fn bad_descriptions() -> Vec<Broken> {
    let doing = |describe_body| Guest { describe_body, ..Guest::default() }.build();
    let saying = |describe| Guest { describe, ..Guest::default() }.build();
    vec![
        ("describe-traps", doing("unreachable")),
        ("describe-loops", doing("(loop $l br $l) i32.const 16")),
        ("describe-no-json", saying("a fine plugin")),
        (
            "describe-no-directions",
            saying(r#"{"name":"x","version":"1","about":"x","directions":[]}"#),
        ),
        (
            "describe-unknown-direction",
            saying(r#"{"name":"x","version":"1","about":"x","directions":["sideways"]}"#),
        ),
        ("describe-no-name", saying(r#"{"version":"1","about":"x","directions":[]}"#)),
        (
            "describe-empty-name",
            saying(r#"{"name":"","version":"1","about":"x","directions":["inbound"]}"#),
        ),
        ("memory", Guest::default().with("(memory $large 2000)").build()),
    ]
}

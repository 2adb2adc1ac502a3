//! Broken plugin files: each is refused when it is loaded, with what is wrong and what to do.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use mailmill::pipeline::{Limits, plugin};

use crate::plugins::guest::{EXPORTS, Guest};

fn limits() -> Arc<Limits> {
    let plugin_time = Duration::from_millis(50);
    Arc::new(Limits { plugin_file: 1 << 20, plugin_time, ..Limits::default() })
}

#[test]
fn every_broken_plugin_is_told_apart() {
    let right = Guest::default().build();
    let method = |methods| Guest { methods, ..Guest::default() };
    let broken: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("text", b"(component)".to_vec()),
        ("core-module", wat::parse_str("(module)").unwrap()),
        ("other-version", b"\0asm\x0c\0\x01\0".to_vec()),
        ("cut-off", right[..right.len() / 2].to_vec()),
        ("too-large", vec![0; (1 << 20) + 1]),
        ("no-exports", wat::parse_str("(component)").unwrap()),
        (
            "no-outbound",
            Guest { exports: EXPORTS.replace("\"outbound\"", "\"outward\""), ..Guest::default() }
                .build(),
        ),
        (
            "wrong-signature",
            Guest {
                exports: EXPORTS.replace("(result string)", "(result u32)"),
                ..Guest::default()
            }
            .build(),
        ),
        (
            "other-contract",
            Guest { interface: "mailmill:step/message@2.0.0", ..Guest::default() }.build(),
        ),
        ("newer-contract", {
            let methods = r#"(export "[method]mail.summarize"
                (func (param "self" (borrow $mail)) (result string)))"#;
            Guest { interface: "mailmill:step/message@1.9.0", ..method(methods) }.build()
        }),
        ("wrong-verb", {
            let methods = r#"(export "[method]mail.hold" (func (param "self" (borrow $mail)) (param "x" u32)))"#;
            method(methods).build()
        }),
        ("wasi", {
            let imports = r#"(import "wasi:cli/environment@0.2.0" (instance
                (export "get-environment" (func (result (list (tuple string string)))))))"#;
            Guest { imports, ..Guest::default() }.build()
        }),
        ("foreign", {
            let imports = r#"(import "acme:mail/send" (func))"#;
            Guest { imports, ..Guest::default() }.build()
        }),
        ("describe-traps", Guest { describe_body: "unreachable", ..Guest::default() }.build()),
        (
            "describe-loops",
            Guest { describe_body: "(loop $l br $l) i32.const 16", ..Guest::default() }.build(),
        ),
        ("describe-no-json", Guest { describe: "a fine plugin", ..Guest::default() }.build()),
        (
            "describe-no-directions",
            Guest { describe: r#"{"directions":[]}"#, ..Guest::default() }.build(),
        ),
        (
            "describe-unknown-direction",
            Guest { describe: r#"{"directions":["sideways"]}"#, ..Guest::default() }.build(),
        ),
        ("memory", {
            let items = "(memory $large 2000)";
            Guest::default().with(items).build()
        }),
    ];
    let mut report = String::new();
    for (name, bytes) in broken {
        let file = format!("plugins/{name}.wasm");
        match plugin::load(name, file.as_ref(), &bytes, &limits()) {
            Ok(_) => panic!("{name} was loaded"),
            Err(fault) => writeln!(report, "{fault}\n").unwrap(),
        }
    }
    insta::assert_snapshot!(report);
}

#[test]
fn a_right_plugin_is_loaded_and_says_its_directions() {
    use mailmill::pipeline::Direction;
    let step = plugin::load("x", "x.wasm".as_ref(), &Guest::default().build(), &limits()).unwrap();
    assert_eq!(step.name(), "x");
    assert!(step.defines(Direction::Inbound) && !step.defines(Direction::Outbound));
}

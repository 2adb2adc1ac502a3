//! Who imports whom, and where each outside library lives.

use regex::Regex;

use super::Findings;
use super::source::Text;

/// What each module of the engine may import besides itself. `*` is all of them.
const MAY_IMPORT: [(&str, &[&str]); 23] = [
    ("checksum", &[]),
    ("error", &[]),
    ("clock", &[]),
    ("fault", &[]),
    ("fault_point", &[]),
    ("workers", &["error"]),
    ("tls", &["error"]),
    ("mail", &["error", "fault"]),
    ("maillog", &["mail", "clock"]),
    ("config", &["mail", "pipeline", "fault", "error"]),
    ("store", &["mail", "pipeline", "error", "fault_point", "clock", "checksum"]),
    ("mailbox", &["mail", "config", "error", "fault", "fault_point", "clock", "tls"]),
    ("pipeline", &["mail", "config", "fault", "error", "clock"]),
    ("perform", &["mail", "store", "mailbox", "pipeline", "config", "error", "clock"]),
    (
        "send",
        &[
            "mail",
            "store",
            "mailbox",
            "pipeline",
            "config",
            "error",
            "clock",
            "fault_point",
            "checksum",
            "maillog",
            "perform",
            "tls",
        ],
    ),
    (
        "inbound",
        &[
            "mail", "store", "mailbox", "pipeline", "config", "error", "clock", "perform",
            "maillog", "workers",
        ],
    ),
    (
        "outbound",
        &[
            "mail", "store", "pipeline", "config", "error", "clock", "perform", "send", "maillog",
            "workers",
        ],
    ),
    ("daemon", &["*"]),
    ("control", &["*"]),
    ("cli", &["*"]),
    ("web", &["*"]),
    ("main", &["*"]),
    ("lib", &["*"]),
];

/// Where each outside library lives: a folder, or a file of that name.
const HOMES: [(&str, &str); 15] = [
    ("crc32fast", "engine/checksum"),
    ("sled", "engine/store"),
    ("async_imap", "engine/mailbox/imap"),
    ("imap_proto", "engine/mailbox/imap"),
    ("rhai", "engine/pipeline"),
    ("wasmtime", "engine/pipeline"),
    ("minijinja", "engine/pipeline/template"),
    ("notify", "engine/pipeline"),
    ("mail_parser", "engine/mail"),
    ("smtp_proto", "engine/send/dialogue"),
    ("argon2", "engine/send/password"),
    ("lettre", "engine/send/relay"),
    ("axum", "engine/web"),
    ("clap", "engine/cli"),
    ("toml", "engine/config"),
];

/// Imports against the direction.
pub fn directions(text: &Text) -> Findings {
    let Some(path) = text.path.strip_prefix("engine/").and_then(|path| path.strip_suffix(".rs"))
    else {
        return Findings::new();
    };
    let levels: Vec<&str> = path.split('/').filter(|level| *level != "mod").collect();
    let own = levels[0];
    let Some((_, allowed)) = MAY_IMPORT.iter().find(|(module, _)| *module == own) else {
        return vec![format!("{}:1: say in tests/tidy/imports.rs what it may import", text.path)];
    };
    let mut findings = Findings::new();
    for (at, module, rest) in imported(text.shipped(), levels.len()) {
        let known = MAY_IMPORT.iter().any(|(known, _)| *known == module);
        let place = format!("{}:{}", text.path, text.line(at));
        if known && module != own && !allowed.contains(&"*") && !allowed.contains(&module) {
            let may = allowed.join(", ");
            findings.push(format!(
                "{place}: `{own}` may not import `{module}`, only {may}: move the code to where \
                 both are known, or pass what it needs"
            ));
        }
        let words = ["::OnError", "::action::"].iter().any(|words| rest.starts_with(words));
        if own == "config" && module == "pipeline" && !words {
            findings.push(format!(
                "{place}: of `pipeline`, `config` knows `OnError` and the words of `action` alone"
            ));
        }
    }
    findings
}

/// The modules of the crate that are named, with their offset and what follows. `depth` is how many
/// `super` lead to the crate.
fn imported(code: &str, depth: usize) -> Vec<(usize, &str, &str)> {
    let root = format!(r"(?:\bcrate|\b(?:super::){{{}}}super)::", depth - 1);
    let single = Regex::new(&format!(r"{root}([a-z_]\w*)")).unwrap();
    let group = Regex::new(&format!(r"{root}\{{")).unwrap();
    let mut found = Vec::new();
    for capture in single.captures_iter(code) {
        // More `super` than this one would have matched already; fewer are below the crate.
        let (whole, module) = (capture.get(0).unwrap(), capture.get(1).unwrap());
        if module.as_str() != "super" && !code[..whole.start()].ends_with("super::") {
            found.push((module.start(), module.as_str(), &code[module.end()..]));
        }
    }
    for open in group.find_iter(code) {
        found.extend(in_group(code, open.end()));
    }
    found
}

/// The first names of `{a::b, c, d::{e, f}}`, which begins before `start`.
fn in_group(code: &str, start: usize) -> Vec<(usize, &str, &str)> {
    let (mut depth, mut fresh) = (0, Some(start));
    let mut found = Vec::new();
    for (at, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => break,
            b'}' => depth -= 1,
            b',' if depth == 0 => fresh = Some(at + 1),
            b'a'..=b'z' if fresh.is_some() => {
                let end = code[at..].find(|c: char| !c.is_alphanumeric() && c != '_');
                let end = at + end.unwrap_or(0);
                found.push((at, &code[at..end], &code[end..]));
                fresh = None;
            }
            _ => {}
        }
    }
    found
}

/// Outside libraries away from their home.
pub fn homes(text: &Text) -> Findings {
    if !text.path.starts_with("engine/") || !text.path.ends_with(".rs") {
        return Findings::new();
    }
    let mut findings = Findings::new();
    for (library, home) in HOMES.into_iter().filter(|(name, _)| text.code.contains(name)) {
        let at_home =
            text.path == format!("{home}.rs") || text.path.starts_with(&format!("{home}/"));
        let used =
            Regex::new(&format!(r"\b{library}::|\b(?:use|crate) (?:::)?{library}\b")).unwrap();
        if let Some(used) = used.find(&text.code).filter(|_| !at_home) {
            findings.push(format!(
                "{}:{}: `{library}` lives in {home} alone: use it there, and pass our own types",
                text.path,
                text.line(used.start())
            ));
        }
    }
    findings
}

//! Sizes, headers, and what is left undone.

use regex::Regex;

use super::Findings;
use super::source::Text;

/// Lines of a file at most.
const FILE: usize = 600;
/// Lines of a function at most.
const FUNCTION: usize = 80;

/// Files and functions that have grown too long.
pub fn sizes(text: &Text) -> Findings {
    let mut findings = Findings::new();
    if !text.path.ends_with(".rs") {
        return findings;
    }
    let lines = text.content.lines().count();
    if lines > FILE {
        let path = &text.path;
        findings.push(format!("{path}:1: has {lines} lines, more than {FILE}: split it by noun"));
    }
    let function = Regex::new(r"\bfn\s+(\w+)").unwrap();
    for capture in function.captures_iter(&text.code) {
        let at = capture.get(0).unwrap().start();
        let lines = body_end(&text.code, at).map_or(1, |end| text.line(end) - text.line(at) + 1);
        if lines > FUNCTION {
            findings.push(format!(
                "{}:{}: function `{}` has {lines} lines, more than {FUNCTION}: split it by step",
                text.path,
                text.line(at),
                &capture[1]
            ));
        }
    }
    findings
}

/// Where the body of the function at this offset ends; `None` where it has none.
fn body_end(code: &str, function: usize) -> Option<usize> {
    let (mut around, mut braces) = (0, 0);
    for (at, byte) in code.bytes().enumerate().skip(function) {
        match byte {
            b'(' | b'[' if braces == 0 => around += 1,
            b')' | b']' if braces == 0 => around -= 1,
            b';' if around == 0 && braces == 0 => return None,
            b'{' if around == 0 => braces += 1,
            b'}' if around == 0 => {
                braces -= 1;
                if braces == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// Files of the engine that do not say what belongs into them.
pub fn headers(text: &Text) -> Findings {
    let engine = text.path.starts_with("engine/") && text.path.ends_with(".rs");
    if engine && !text.content.starts_with("//! ") {
        let what = "does not open with `//!`: say what belongs into this file";
        return vec![format!("{}:1: {what}", text.path)];
    }
    Findings::new()
}

/// Ignored tests and unfinished code.
pub fn leftovers(text: &Text) -> Findings {
    let left = Regex::new(r"#\[ignore\b|\b(?:todo|unimplemented)!").unwrap();
    let found = left.find_iter(&text.code).map(|found| {
        let (path, line) = (&text.path, text.line(found.start()));
        format!("{path}:{line}: {} is left over: finish it or take it out", found.as_str())
    });
    found.collect()
}

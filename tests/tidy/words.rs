//! Words that belong to one machine or one network.

use regex::Regex;

use super::Findings;
use super::source::Text;

/// Package registries by name; the words are joined so that this file does not name one itself.
const REGISTRIES: [&[&str]; 6] = [
    &["crates", "io"],
    &["pypi", "org"],
    &["npmjs", "org"],
    &["golang", "org"],
    &["rubygems", "org"],
    &["deb", "debian", "org"],
];

/// Absolute paths of somebody's machine, and hosts of package registries.
pub fn places(text: &Text) -> Findings {
    let folders = ["home", "root", "work", "Users"].join("|");
    let machine =
        Regex::new(&format!(r#"(?m)(?:^|[\s"'`(\[=:,])(/(?:{folders})/[\w.-]+)"#)).unwrap();
    let hosts: Vec<String> =
        REGISTRIES.iter().map(|words| regex::escape(&words.join("."))).collect();
    let registry = Regex::new(&format!(r"\b(?:{})\b", hosts.join("|"))).unwrap();
    let mut findings = Findings::new();
    for capture in machine.captures_iter(&text.content) {
        let found = capture.get(1).unwrap();
        let (path, line) = (&text.path, text.line(found.start()));
        let what = "is a path of one machine: start at the project or at the file's folder";
        findings.push(format!("{path}:{line}: {} {what}", found.as_str()));
    }
    for found in registry.find_iter(&text.content) {
        let (path, line) = (&text.path, text.line(found.start()));
        let what = "is a package registry: leave it to the package manager";
        findings.push(format!("{path}:{line}: {} {what}", found.as_str()));
    }
    findings
}

//! `*.test.toml`: the user's own tests of rules, as written. Unknown keys and wrong values are told
//! with their places, like those of the configuration.
//!
//! Here is what a file says: a list of [`Case`]s, with the file's `[default]` put in where a case
//! says nothing. Whether the names in it exist, and what comes of a case, is
//! [`crate::pipeline::case`]'s.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value as Json};
use toml::de::DeTable;

use super::load::{open, syntax};
use super::page::{At, Page, quoted};
use super::reader::{Reader, Shape};
use super::{Config, mask};
use crate::fault::{Fault, Faults};
use crate::mail::{Flag, MailboxName};
use crate::pipeline::action::{Direction, Verdict};

mod expect;
mod message;
mod setting;

pub use message::Letter;
use setting::Setting;

/// What the name of a file of tests ends with.
pub const ENDING: &str = ".test.toml";

/// At most this many files of tests in a folder.
const MOST_FILES: usize = 1_000;

/// `[[case]]`.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its name.
    pub name: Named,
    /// The messages, at least one; each is decided for itself.
    pub messages: Vec<Letter>,
    /// What is to decide; `None` means the account's inbound pipeline.
    pub rules: Option<Rules>,
    /// The account; `None` means the first one that fits.
    pub account: Option<Named>,
    /// The mailbox (default INBOX).
    pub mailbox: MailboxName,
    /// Which way the message goes (default inbound).
    pub direction: Direction,
    /// Who submits it.
    pub user: Option<String>,
    /// The message's flags.
    pub flags: Vec<Flag>,
    /// The clock, Unix milliseconds (default 2026-01-01T00:00:00Z).
    pub now_ms: i64,
    /// When it was received, Unix milliseconds (default: now).
    pub received_ms: i64,
    /// What steps remember: step, key, value.
    pub state: Nested,
    /// Tables in place of the configuration's: table, row key, column, value.
    pub tables: BTreeMap<String, Nested>,
    /// Templates that are taken to be there.
    pub templates: Vec<String>,
    /// What steps before said.
    pub earlier: Earlier,
    /// Runs before every reload, too.
    pub gate: bool,
    /// What must come.
    pub expect: Expect,
    /// The file it stands in.
    pub source: Arc<CaseFile>,
}

/// Keys with keys with values.
pub type Nested = BTreeMap<String, BTreeMap<String, String>>;

/// A file of cases, for faults found later.
#[derive(Debug)]
pub struct CaseFile {
    /// As faults name it.
    pub shown: PathBuf,
    /// Its text.
    pub text: String,
}

/// A name with its byte offset in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name.
    pub name: String,
    /// Where it stands.
    pub at: usize,
}

impl From<At<&str>> for Named {
    fn from(text: At<&str>) -> Self {
        Self { name: text.value.into(), at: text.at }
    }
}

/// What is to decide.
#[derive(Debug, Clone)]
pub enum Rules {
    /// A whole pipeline.
    Pipeline(Named),
    /// One step.
    Step {
        /// Its name.
        step: Named,
        /// In place of its `with`.
        with: Option<Json>,
    },
}

/// What steps before are taken to have said.
#[derive(Debug, Clone, Default)]
pub struct Earlier {
    /// The project they linked to, with the evidence.
    pub link: Option<(String, String)>,
    /// Their tags.
    pub tags: BTreeMap<String, String>,
}

/// An action as `try --json` writes it; what is left out may be anything.
pub type Expected = Map<String, Json>;

/// What must come of a case; `None` is not looked at.
#[derive(Debug, Clone, Default)]
pub struct Expect {
    /// All actions in order.
    pub actions: Option<Vec<Expected>>,
    /// Actions that must be among them.
    pub contains: Vec<Expected>,
    /// Actions that must not be among them.
    pub lacks: Vec<Expected>,
    /// All tags.
    pub tags: Option<BTreeMap<String, String>>,
    /// The project; empty means none.
    pub project: Option<String>,
    /// What decided the project.
    pub evidence: Option<String>,
    /// How the run ended.
    pub verdict: Option<Verdict>,
    /// The steps that were reached in order: `route`, or `route: failed`, `route: skipped`.
    pub path: Option<Vec<String>>,
    /// A part of a step's error. Without it no step may fail.
    pub error: Option<String>,
    /// Whether a step read the body.
    pub read_body: Option<bool>,
}

static FILE: Shape = Shape {
    keys: &[("case", "[{ name = \"…\", … }]"), ("default", "{ account = \"office\" }")],
    later: &[],
    example: "",
};

static CASE: Shape = Shape { keys: setting::CASE_KEYS, later: &[], example: "[[case]]" };

static DEFAULT: Shape = Shape { keys: setting::KEYS, later: &[], example: "[default]" };

impl Case {
    /// A fault at an offset of its file.
    pub fn fault(&self, at: usize, what: impl Into<String>) -> Fault {
        Fault::at_byte(&self.source.shown, &self.source.text, at, what)
    }

    /// Its place: `file:line`.
    pub fn place(&self) -> String {
        let (line, _) = crate::fault::position(&self.source.text, self.name.at);
        format!("{}:{line}", self.source.shown.display())
    }
}

/// The files of tests that lie beside the configuration, its scripts and its plugins, each once.
///
/// # Errors
/// A folder that cannot be read or has more than a thousand of them; a missing one has none.
pub fn beside(config: &Config) -> Result<Vec<PathBuf>, Faults> {
    let mut files = Vec::new();
    for folder in folders(config).into_iter().filter(|folder| folder.exists()) {
        files.extend(within(folder)?);
    }
    Ok(files)
}

/// The folders in which tests may lie, each once.
pub fn folders(config: &Config) -> Vec<&Path> {
    let mut known = BTreeSet::new();
    let all = [&config.folder, &config.engine.scripts, &config.engine.plugins];
    let mut folders: Vec<&Path> = all.into_iter().map(PathBuf::as_path).collect();
    // One that is not there may come under another's name: it is looked for as written.
    folders.retain(|folder| known.insert(folder.canonicalize().unwrap_or(folder.to_path_buf())));
    folders
}

/// The files of tests in one folder, in the order of their names.
///
/// # Errors
/// As [`beside`].
pub fn within(folder: &Path) -> Result<Vec<PathBuf>, Faults> {
    let unreadable = |why: std::io::Error| {
        Faults::from(Fault::whole(folder, format!("the folder cannot be read: {why}")))
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(ENDING) && !name.starts_with('.') {
            files.push(folder.join(&*name));
        }
        if files.len() > MOST_FILES {
            let what = format!("more than {MOST_FILES} files end with {ENDING}");
            return Err(Fault::whole(folder, what).help("put several cases into one file").into());
        }
    }
    files.sort();
    Ok(files)
}

/// Reads one file. The cases are those without a fault.
///
/// The file may have 1 MiB and 1,000 cases. Paths of messages start at its folder; faults name it
/// relative to `base` where it is below.
pub fn read(base: &Path, file: &Path) -> (Vec<Case>, Faults) {
    let text = match open(file) {
        Ok((text, _)) => text,
        Err(fault) => {
            return (Vec::new(), Fault { help: None, ..fault }.relative_to(base).into());
        }
    };
    let folder = file.parent().unwrap_or(Path::new(""));
    let (document, errors) = DeTable::parse_recoverable(&text);
    let masked = mask::mask(&text, document.get_ref());
    let shown = Fault::whole(file, "").relative_to(base).file;
    let source = Arc::new(CaseFile { shown: shown.clone(), text: masked.clone() });
    let page = Page::new(&shown, folder, &masked, super::page::Privacy::Private);
    let cases = cases(&Reader::root(&page, document.get_ref(), &FILE), &source);
    if !errors.is_empty() {
        syntax(&page, &masked, &errors);
        return (Vec::new(), page.into_faults());
    }
    (cases, page.into_faults())
}

fn cases(root: &Reader<'_>, source: &Arc<CaseFile>) -> Vec<Case> {
    if !root.has("case") {
        let help = "write [[case]] and below it `name`, `message` and `expect`";
        root.page.missing(0, "this file has no case", help);
    }
    let default = root.value("default").and_then(|value| {
        Reader::table(root.page, "[default]", (root.key_at("default"), value), &DEFAULT)
    });
    let default = default.map(|reader| setting::read(&reader)).unwrap_or_default();
    let mut known = BTreeSet::new();
    let cases = root.list("case").into_iter().filter_map(|element| {
        let case = Reader::table(root.page, "[[case]]", (element.at, element), &CASE)?;
        let name = case.required_text("name");
        if let Some(name) = name
            && !known.insert(name.value)
        {
            let what = format!("two cases of this file are named {}", quoted(name.value));
            case.page.fault(name.at, what, "give each case a name of its own");
        }
        one(&case, name, &default, source)
    });
    cases.collect()
}

fn one(
    case: &Reader<'_>,
    name: Option<At<&str>>,
    default: &Setting,
    source: &Arc<CaseFile>,
) -> Option<Case> {
    let own = setting::read(case);
    let expect = expect::read(case);
    let set = own.or(default);
    if set.messages.is_none() && !case.has("message") {
        case.require("message");
    }
    let now_ms = set.now_ms.unwrap_or(setting::NOW);
    Some(Case {
        name: name?.into(),
        messages: set.messages?,
        rules: set.rules,
        account: set.account,
        mailbox: set.mailbox.unwrap_or_else(MailboxName::inbox),
        direction: set.direction.unwrap_or(Direction::Inbound),
        user: set.user,
        flags: set.flags.unwrap_or_default(),
        now_ms,
        received_ms: set.received_ms.unwrap_or(now_ms),
        state: set.state.unwrap_or_default(),
        tables: set.tables,
        templates: set.templates.unwrap_or_default(),
        earlier: set.earlier.unwrap_or_default(),
        gate: set.gate.unwrap_or(false),
        expect: expect?,
        source: source.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::{expect, setting};
    use crate::pipeline::action::{VERBS, fields};
    use crate::pipeline::case::GUIDE;

    /// What can be written is told by `mailmill docs tests`.
    #[test]
    fn every_key_and_action_is_in_the_guide() {
        let keys = setting::CASE_KEYS.iter().chain(expect::EXPECT.keys).map(|(key, _)| *key);
        let words = VERBS.iter().copied();
        for word in
            keys.chain(words.clone()).chain(words.flat_map(|verb| fields(verb).iter().copied()))
        {
            assert!(GUIDE.contains(&format!("`{word}`")), "{word}");
        }
    }
}

//! From a file to a [`Config`]: opens it, parses it, and lets each section be read.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::zeroize::Zeroizing;
use toml::de::DeTable;

use super::page::{Page, Privacy};
use super::reader::{REMOVE, Reader, Shape};
use super::{
    Config, Engine, Look, Reload, accounts, mask, overlap, pipelines, places, queue, submission,
    users,
};
use crate::fault::{Fault, Faults, position};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// The most messages that a candidate may be asked to decide on trial.
const MOST_SHADOW: u64 = 1_000_000;

/// The largest configuration file, in bytes.
const LARGEST: u64 = 1 << 20;

static FILE: Shape = Shape {
    keys: &[
        ("engine", "{ data = \"data\" }"),
        ("accounts", "{ NAME = { … } }"),
        ("pipelines", "{ NAME = { … } }"),
        ("tables", "{ NAME = { … } }"),
        ("targets", "{ NAME = { … } }"),
        ("queue", "{ expire = \"5d\" }"),
        ("submission", "{ listen = \"127.0.0.1:2587\" }"),
        ("users", "{ NAME = { … } }"),
    ],
    later: &[("oauth2", REMOVE)],
    example: "",
};

static ENGINE: Shape = Shape {
    keys: &[
        ("data", "\"data\""),
        ("scripts", "\"scripts\""),
        ("plugins", "\"plugins\""),
        ("templates", "\"templates\""),
        ("watch", "\"events\", \"poll\" or \"off\""),
        ("quiet", "\"300ms\""),
        ("shadow", "200"),
        ("put_back", "true"),
        ("retire", "\"1m\""),
    ],
    later: &[],
    example: "{ data = \"data\" }",
};

/// The largest configuration file, in bytes.
pub const LARGEST_FILE: usize = LARGEST as usize;

/// The text of a configuration file, with the passwords that may stand in it.
pub struct Text {
    text: Zeroizing<String>,
    privacy: Privacy,
}

impl Text {
    /// Reads the file.
    ///
    /// # Errors
    /// It is missing, unreadable, too large or not UTF-8.
    pub fn open(file: &Path) -> Result<Self, Fault> {
        let (text, privacy) = open(file)?;
        Ok(Self { text, privacy })
    }

    /// A text that was kept: its passwords are masked.
    pub fn kept(masked: &str) -> Self {
        Self { text: Zeroizing::new(masked.to_owned()), privacy: Privacy::Private }
    }

    /// All of it.
    pub fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Text").finish_non_exhaustive()
    }
}

/// See [`Config::read_text`].
pub(super) fn read(file: &Path, text: &Text) -> (Option<Config>, Faults) {
    let Text { text, privacy } = text;
    let folder = match file.parent() {
        Some(parent) if parent != Path::new("") => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    let (document, errors) = DeTable::parse_recoverable(text);
    let masked = mask::mask(text, document.get_ref());
    let shown = Fault::whole(file, "").relative_to(&folder).file;
    let page = Page::new(&shown, &folder, &masked, *privacy);
    let config = sections(&page, document.get_ref(), (file, &folder, &masked));
    if errors.is_empty() {
        return (Some(config), page.into_faults());
    }
    syntax(&page, &masked, &errors);
    (None, page.into_faults())
}

fn sections(page: &Page<'_>, document: &DeTable<'_>, origin: (&Path, &Path, &str)) -> Config {
    let root = Reader::root(page, document, &FILE);
    let (pipelines, known) = pipelines::read(&root);
    let (accounts, watched) = accounts::read(&root, &known);
    overlap::check(page, &watched);
    let (file, folder, text) = origin;
    Config {
        file: file.into(),
        text: text.into(),
        folder: folder.into(),
        engine: engine(&root, folder),
        queue: queue::read(&root),
        tables: places::tables(&root),
        targets: places::targets(&root),
        submission: submission::read(&root),
        users: users::read(&root, &accounts),
        accounts,
        pipelines,
    }
}

fn engine(root: &Reader<'_>, folder: &Path) -> Engine {
    let at = root.key_at("engine");
    let reader = root
        .value("engine")
        .and_then(|value| Reader::table(root.page, "[engine]", (at, value), &ENGINE));
    let path = |key: &str| {
        let given = reader.as_ref().and_then(|reader| reader.path(key));
        given.unwrap_or_else(|| folder.join(key))
    };
    Engine {
        data: path("data"),
        scripts: path("scripts"),
        plugins: path("plugins"),
        templates: path("templates"),
        reload: reader.as_ref().map_or_else(Reload::default, reload),
    }
}

fn reload(engine: &Reader<'_>) -> Reload {
    let usual = Reload::default();
    let words = [("events", Look::Events), ("poll", Look::Poll), ("off", Look::Never)];
    Reload {
        watch: engine.word("watch", &words).unwrap_or(usual.watch),
        quiet: engine.duration("quiet", MILLISECOND * 10..=MINUTE, usual.quiet),
        shadow: engine.number("shadow", 0..=MOST_SHADOW, usual.shadow),
        put_back: engine.switch("put_back", usual.put_back),
        retire: engine.duration("retire", SECOND..=60 * MINUTE, usual.retire),
    }
}

/// Syntax errors, the first of each line; what follows the first one may be misunderstood, so of
/// the other faults only those before it are kept.
pub(super) fn syntax(page: &Page<'_>, text: &str, errors: &[toml::de::Error]) {
    let mut found: Vec<(usize, &str)> = errors
        .iter()
        .map(|error| (error.span().map_or(text.len(), |span| span.start), error.message()))
        .collect();
    found.sort_unstable();
    page.trust_only_before(found.first().map_or(0, |(at, _)| *at));
    let mut last = None;
    for (at, message) in found.into_iter().take(20) {
        let (line, _) = position(text, at);
        if last.replace(line) != Some(line) {
            let (what, help) = syntax_words(message);
            page.fault(at, what, help);
        }
    }
}

/// The parser guesses what a bare word was to be; what a person forgot is its quotes.
fn syntax_words(message: &str) -> (String, &'static str) {
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if has(&["float", "integer", "boolean", "datetime", "date-time"]) {
        let help = "put a text in quotes: key = \"text\"";
        return ("this is no TOML value".into(), help);
    }
    let help = if has(&["string"]) {
        "close the string on its line; a backslash is written \\\\, or the string in '…'"
    } else if has(&["duplicate"]) {
        "a key or section stands once: remove or rename one of them"
    } else {
        "a line is `key = value` or `[section]`; texts stand in \"quotes\""
    };
    (format!("this is no TOML: {message}"), help)
}

/// Reads the file with whether others can read it, too.
pub(super) fn open(file: &Path) -> Result<(Zeroizing<String>, Privacy), Fault> {
    let whole = |what: String| Fault::whole(file, what);
    let metadata = std::fs::metadata(file).map_err(|why| not_there(file, &why))?;
    if metadata.is_dir() {
        let inside = file.join("mailmill.toml");
        return Err(whole("is a folder, not a configuration file".into())
            .help(format!("name the file in it: {}", inside.display())));
    }
    // Opening a pipe would wait for its writer.
    if !metadata.is_file() {
        return Err(whole("is no regular file".into()).help("write the configuration to a file"));
    }
    let unreadable = |why: std::io::Error| not_there(file, &why);
    let opened = File::open(file).map_err(unreadable)?;
    let mode = opened.metadata().map_err(unreadable)?.mode();
    let mut bytes = Zeroizing::new(Vec::new());
    opened.take(LARGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST {
        return Err(whole("has more than 1 MiB".into())
            .help("a configuration is small; move data into tables (CSV files)"));
    }
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => Zeroizing::new(text.to_owned()),
        Err(wrong) => return Err(not_utf8(file, &bytes, wrong.valid_up_to())),
    };
    let privacy = if mode & 0o077 == 0 { Privacy::Private } else { Privacy::Shared };
    Ok((text, privacy))
}

fn not_there(file: &Path, why: &std::io::Error) -> Fault {
    let fault = Fault::whole(file, format!("cannot be read: {why}"));
    match why.kind() {
        std::io::ErrorKind::NotFound => {
            fault.help("name the configuration with --config FILE, or start in its folder")
        }
        std::io::ErrorKind::PermissionDenied => {
            fault.help("let the user that runs mailmill read it")
        }
        _ => fault,
    }
}

/// The line is not shown: it could not be masked.
fn not_utf8(file: &Path, bytes: &[u8], valid: usize) -> Fault {
    let before = std::str::from_utf8(&bytes[..valid]).unwrap_or_default();
    let (line, column) = position(before, valid);
    let fault = Fault::whole(file, "is not UTF-8");
    Fault { line, column, ..fault }.help("save the file as UTF-8")
}

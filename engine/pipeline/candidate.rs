//! From files to a candidate: everything that decides, read at one moment and checked as a whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::compiled::Compiled;
use super::files::{Files, Kept, Prints};
use super::generation::Generation;
use super::load::read_all;
use crate::config::{Config, LARGEST_FILE, Text, cases};
use crate::fault::{Fault, Faults};

/// How often files are read anew that change while they are read.
const TRIES: usize = 5;

/// The pause between two readings.
const PAUSE: Duration = Duration::from_millis(200);

/// How long files are left alone where the configuration cannot say.
const USUAL_QUIET: Duration = Duration::from_millis(300);

/// A generation that is right, and is not in force yet.
#[derive(Debug)]
pub struct Candidate {
    /// What would decide.
    pub generation: Generation,
    /// The content of its files, by name; passwords in the configuration are masked.
    pub files: Kept,
}

/// What came of one reading of everything.
#[derive(Debug)]
pub struct Attempt {
    /// What the files that were read are told by.
    pub prints: Prints,
    /// As much of the configuration as could be read; what is wrong is left out.
    pub config: Option<Config>,
    /// The candidate, or everything that is wrong.
    pub outcome: Result<Candidate, Faults>,
    /// Whether all of it was read at one moment: nothing changed while it was read.
    pub settled: bool,
}

/// Reads and checks everything that a person wrote: the configuration, and the rules even where an
/// account is wrong, because nobody likes to hear of faults in turns. Where a file changes meanwhile,
/// all is read again, up to five times.
///
/// Blocks for as long as scripts and plugins take to compile, with [`super::script`]'s need of stack.
pub fn load(file: &Path) -> Attempt {
    tries(file, Haste::AtOnce, &Compiled::none(Arc::default()))
}

/// As [`load`], but only what was left alone for the quiet time is taken: a file that is emptied and
/// not yet written again looks like a whole one. Scripts and plugins that are as in `before` are not
/// compiled again.
pub fn load_settled(file: &Path, before: &Generation) -> Attempt {
    tries(file, Haste::WhenQuiet, before.compiled())
}

/// Whether files that were written just now are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Haste {
    AtOnce,
    WhenQuiet,
}

fn tries(file: &Path, haste: Haste, before: &Compiled) -> Attempt {
    let mut attempt = once(file, haste, before);
    for _ in 1..TRIES {
        if attempt.settled {
            break;
        }
        thread::sleep(PAUSE);
        attempt = once(file, haste, before);
    }
    attempt
}

fn once(file: &Path, haste: Haste, before: &Compiled) -> Attempt {
    let files = Files::on_disk(folder(file));
    let text = files.note((file, LARGEST_FILE), || {
        let text = Text::open(file);
        let bytes = text.as_ref().ok().map(|text| text.as_bytes().into());
        (text, bytes)
    });
    let (config, faults) = match &text {
        Ok(text) => Config::read_text(file, text),
        Err(fault) => (None, fault.clone().into()),
    };
    config.iter().for_each(|config| read_all(config, &files));
    config.iter().for_each(|config| read_tests(config, &files));
    if haste == Haste::WhenQuiet {
        let quiet = config.as_ref().map(|config| config.engine.reload.quiet);
        thread::sleep(files.unrest(quiet.unwrap_or(USUAL_QUIET)));
    }
    // What changes from here on is the next reading's: compiling may take longer than changes pause.
    let settled = !files.moved();
    let generation = complete(file, (config.as_ref(), faults), &files, before);
    let prints = files.prints();
    let outcome = generation.map(|generation| candidate(file, generation, files));
    Attempt { prints, config, outcome, settled }
}

/// A changed test, or a new one, may gate what was let pass before.
fn read_tests(config: &Config, files: &Files) {
    for folder in cases::folders(config) {
        for name in files.names(folder, &[cases::ENDING]) {
            // What is wrong with it is told when it is run.
            let _ = files.read(&folder.join(name), LARGEST_FILE);
        }
    }
}

fn candidate(file: &Path, generation: Generation, files: Files) -> Candidate {
    let mut files = files.into_kept();
    let masked = generation.config().text.as_bytes().into();
    files.insert(name(file), masked);
    Candidate { generation, files }
}

fn complete(
    file: &Path,
    (config, mut faults): (Option<&Config>, Faults),
    files: &Files,
    before: &Compiled,
) -> Result<Generation, Faults> {
    let generation = config.map(|config| Generation::load_from(config, files, before));
    let generation = match generation {
        Some(Ok(generation)) => Some(generation),
        Some(Err(more)) => {
            faults.0.extend(more.0);
            None
        }
        None => None,
    };
    faults.into_result()?;
    // Without a fault it is there.
    generation.ok_or_else(|| Fault::whole(file, "cannot be read").into())
}

/// A candidate of files that were kept, checked as those on disk are. Passwords are not kept:
/// `passwords` is a configuration that has them, where one is known.
///
/// # Errors
/// All faults, as this mailmill sees them; an account whose password is not known.
pub fn load_kept(file: &Path, kept: Kept, passwords: Option<&Config>) -> Result<Candidate, Faults> {
    let text = kept.get(&name(file)).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let Some(text) = text.map(Text::kept) else {
        return Err(Fault::whole(name(file), "was not kept").into());
    };
    let (mut config, mut faults) = Config::read_text(file, &text);
    let without = config.as_mut().map(|config| config.take_passwords(passwords));
    for account in without.unwrap_or_default() {
        let what = format!("the password of account {account} stood in the file and was not kept");
        let help = "keep it in a file or variable, or write it into the configuration again";
        faults.0.push(Fault::whole(name(file), what).help(help));
    }
    let files = Files::kept(folder(file), kept);
    let bytes: Arc<[u8]> = text.as_bytes().into();
    files.note((file, LARGEST_FILE), || ((), Some(bytes)));
    config.iter().for_each(|config| read_tests(config, &files));
    let before = Compiled::none(Arc::default());
    let generation = complete(file, (config.as_ref(), faults), &files, &before)?;
    Ok(candidate(file, generation, files))
}

/// The configuration's folder, as it names itself.
fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// The configuration's name among the kept files.
fn name(file: &Path) -> PathBuf {
    file.file_name().map(PathBuf::from).unwrap_or_default()
}

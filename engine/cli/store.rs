//! `mailmill store`: is the store well, and what to do where it is not.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{ConfigArg, Exit, Output, understood};
use crate::clock::Clock;
use crate::control::{self, Request};
use crate::error::{Context, Result};
use crate::mail::inert;
use crate::store::{self, Exported, Repair, Repaired, Survey};

/// Check, repair, compact, export or import the store: what mailmill remembers; no mail is in it
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Say what the store holds and whether it is well; exit 1 if it is not
    ///
    /// The store is opened as a copy and never written to. A running engine is asked, and keeps
    /// mail waiting meanwhile.
    Check {
        #[command(flatten)]
        config: ConfigArg,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Save what can be read of a store that is refused, so that nothing is done twice
    ///
    /// The damaged store is kept beside the new one as store.broken-N. Messages that were in a
    /// mailbox before the engine runs again are in doubt: what may have been done to them is looked
    /// up before it is done. The engine must not run. A store that is well is left as it is.
    Repair {
        #[command(flatten)]
        config: ConfigArg,
        /// The store is well but older than what was done since: it was restored from a backup
        #[arg(long)]
        from_backup: bool,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Give back the disk space that the store no longer needs; the engine must not run
    ///
    /// The engine does so itself when it starts, where it is worth while.
    Compact {
        #[command(flatten)]
        config: ConfigArg,
    },
    /// Write all that the store holds as lines of JSON; exit 1 if some of it cannot be read
    ///
    /// A damaged store gives what can be read. A running engine keeps mail waiting meanwhile.
    Export {
        #[command(flatten)]
        config: ConfigArg,
        /// The file to write, which must not exist; without it, standard output
        file: Option<PathBuf>,
    },
    /// Read an export into a store that is new: all of it, or nothing
    ///
    /// The engine must not run. What was done since the export was made is not known to the store:
    /// as after a repair, it is looked up before anything is done.
    Import {
        #[command(flatten)]
        config: ConfigArg,
        /// The file to read
        file: PathBuf,
    },
}

/// Runs the command.
pub fn run(args: &Args, output: &mut Output<'_>) -> Exit {
    let (What::Check { config, .. }
    | What::Repair { config, .. }
    | What::Compact { config }
    | What::Export { config, .. }
    | What::Import { config, .. }) = &args.what;
    let config = match config.load(output) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let data = &config.engine.data;
    let ended = match &args.what {
        What::Check { json, .. } => check(data, *json, output),
        What::Repair { from_backup, json, .. } => {
            let which = if *from_backup { Repair::Restored } else { Repair::Damaged };
            repair(data, which, *json, output)
        }
        What::Compact { .. } => compact(data, output),
        What::Export { file, .. } => export(data, file.as_deref(), output),
        What::Import { file, .. } => import(data, file, output),
    };
    ended.unwrap_or_else(|error| output.failed(&error))
}

fn check(data: &Path, json: bool, output: &mut Output<'_>) -> Result<Exit> {
    let survey: Survey = match control::ask(data, &Request::StoreCheck)? {
        Some(answer) => understood(answer)?,
        None => store::check(data)?,
    };
    if json {
        output.line(serde_json::json!(survey));
    } else {
        show(data, &survey, output);
    }
    Ok(if survey.well { Exit::Right } else { Exit::Findings })
}

fn show(data: &Path, survey: &Survey, output: &mut Output<'_>) {
    let data = data.display();
    if survey.well {
        output.line(format_args!("the store {data} is well"));
    } else {
        output.line(format_args!("the store {data} is not well:"));
        survey.wrong.iter().for_each(|line| output.line(format_args!("    {}", inert(line))));
    }
    let all: u64 = survey.records.values().sum();
    let states = survey.records.iter().map(|(state, count)| format!("{count} {state}"));
    let states = states.collect::<Vec<_>>().join(", ");
    output.line(format_args!("records: {all}{}{states}", if all == 0 { "" } else { ": " }));
    output.line(format_args!(
        "cursors: {}, links: {}, values of steps: {}, arrivals: {}",
        survey.cursors, survey.links, survey.memory, survey.arrived
    ));
    output.line(format_args!(
        "generation: {}, commits: {}, highest id: {}",
        survey.generation, survey.commits, survey.highest
    ));
    output
        .line(format_args!("bytes: {} held, {} on disk", survey.bytes_live, survey.bytes_on_disk));
    if survey.salvaged {
        output.line("salvaged: what it may not know is looked up before it is done");
    }
    if !survey.well {
        output.note("save what can be read with `mailmill store repair`");
    }
}

fn repair(data: &Path, which: Repair, json: bool, output: &mut Output<'_>) -> Result<Exit> {
    let repaired = store::repair(data, which, Clock::System.now_ms())?;
    if json {
        output.line(serde_json::json!(repaired));
        return Ok(Exit::Right);
    }
    if repaired.kept.is_none() && repaired.found.well {
        output.line(format_args!("the store {} is well: nothing was done", data.display()));
        return Ok(Exit::Right);
    }
    tell_repaired(data, &repaired, output);
    Ok(Exit::Right)
}

fn tell_repaired(data: &Path, repaired: &Repaired, output: &mut Output<'_>) {
    for line in repaired.found.wrong.iter().chain(&repaired.lost) {
        output.note(format_args!("found: {}", inert(line)));
    }
    let Repaired { saved, again, rewound, kept, .. } = repaired;
    output.line(format_args!("{saved} records were saved into the new store {}", data.display()));
    if *again > 0 {
        output.line(format_args!("{again} more were lost but are known by name"));
    }
    if *rewound > 0 {
        output.line(format_args!("{rewound} mailboxes are looked through again"));
    }
    if let Some(kept) = kept {
        output.line(format_args!("the damaged store is kept as {}", kept.display()));
    }
    output.line("start the engine: what may have been done already is looked up first");
}

fn compact(data: &Path, output: &mut Output<'_>) -> Result<Exit> {
    store::must_be_there(data)?;
    let (before, after) = store::compact(data)?;
    output.line(format_args!("the store {} had {before} bytes, now {after}", data.display()));
    Ok(Exit::Right)
}

fn export(data: &Path, file: Option<&Path>, output: &mut Output<'_>) -> Result<Exit> {
    let exported = match file {
        Some(path) => {
            let what = || format!("write {}", path.display());
            let mut file = new_file(path).or_later(what)?;
            let mut buffered = BufWriter::new(&mut file);
            let exported = export_to(data, &mut buffered)?;
            buffered.flush().or_later(what)?;
            drop(buffered);
            file.sync_all().or_later(what)?;
            exported
        }
        None => export_to(data, &mut BufWriter::new(&mut *output.out))?,
    };
    for line in &exported.lost {
        output.note(format_args!("mailmill: not exported: {}", inert(line)));
    }
    let whole = exported.lost.is_empty();
    Ok(if whole { Exit::Right } else { Exit::Findings })
}

/// The running engine writes a file of its own, which is passed on; else the store is read here.
fn export_to(data: &Path, out: &mut dyn Write) -> Result<Exported> {
    let path = data.join(format!("store.export-{}", std::process::id()));
    let path = std::path::absolute(path).or_later(|| "export the store".into())?;
    let asked = control::ask(data, &Request::StoreExport { to: path.clone() });
    let passed = match asked {
        Ok(None) => return store::export(data, out),
        Ok(Some(answer)) => understood(answer).and_then(|exported| {
            let copied = File::open(&path).and_then(|mut file| std::io::copy(&mut file, out));
            copied.or_later(|| "pass the export on".into())?;
            Ok(exported)
        }),
        Err(error) => Err(error),
    };
    // It may never have been made.
    let _ = std::fs::remove_file(&path);
    passed
}

/// A file for its owner only, which must not exist yet.
fn new_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn import(data: &Path, file: &Path, output: &mut Output<'_>) -> Result<Exit> {
    let read = File::open(file).or_later(|| format!("read {}", file.display()))?;
    let items = store::import(data, &mut BufReader::new(read))?;
    output.line(format_args!("{items} items were read into the store {}", data.display()));
    Ok(Exit::Right)
}

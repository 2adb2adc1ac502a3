//! Making a generation of its files: each within its limit, all faults collected.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::compiled::{Compiled, Origin};
use super::files::{Files, Unread};
use super::limits::Limits;
use super::script::{Names, Source};
use super::step::{OnError, Step};
use super::table::{self, Table, Tables};
use super::template::{self, Sources, Templates};
use super::{Pipeline, Placed, plugin};
use crate::config::{self, Config, StepKind};
use crate::fault::{Fault, Faults, nearest};

/// The table that is always there.
const ACCOUNTS: &str = "accounts";

/// What was loaded.
pub(super) struct Loaded {
    pub(super) tables: Tables,
    pub(super) templates: Templates,
    pub(super) compiled: Compiled,
    /// Over all parts.
    pub(super) digest: String,
}

/// A generation that is being read.
pub(super) struct Loader<'a> {
    config: &'a Config,
    files: &'a Files,
    limits: Arc<Limits>,
    /// What the generation before has compiled.
    before: &'a Compiled,
    compiled: Compiled,
    table_names: BTreeSet<String>,
    target_names: BTreeSet<String>,
    template_names: BTreeSet<String>,
    tables: Tables,
    templates: Templates,
    /// Steps by kind and name; `None` where the file has faults.
    steps: BTreeMap<(&'static str, String), Option<Arc<dyn Step>>>,
    /// The SHA-256 of each part, by kind and name.
    parts: BTreeMap<(&'static str, String), [u8; 32]>,
    faults: Faults,
}

impl<'a> Loader<'a> {
    pub(super) fn new(
        config: &'a Config,
        files: &'a Files,
        limits: Arc<Limits>,
        before: &'a Compiled,
    ) -> Self {
        let mut table_names: BTreeSet<_> = config.tables.keys().cloned().collect();
        table_names.insert(ACCOUNTS.to_owned());
        Self {
            config,
            files,
            before,
            compiled: before.next(),
            limits,
            table_names,
            target_names: config.targets.keys().cloned().collect(),
            template_names: BTreeSet::new(),
            tables: Tables::new(),
            templates: Templates::default(),
            steps: BTreeMap::new(),
            parts: BTreeMap::new(),
            faults: Faults::default(),
        }
    }

    /// Reads all tables of the configuration, and makes `accounts`.
    pub(super) fn tables(&mut self) {
        for (name, about) in &self.config.tables {
            let Some(bytes) = self.table_file(name, about) else { continue };
            let seed = [about.key.as_bytes(), b"\0", &bytes].concat();
            self.note("table", name, &seed);
            match Table::read(&self.shown(&about.file), &bytes, &about.key) {
                Ok(table) => {
                    self.tables.insert(name.clone(), table);
                }
                Err(faults) => self.faults.0.extend(faults.0),
            }
        }
        let accounts = accounts(self.config);
        let text = format!("{accounts:?}");
        self.note("table", ACCOUNTS, text.as_bytes());
        self.tables.entry(ACCOUNTS.to_owned()).or_insert_with(|| Table::new(accounts));
    }

    /// Reads all templates of the folder. The tables come before: templates name their columns.
    pub(super) fn templates(&mut self) {
        let folder = &self.config.engine.templates;
        let mut files = BTreeMap::new();
        for name in self.files.names(folder, template::ENDINGS) {
            let file = folder.join(&name);
            match self.files.read(&file, template::most(&name)) {
                Ok(bytes) => {
                    self.note("template", &name, &bytes);
                    files.insert(name, bytes);
                }
                // It went away meanwhile; all is read again.
                Err(Unread::Missing) => {}
                Err(Unread::Fault(what)) => {
                    self.faults.0.push(Fault::whole(self.shown(&file), what));
                }
            }
        }
        // One with a fault is known all the same: it is told once.
        let stem = |name: &String| {
            let name = name.strip_suffix(".html").or_else(|| name.strip_suffix(".txt"));
            name.map(str::to_owned)
        };
        self.template_names = files.keys().filter_map(stem).collect();
        let sources = Sources { folder: self.shown(folder), files };
        match Templates::load(&sources, &self.tables) {
            Ok(templates) => self.templates = templates,
            Err(faults) => self.faults.0.extend(faults.0),
        }
    }

    /// What else of the configuration has a say in what becomes of a message.
    pub(super) fn rest(&mut self) {
        for (name, target) in &self.config.targets {
            let place = match target {
                config::Target::Maildir { path } => {
                    format!("maildir\0{}", self.shown(path).display())
                }
                config::Target::Account { account, mailbox } => format!("{account}\0{mailbox}"),
            };
            self.note("target", name, place.as_bytes());
        }
        for (name, account) in &self.config.accounts {
            let config::Account { inbound, after, max_size, .. } = account;
            self.note("account", name, format!("{inbound:?}\0{after:?}\0{max_size}").as_bytes());
        }
    }

    /// All pipelines whose steps could be read.
    pub(super) fn pipelines(&mut self) -> BTreeMap<String, Pipeline> {
        let mut all = BTreeMap::new();
        for (name, about) in &self.config.pipelines {
            let mut steps = Vec::with_capacity(about.steps.len());
            let mut text = String::new();
            for step in &about.steps {
                let kind = kind(step.kind);
                text += &format!("{kind}\0{}\0{}\0{:?}\n", step.name, step.with, step.on_error);
                steps.extend(self.placed(step));
            }
            self.note("pipeline", name, text.as_bytes());
            all.insert(name.clone(), Pipeline { name: name.clone(), steps });
        }
        all
    }

    /// What was loaded, with the digest over all parts.
    pub(super) fn finish(self) -> Result<Loaded, Faults> {
        self.faults.into_result()?;
        let mut hash = Sha256::new();
        for ((kind, name), part) in &self.parts {
            hash.update((kind.len() as u64).to_be_bytes());
            hash.update(kind);
            hash.update((name.len() as u64).to_be_bytes());
            hash.update(name);
            hash.update(part);
        }
        let hash = hash.finalize();
        let digest = hash[..6].iter().map(|byte| format!("{byte:02x}")).collect();
        let Self { tables, templates, compiled, .. } = self;
        Ok(Loaded { tables, templates, compiled, digest })
    }

    fn placed(&mut self, step: &config::Step) -> Option<Placed> {
        let key = (kind(step.kind), step.name.clone());
        let known = self.steps.get(&key).cloned();
        let loaded = match known {
            Some(known) => known,
            None => {
                let loaded = self.step(step).map_err(|faults| self.faults.0.extend(faults.0)).ok();
                self.steps.insert(key, loaded.clone());
                loaded
            }
        };
        let config = Arc::new(step.with.clone());
        Some(Placed { step: loaded?, config, on_error: step.on_error })
    }

    fn step(&mut self, step: &config::Step) -> Result<Arc<dyn Step>, Faults> {
        let file = file_of(self.config, step.kind, &step.name);
        let shown = self.shown(&file);
        let most = match step.kind {
            StepKind::Script => self.limits.script_file,
            StepKind::Plugin => self.limits.plugin_file,
        };
        let bytes = match self.files.read(&file, most) {
            Ok(bytes) => bytes,
            Err(Unread::Missing) => return Err(self.missing(step, &file).into()),
            Err(Unread::Fault(what)) => return Err(Fault::whole(shown, what).into()),
        };
        self.note(kind(step.kind), &step.name, &bytes);
        let origin = Origin::of(&shown, &bytes, self.names());
        let key = (kind(step.kind), step.name.clone());
        let loaded = match self.before.get(&key, origin) {
            Some(known) => known,
            None => self.compile(step, &shown, &bytes)?,
        };
        self.compiled.insert(key, origin, loaded.clone());
        Ok(loaded)
    }

    fn compile(
        &self,
        step: &config::Step,
        shown: &Path,
        bytes: &[u8],
    ) -> Result<Arc<dyn Step>, Faults> {
        match step.kind {
            StepKind::Plugin => {
                let cache = plugin::Cache::below(&self.config.engine.data);
                Ok(plugin::load(&step.name, shown, bytes, &self.limits, &cache)?)
            }
            StepKind::Script => {
                let source = Source { name: &step.name, file: shown, bytes };
                let names = self.names();
                Ok(Arc::new(self.compiled.language.compile(source, names)?))
            }
        }
    }

    /// The names that a script may write out.
    fn names(&self) -> Names<'_> {
        let (tables, targets) = (&self.table_names, &self.target_names);
        Names { tables, targets, templates: &self.template_names }
    }

    /// The fault of a step without a file points at the step in the configuration.
    fn missing(&self, step: &config::Step, file: &Path) -> Fault {
        let kind = kind(step.kind);
        let shown = self.shown(file);
        let what = format!("there is no {kind} \"{}\": {} is missing", step.name, shown.display());
        let names = names_in(file.parent().unwrap_or(file), ending(step.kind));
        let help = match nearest(&step.name, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("write the file {}", shown.display()),
        };
        self.in_config(step.offset, what).help(help)
    }

    fn table_file(&mut self, name: &str, about: &config::Table) -> Option<Arc<[u8]>> {
        let shown = self.shown(&about.file);
        let fault = match self.files.read(&about.file, table::MOST_BYTES) {
            Ok(bytes) => return Some(bytes),
            Err(Unread::Missing) => {
                let what = format!("the file of table \"{name}\" is missing: {}", shown.display());
                let names = names_in(about.file.parent().unwrap_or(&about.file), "csv");
                let own = about.file.file_stem().unwrap_or_default().to_string_lossy();
                let fault = self.in_config(about.offset, what);
                match nearest(&own, names.iter().map(String::as_str)) {
                    Some(near) => fault.help(format!("did you mean \"{near}.csv\"?")),
                    None => fault,
                }
            }
            Err(Unread::Fault(what)) => Fault::whole(shown, what),
        };
        self.faults.0.push(fault);
        None
    }

    fn in_config(&self, offset: usize, what: String) -> Fault {
        let config = self.config;
        Fault::at_byte(&config.file, &config.text, offset, what).relative_to(&config.folder)
    }

    fn shown(&self, file: &Path) -> PathBuf {
        file.strip_prefix(&self.config.folder).unwrap_or(file).to_path_buf()
    }

    fn note(&mut self, kind: &'static str, name: &str, bytes: &[u8]) {
        self.parts.insert((kind, name.to_owned()), Sha256::digest(bytes).into());
    }
}

/// Reads the files of all tables, templates and steps before anything is compiled, so that all of them are read
/// within moments. What cannot be read is told when it is needed.
pub(super) fn read_all(config: &Config, files: &Files) {
    let limits = Limits::default();
    for about in config.tables.values() {
        let _ = files.read(&about.file, table::MOST_BYTES);
    }
    let folder = &config.engine.templates;
    for name in files.names(folder, template::ENDINGS) {
        let _ = files.read(&folder.join(&name), template::most(&name));
    }
    for step in config.pipelines.values().flat_map(|pipeline| &pipeline.steps) {
        let most = match step.kind {
            StepKind::Script => limits.script_file,
            StepKind::Plugin => limits.plugin_file,
        };
        let _ = files.read(&file_of(config, step.kind, &step.name), most);
    }
}

/// A step for a script or plugin that lies in its folder, with nothing configured.
pub(super) fn folder_step(config: &Config, name: &str) -> Option<config::Step> {
    let kinds = [StepKind::Script, StepKind::Plugin];
    let plain = !name.contains(['/', '\\', '\0']) && !name.starts_with('.');
    let found = |kind: &StepKind| plain && file_of(config, *kind, name).is_file();
    kinds.into_iter().find(found).map(|kind| config::Step {
        kind,
        name: name.to_owned(),
        with: serde_json::Value::Object(serde_json::Map::new()),
        on_error: OnError::default(),
        offset: 0,
    })
}

/// The names of all scripts and plugins in their folders.
pub(super) fn folder_steps(config: &Config) -> Vec<String> {
    let mut names = names_in(&config.engine.scripts, ending(StepKind::Script));
    names.extend(names_in(&config.engine.plugins, ending(StepKind::Plugin)));
    names
}

/// A row for each account.
fn accounts(config: &Config) -> BTreeMap<String, BTreeMap<String, String>> {
    let row = |account: &config::Account| {
        BTreeMap::from([
            ("address".to_owned(), account.address.clone().unwrap_or_default()),
            ("aliases".to_owned(), account.aliases.join(" ")),
            ("project".to_owned(), account.project.clone().unwrap_or_default()),
        ])
    };
    config.accounts.iter().map(|(name, account)| (name.clone(), row(account))).collect()
}

fn kind(kind: StepKind) -> &'static str {
    match kind {
        StepKind::Script => "script",
        StepKind::Plugin => "plugin",
    }
}

fn ending(kind: StepKind) -> &'static str {
    match kind {
        StepKind::Script => "rhai",
        StepKind::Plugin => "wasm",
    }
}

fn file_of(config: &Config, kind: StepKind, name: &str) -> PathBuf {
    let folder = match kind {
        StepKind::Script => &config.engine.scripts,
        StepKind::Plugin => &config.engine.plugins,
    };
    folder.join(format!("{name}.{}", ending(kind)))
}

/// File names in a folder without this ending, at most a thousand.
fn names_in(folder: &Path, ending: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().take(1000);
    let names = entries.filter_map(|entry| {
        let path = PathBuf::from(entry.file_name());
        let fits = path.extension().is_some_and(|found| found == ending);
        fits.then(|| path.file_stem().unwrap_or_default().to_string_lossy().into_owned())
    });
    names.collect()
}

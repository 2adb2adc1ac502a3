//! Everything that decides, loaded and checked as one immutable whole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::action::{Decision, StepOutcome};
use super::compiled::Compiled;
use super::files::{Files, Prints};
use super::limits::Limits;
use super::load::{Loaded, Loader, folder_step};
use super::run::{Input, Memory, Run};
use super::table::Tables;
use super::template::Templates;
use super::trial::{Given, Rules};
use super::{Outcome, Pipeline, Placed};
use crate::config::{self, Config};
use crate::fault::Faults;

/// Pipelines with their scripts, plugins and tables, under one number and digest.
pub struct Generation {
    /// Counts up with every change, for good. 0 until the store has given it a number.
    pub number: u64,
    /// First 12 hex digits of the SHA-256 over every file and the pipelines' configuration.
    pub digest: String,
    /// The configuration it was made of: accounts and targets go with the rules that name them.
    config: Arc<Config>,
    /// What its files are told by.
    prints: Prints,
    health: Counts,
    ended: AtomicBool,
    compiled: Compiled,
    pipelines: BTreeMap<String, Pipeline>,
    tables: Arc<Tables>,
    templates: Arc<Templates>,
    limits: Arc<Limits>,
}

/// How the messages fared that a generation decided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Health {
    /// Messages decided.
    pub decided: u64,
    /// Those of them of which a step failed, whatever its `on_error`.
    pub failed: u64,
}

#[derive(Default)]
struct Counts {
    decided: AtomicU64,
    failed: AtomicU64,
}

impl Generation {
    /// Reads and checks everything that decides: the tables, and each script and plugin that a
    /// pipeline names, once.
    ///
    /// # Errors
    /// All faults of scripts, plugins and tables at once.
    pub fn load(config: &Config) -> Result<Self, Faults> {
        let files = Files::on_disk(&config.folder);
        Self::load_from(config, &files, &Compiled::none(Arc::default()))
    }

    /// As [`Generation::load`], of these files. What is in `before` and has not changed is not compiled
    /// again.
    pub(super) fn load_from(
        config: &Config,
        files: &Files,
        before: &Compiled,
    ) -> Result<Self, Faults> {
        let limits = Arc::new(Limits::default());
        let mut loader = Loader::new(config, files, limits.clone(), before);
        loader.tables();
        loader.templates();
        let pipelines = loader.pipelines();
        loader.rest();
        let Loaded { tables, templates, compiled, digest } = loader.finish()?;
        Ok(Self {
            number: 0,
            digest,
            config: Arc::new(config.clone()),
            prints: files.prints(),
            health: Counts::default(),
            ended: AtomicBool::new(false),
            compiled,
            pipelines,
            tables: Arc::new(tables),
            templates: Arc::new(templates),
            limits,
        })
    }

    /// One that decides nothing, for who takes the one in force when there is work.
    pub fn none(config: Arc<Config>) -> Self {
        Self {
            number: 0,
            digest: String::new(),
            config,
            prints: Prints::default(),
            health: Counts::default(),
            ended: AtomicBool::new(true),
            compiled: Compiled::none(Arc::default()),
            pipelines: BTreeMap::new(),
            tables: Arc::default(),
            templates: Arc::default(),
            limits: Arc::default(),
        }
    }

    /// The configuration it was made of.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Its tables.
    pub(super) fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Its templates.
    pub fn templates(&self) -> &Templates {
        &self.templates
    }

    /// What its files are told by.
    pub fn prints(&self) -> &Prints {
        &self.prints
    }

    /// What was compiled for it.
    pub(super) fn compiled(&self) -> &Compiled {
        &self.compiled
    }

    /// How the messages fared that it decided.
    pub fn health(&self) -> Health {
        let Counts { decided, failed } = &self.health;
        Health { decided: decided.load(Ordering::Relaxed), failed: failed.load(Ordering::Relaxed) }
    }

    /// Ends it: from now on it decides nothing. A run under way ends after the step it is at, which
    /// takes no longer than [`Limits`] let it; its message is to be run again by another generation.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Whether it was ended.
    pub fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// As [`Generation::load`], with these steps besides where no pipeline uses them but their files
    /// lie in the folder of scripts or plugins. For `try --step` and for tests of steps.
    ///
    /// # Errors
    /// All faults, as of [`Generation::load`].
    pub fn load_with_steps<'n>(
        config: &Config,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Result<Self, Faults> {
        let mut with_steps = config.clone();
        for name in names {
            let steps = config.pipelines.values().flat_map(|pipeline| &pipeline.steps);
            if let Some(step) = folder_step(config, name)
                && !steps.into_iter().any(|step| step.name == name)
            {
                // A pipeline's name in the configuration has no blank, so this one is free.
                let name = format!("only {name}");
                let added = config::Pipeline { name: name.clone(), steps: vec![step] };
                with_steps.pipelines.insert(name, added);
            }
        }
        Self::load(&with_steps)
    }

    /// Decides one message by a pipeline; `None` where there is no such pipeline.
    pub fn decide(
        &self,
        pipeline: &str,
        input: Arc<Input>,
        memory: Arc<dyn Memory>,
    ) -> Option<Outcome> {
        let pipeline = self.pipelines.get(pipeline)?;
        let run = self.run(input, memory);
        let outcome = pipeline.decide_until(run, self.number, &self.digest, || self.is_ended());
        if let Outcome::Decided { decision, .. } = &outcome {
            self.note(decision);
        }
        Some(outcome)
    }

    fn note(&self, decision: &Decision) {
        let failed = |outcome| matches!(outcome, StepOutcome::Failed | StepOutcome::Skipped);
        self.health.decided.fetch_add(1, Ordering::Relaxed);
        if decision.steps.iter().any(|step| failed(step.outcome)) {
            self.health.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Decides one message apart from the flow of mail: by a pipeline or a single step, with what is
    /// given; `None` where there is no such pipeline or step. See [`super::trial`].
    pub fn ask(
        &self,
        rules: &Rules,
        given: &Given,
        input: Arc<Input>,
        memory: Arc<dyn Memory>,
    ) -> Option<Outcome> {
        let mut tables = self.tables.clone();
        if !given.tables.is_empty() {
            let own = given.tables.iter().map(|(name, table)| (name.clone(), table.clone()));
            Arc::make_mut(&mut tables).extend(own);
        }
        let run = Run::new(input, tables, memory, self.limits.clone());
        let run = run.with_templates(
            self.templates.names().chain(given.templates.iter().map(String::as_str)),
        );
        let run = run.after(given.links.clone(), given.tags.clone());
        let alone;
        let pipeline = match rules {
            Rules::Pipeline(name) => self.pipelines.get(name)?,
            Rules::Step { name, with } => {
                alone = self.alone(name, with.as_ref())?;
                &alone
            }
        };
        Some(pipeline.decide(run, self.number, &self.digest))
    }

    /// A pipeline of one step, as it is in its first place.
    fn alone(&self, name: &str, with: Option<&Arc<serde_json::Value>>) -> Option<Pipeline> {
        let mut placed = self.pipelines.values().flat_map(|pipeline| &pipeline.steps);
        let placed = placed.find(|placed| placed.step.name() == name)?.clone();
        let config = with.cloned().unwrap_or_else(|| placed.config.clone());
        let steps = vec![Placed { config, ..placed }];
        Some(Pipeline { name: name.to_owned(), steps })
    }

    /// The names of the pipelines.
    pub fn pipelines(&self) -> impl Iterator<Item = &str> {
        self.pipelines.keys().map(String::as_str)
    }

    /// The names of all steps, each once, sorted.
    pub fn steps(&self) -> Vec<&str> {
        let placed = self.pipelines.values().flat_map(|pipeline| &pipeline.steps);
        let mut names: Vec<_> = placed.map(|placed| placed.step.name()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn run(&self, input: Arc<Input>, memory: Arc<dyn Memory>) -> Run {
        let run = Run::new(input, self.tables.clone(), memory, self.limits.clone());
        run.with_templates(self.templates.names())
    }
}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (number, digest) = (&self.number, &self.digest);
        f.debug_struct("Generation")
            .field("number", number)
            .field("digest", digest)
            .finish_non_exhaustive()
    }
}

//! What was compiled for one generation and may be taken over by the next, where neither the file nor
//! the names it may use have changed: of five hundred scripts mostly one is new.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::limits::Limits;
use super::script::{Language, Names};
use super::step::Step;

/// The compiled steps of a generation, with the language that its scripts run in. Cheap to clone.
#[derive(Clone)]
pub(super) struct Compiled {
    pub(super) language: Arc<Language>,
    steps: BTreeMap<StepName, (Origin, Arc<dyn Step>)>,
}

/// Kind and name.
pub(super) type StepName = (&'static str, String);

/// What a compiled step depends on, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin([u8; 32]);

impl Origin {
    /// Of a file with this content that faults show as `shown`, where these names are known.
    pub(super) fn of(shown: &Path, bytes: &[u8], names: Names<'_>) -> Self {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        part(shown.as_os_str().as_encoded_bytes());
        part(bytes);
        let mut all = |names: &BTreeSet<String>| {
            part(&names.len().to_be_bytes());
            names.iter().for_each(|name| part(name.as_bytes()));
        };
        all(names.tables);
        all(names.targets);
        all(names.templates);
        Self(hash.finalize().into())
    }
}

impl Compiled {
    /// Nothing yet.
    pub(super) fn none(limits: Arc<Limits>) -> Self {
        Self { language: Arc::new(Language::new(limits)), steps: BTreeMap::new() }
    }

    /// One for the next generation, with the same language and no steps.
    pub(super) fn next(&self) -> Self {
        Self { language: self.language.clone(), steps: BTreeMap::new() }
    }

    /// The step, where it was made of the same.
    pub(super) fn get(&self, name: &StepName, origin: Origin) -> Option<Arc<dyn Step>> {
        let (known, step) = self.steps.get(name)?;
        (*known == origin).then(|| step.clone())
    }

    pub(super) fn insert(&mut self, name: StepName, origin: Origin, step: Arc<dyn Step>) {
        self.steps.insert(name, (origin, step));
    }
}

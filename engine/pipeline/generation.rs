//! Everything that decides, loaded and checked as one immutable whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::limits::Limits;
use super::run::{Input, Memory, Run};
use super::table::Tables;
use super::{Outcome, Pipeline};
use crate::config::Config;
use crate::fault::Faults;

/// Pipelines with their scripts, plugins and tables, under one number and digest.
pub struct Generation {
    /// Counts up with every change, for good. 0 until the store has given it a number.
    pub number: u64,
    /// First 12 hex digits of the SHA-256 over every file and the pipelines' configuration.
    pub digest: String,
    pipelines: BTreeMap<String, Pipeline>,
    tables: Arc<Tables>,
    limits: Arc<Limits>,
}

impl Generation {
    /// Reads and checks everything that decides.
    ///
    /// # Errors
    /// All faults of scripts, plugins and tables at once.
    pub fn load(_config: &Config) -> Result<Self, Faults> {
        unimplemented!()
    }

    /// Decides one message by a pipeline; `None` where there is no such pipeline.
    pub fn decide(
        &self,
        pipeline: &str,
        input: Arc<Input>,
        memory: Arc<dyn Memory>,
    ) -> Option<Outcome> {
        let pipeline = self.pipelines.get(pipeline)?;
        let run = Run::new(input, self.tables.clone(), memory, self.limits.clone());
        Some(pipeline.decide(run, self.number, &self.digest))
    }
}

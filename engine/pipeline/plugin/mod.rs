//! Steps that are WASM components built for `plugins/step.wit`.
//!
//! A component is compiled, linked and checked once, when a generation is loaded ([`load`]). Each
//! message then gets a fresh instance, which remembers nothing, may use nothing but the message, and
//! is ended by its limits: time by the engine's clock, memory and tables by the store, bytes over
//! host calls by the host. This folder is the only one that uses wasmtime.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::Resource;

use self::bindings::StepPre;
pub use self::cache::Cache;
use self::check::Description;
use self::engine::PluginEngine;
use self::host::{Host, Mail};
use self::trap::{Failure, inert};
use super::action::Direction;
use super::limits::Limits;
use super::run::Run;
use super::step::{Step, StepError};
use crate::fault::Fault;

mod bindings;
mod cache;
mod caps;
mod check;
mod engine;
mod host;
mod trap;
mod weigh;

/// Bytes of a plugin's error text that are kept.
const ERROR_TEXT: usize = 1024;

/// Compiles and checks a plugin. `file` is what faults name; `bytes` is its content;
/// `cache` keeps what was compiled.
///
/// The plugin runs once, to describe itself, under the same limits as for a message. Compiling takes
/// up to seconds for a large plugin and uses all cores: not for a thread that must answer soon.
///
/// # Errors
/// One fault: it is empty, too large, no component, built for another contract, lacks an export, or
/// does not describe itself.
pub fn load(
    name: &str,
    file: &Path,
    bytes: &[u8],
    limits: &Arc<Limits>,
    cache: &Cache,
) -> Result<Arc<dyn Step>, Fault> {
    let plugin = catch_unwind(AssertUnwindSafe(|| Plugin::open(name, file, bytes, limits, cache)))
        .unwrap_or_else(|_| Err(Fault::whole(file, "the plugin made the WASM engine panic")))?;
    Ok(Arc::new(plugin))
}

/// A compiled plugin, shared by all threads.
struct Plugin {
    name: String,
    /// The file's name, said with each action and error.
    at: Arc<str>,
    code: Code,
    description: Description,
}

impl Plugin {
    fn open(
        name: &str,
        file: &Path,
        bytes: &[u8],
        limits: &Arc<Limits>,
        cache: &Cache,
    ) -> Result<Self, Fault> {
        let fault = |what: &str| Fault::whole(file, what);
        let engine = PluginEngine::shared().map_err(fault)?;
        let pre = check::component(engine, file, bytes, limits, cache)?;
        let code = Code { engine, pre, limits: limits.clone() };
        let said = code.describe().map_err(|failure| check::undescribed(file, &failure))?;
        let description = check::description(file, &said)?;
        let at = file.file_name().map_or_else(|| name.into(), |file| file.to_string_lossy());
        Ok(Self { name: name.to_owned(), at: at.into(), code, description })
    }
}

impl Step for Plugin {
    fn name(&self) -> &str {
        &self.name
    }

    fn defines(&self, direction: Direction) -> bool {
        self.description.directions.contains(&direction)
    }

    fn run(&self, run: &Arc<Run>) -> Result<(), StepError> {
        let host = Host::for_message(run.clone(), self.at.clone(), &self.code.limits);
        let direction = run.input().direction;
        let outcome = catch_unwind(AssertUnwindSafe(|| self.code.decide(host, direction)));
        let message = match outcome {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(failure)) => failure.to_string(),
            Err(_) => "made the WASM engine panic".to_owned(),
        };
        Err(StepError { message, at: Some(self.at.to_string()) })
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What runs: the linked component with the limits of its calls.
struct Code {
    engine: &'static PluginEngine,
    pre: StepPre<Host>,
    limits: Arc<Limits>,
}

impl Code {
    /// What the plugin says of itself.
    fn describe(&self) -> Result<String, Failure> {
        let host = Host::without_message(&self.limits);
        self.call(host, |step, store| step.call_describe(store))
    }

    /// Runs the plugin over the message of `host`.
    fn decide(&self, host: Host, direction: Direction) -> Result<(), Failure> {
        let answer = self.call(host, |step, store| {
            let mail = Resource::<Mail>::new_borrow(Mail::ONLY);
            match direction {
                Direction::Inbound => step.call_inbound(store, mail),
                Direction::Outbound => step.call_outbound(store, mail),
            }
        })?;
        answer.map_err(|text| Failure::Said(inert(&text, ERROR_TEXT)))
    }

    /// One call of a fresh instance. Its clock starts before its start functions do.
    fn call<T>(
        &self,
        host: Host,
        call: impl FnOnce(&bindings::Step, &mut Store<Host>) -> wasmtime::Result<T>,
    ) -> Result<T, Failure> {
        let _pass = self.engine.enter();
        let mut store = Store::new(self.engine.wasmtime(), host);
        store.limiter(|host| &mut host.caps);
        store.set_hostcall_fuel(host::ONE_CALL);
        store.set_epoch_deadline(engine::ticks(self.limits.plugin_time));
        let answer = match self.pre.instantiate(&mut store) {
            Ok(step) => call(&step, &mut store),
            Err(error) => Err(error),
        };
        answer.map_err(|error| Failure::of(&error, &self.limits))
    }
}

//! What is looked at before a plugin is used: its bytes, what it was built for, what it says of
//! itself. Each fault says what to do.

use std::path::Path;

use serde::Deserialize;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, HasSelf, Linker};

use super::bindings::{Step, StepPre};
use super::cache::Cache;
use super::engine::PluginEngine;
use super::host::Host;
use super::trap::{Failure, chain, inert};
use crate::fault::Fault;
use crate::pipeline::action::Direction;
use crate::pipeline::limits::Limits;

/// The contract that this engine offers.
const OFFERED: &str = "mailmill:step@1.0.0";
/// The one interface in it.
const INTERFACE: &str = "mailmill:step/message";
/// Its major version: others are other contracts.
const MAJOR: &str = "1";

/// Bytes of a name, a version, and what a plugin is about.
const WORDS: usize = 400;

/// What a plugin says of itself. Keys that are not known are left for later versions.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Description {
    /// Its name.
    name: String,
    /// Its version.
    version: String,
    /// What it does, in one line.
    about: String,
    /// The directions in which it does anything.
    pub(super) directions: Vec<Direction>,
}

/// Compiles a plugin and links it to the host.
pub(super) fn component(
    engine: &PluginEngine,
    file: &Path,
    bytes: &[u8],
    limits: &Limits,
    cache: &Cache,
) -> Result<StepPre<Host>, Fault> {
    form(file, bytes, limits.plugin_file)?;
    let component = cache.component(engine.wasmtime(), bytes).map_err(|why| damaged(file, &why))?;
    imports(engine, file, &component)?;
    exports(engine, file, &component)?;
    link(engine, &component).map_err(|why| misfit(file, &chain(&why)))
}

/// The answer of `describe`, read.
pub(super) fn description(file: &Path, said: &str) -> Result<Description, Fault> {
    let help = r#"describe answers like {"name":"my-step","version":"1.0.0","about":"…","directions":["inbound"]}"#;
    let fault = |why: String| Fault::whole(file, why).help(help);
    let description: Description = serde_json::from_str(said).map_err(|why| {
        let start = inert(said, 60);
        fault(format!("describe does not answer with the right JSON: {why}: {start}"))
    })?;
    let unfit = |text: &String| text.is_empty() || text.len() > WORDS;
    if [&description.name, &description.version, &description.about].into_iter().any(unfit) {
        return Err(fault(format!(
            "describe gives name, version and about, of 1 to {WORDS} bytes"
        )));
    }
    if description.directions.is_empty() {
        return Err(fault("describe names no direction, so the step would never run".into()));
    }
    Ok(description)
}

/// The fault of a plugin whose `describe` fails.
pub(super) fn undescribed(file: &Path, failure: &Failure) -> Fault {
    Fault::whole(file, format!("cannot be asked what it is: {failure}"))
        .help("describe is called once when a plugin is loaded, without a message")
}

/// Whether the bytes are a component at all, before anything is compiled.
fn form(file: &Path, bytes: &[u8], most: usize) -> Result<(), Fault> {
    let build = "build it anew with plugins/build, or make a component of a module with \
                 `cargo run -p componentize -- IN.wasm OUT.wasm`";
    let fault = |what: &str| Err(Fault::whole(file, what).help(build));
    if bytes.is_empty() {
        return fault("is empty");
    }
    if bytes.len() > most {
        let what = format!("has {} bytes; a plugin has at most {most}", bytes.len());
        return Err(Fault::whole(file, what).help("strip it and build it with opt-level \"z\""));
    }
    match bytes {
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => fault("is a core WASM module, not a component"),
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', ..] => fault("is WASM of a version that is not supported"),
        _ => fault("is not WASM"),
    }
}

fn damaged(file: &Path, why: &wasmtime::Error) -> Fault {
    Fault::whole(file, format!("is not a valid component: {}", chain(why)))
        .help("it may be cut off or damaged: copy or build it anew")
}

/// A plugin may import this contract's interface and nothing else.
fn imports(engine: &PluginEngine, file: &Path, component: &Component) -> Result<(), Fault> {
    let foreign = component
        .component_type()
        .imports(engine.wasmtime())
        .find(|(name, import)| !is_type(&import.ty) && !offered(name))
        .map(|(name, _)| name.to_owned());
    foreign.map_or(Ok(()), |name| Err(foreign_import(file, &name)))
}

/// A world that uses a type of an interface imports it by its own name as well.
fn is_type(import: &ComponentItem) -> bool {
    matches!(import, ComponentItem::Type(_) | ComponentItem::Resource(_))
}

fn offered(import: &str) -> bool {
    let (interface, version) = import.split_once('@').unwrap_or((import, ""));
    interface == INTERFACE && version.split('.').next() == Some(MAJOR)
}

fn foreign_import(file: &Path, import: &str) -> Fault {
    let shown = inert(import, 120);
    if import.starts_with("mailmill:") {
        let what = format!("was built for {shown}; this mailmill offers {INTERFACE}@1.0.0");
        return Fault::whole(file, what)
            .help("build it with the SDK of this mailmill, or use the mailmill it was built for");
    }
    let fault = Fault::whole(file, format!("imports {shown}, which no step is given"));
    if import.starts_with("wasi:") {
        return fault.help("built for wasm32-wasip2? build for wasm32-unknown-unknown");
    }
    fault.help(format!("a step may import nothing but {INTERFACE}"))
}

fn exports(engine: &PluginEngine, file: &Path, component: &Component) -> Result<(), Fault> {
    let has = component.component_type();
    for name in ["describe", "inbound", "outbound"] {
        if has.get_export(engine.wasmtime(), name).is_none() {
            return Err(Fault::whole(file, format!("has no export `{name}`")).help(format!(
                "a step exports describe, inbound and outbound: build it for the world `step` of {OFFERED}"
            )));
        }
    }
    Ok(())
}

fn link(engine: &PluginEngine, component: &Component) -> wasmtime::Result<StepPre<Host>> {
    let mut linker = Linker::new(engine.wasmtime());
    Step::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host)?;
    StepPre::new(linker.instantiate_pre(component)?)
}

fn misfit(file: &Path, why: &str) -> Fault {
    Fault::whole(file, format!("does not fit {OFFERED}: {why}"))
        .help("build it with the SDK and the step.wit of this mailmill")
}

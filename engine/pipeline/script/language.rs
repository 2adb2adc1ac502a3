//! The interpreter: every limit set, nothing of the outside world within reach.
//!
//! rhai's own defaults differ between debug and release builds, so each limit is set here.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use rhai::module_resolvers::DummyModuleResolver;
use rhai::packages::{
    BasicArrayPackage, BasicMapPackage, BasicMathPackage, BitFieldPackage, CorePackage,
    LogicPackage, MoreStringPackage, Package,
};
use rhai::{Dynamic, Engine, ImmutableString, NativeCallContext, OptimizationLevel, Variant};

use super::error::{Answer, End, broken, refused};
use super::known::{Kind, Known};
use super::{Script, call, grow, lint, parts, reads, size, text, time, verbs};
use crate::fault::{Fault, Faults};
use crate::pipeline::limits::Limits;

/// How many operations go by between two looks at the clock: each look costs as much as one.
const OPERATIONS_PER_LOOK: u64 = 256;

/// The interpreter of one generation, shared by all its scripts and all threads.
pub struct Language {
    /// Runs scripts; refuses unknown variables.
    engine: Arc<Engine>,
    /// Parses scripts for the lint, which finds all unknown variables and not only the first.
    lenient: Engine,
    known: Known,
    limits: Arc<Limits>,
}

/// A script as it was read.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The step's name: the file name without its ending.
    pub name: &'a str,
    /// The file as faults show it.
    pub file: &'a Path,
    /// What it holds.
    pub bytes: &'a [u8],
}

/// Names of the configuration that a script may write out; an unknown one is refused at load.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// Those that `mail.table` takes.
    pub tables: &'a BTreeSet<String>,
    /// Those that `mail.deliver_to` takes.
    pub targets: &'a BTreeSet<String>,
    /// Those that `mail.sign` takes.
    pub templates: &'a BTreeSet<String>,
}

impl Language {
    /// Builds the interpreter.
    pub fn new(limits: Arc<Limits>) -> Self {
        let mut engine = bare(&limits);
        register(&mut engine);
        engine.set_strict_variables(true);
        let mut lenient = bare(&limits);
        register(&mut lenient);
        let known = Known::of(&engine);
        Self { engine: Arc::new(engine), lenient, known, limits }
    }

    /// Compiles a script and checks it as a whole.
    ///
    /// # Errors
    /// All faults of the script; of syntax errors the first.
    pub fn compile(&self, source: Source<'_>, names: Names<'_>) -> Result<Script, Faults> {
        let text = self.text(source)?;
        let parsed = self.lenient.compile(text);
        let parsed = parsed.map_err(|why| lint::syntax(source.file, text, &why, &self.limits))?;
        let checked = lint::check(source.file, text, &parsed, &self.known, names)?;
        let ast = self.engine.compile(text);
        let ast = ast.map_err(|why| lint::syntax(source.file, text, &why, &self.limits))?;
        Ok(Script {
            name: source.name.to_owned(),
            engine: self.engine.clone(),
            ast,
            inbound: checked.inbound,
            outbound: checked.outbound,
            limits: self.limits.clone(),
        })
    }

    /// All names that `mail` has, properties and methods, sorted.
    pub fn words_of_mail(&self) -> Vec<String> {
        let mut words: Vec<_> = self.known.members(Kind::Mail).map(str::to_owned).collect();
        words.sort();
        words.dedup();
        words
    }

    fn text<'a>(&self, source: Source<'a>) -> Result<&'a str, Faults> {
        let most = self.limits.script_file;
        if source.bytes.len() > most {
            let what = format!("the script has more than {} KiB", most >> 10);
            return Err(Fault::whole(source.file, what).into());
        }
        std::str::from_utf8(source.bytes).map_err(|why| {
            let before = &source.bytes[..why.valid_up_to()];
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            let fault = Fault::whole(source.file, "this line is not UTF-8");
            Fault { line, column: 1, ..fault }.help("save the file as UTF-8").into()
        })
    }
}

/// The language alone: no clock, no files, no `eval`, no other scripts.
fn bare(limits: &Limits) -> Engine {
    let mut engine = Engine::new_raw();
    // Without the packages for time (a clock of its own) and blobs (nothing here gives one).
    CorePackage::new().register_into_engine(&mut engine);
    BitFieldPackage::new().register_into_engine(&mut engine);
    LogicPackage::new().register_into_engine(&mut engine);
    BasicMathPackage::new().register_into_engine(&mut engine);
    BasicArrayPackage::new().register_into_engine(&mut engine);
    BasicMapPackage::new().register_into_engine(&mut engine);
    MoreStringPackage::new().register_into_engine(&mut engine);
    engine.disable_symbol("eval");
    engine.set_module_resolver(DummyModuleResolver::new());
    // rhai's optimizer has removed statements with effects before (rhai #1126); rules gain nothing.
    engine.set_optimization_level(OptimizationLevel::None);
    // With `sync` the interner sleeps when two threads meet in it.
    engine.set_max_strings_interned(0);
    set_limits(&mut engine, limits);
    size::register(&mut engine, limits);
    grow::register(&mut engine, limits);
    engine
}

fn set_limits(engine: &mut Engine, limits: &Limits) {
    let (global, function) = limits.script_expr_depth;
    engine
        .set_max_operations(limits.script_operations)
        .set_max_call_levels(limits.script_call_levels)
        .set_max_expr_depths(global, function)
        .set_max_string_size(limits.script_string)
        .set_max_array_size(limits.script_elements)
        .set_max_map_size(limits.script_elements)
        .set_max_variables(limits.script_names)
        .set_max_functions(limits.script_names)
        .set_max_modules(0);
    engine.on_progress(|operations| {
        let look = operations % OPERATIONS_PER_LOOK == 0;
        (look && call::overdue()).then(|| Dynamic::from(End::Overdue))
    });
}

fn register(engine: &mut Engine) {
    reads::register(engine);
    verbs::register(engine);
    parts::register(engine);
    text::register(engine);
    time::register(engine);
    printed::<Dynamic>(engine);
    // rhai has its own for these, which know no place and cannot fail.
    printed::<ImmutableString>(engine);
    printed::<i64>(engine);
    printed::<f64>(engine);
    printed::<bool>(engine);
    printed::<char>(engine);
    printed::<()>(engine);
    printed::<rhai::Array>(engine);
    printed::<rhai::Map>(engine);
    // rhai's own sleeps, and no limit stops it.
    engine.register_fn("sleep", |_: i64| no_sleep());
    engine.register_fn("sleep", |_: f64| no_sleep());
}

/// `print` and `debug` of a type write to the log, as `mail.log` does.
fn printed<T: Variant + Clone>(engine: &mut Engine) {
    for name in ["print", "debug"] {
        engine.register_fn(name, |call: NativeCallContext, value: T| {
            let value = Dynamic::from(value);
            let line = parts::plain(&value).unwrap_or_else(|_| value.to_string());
            call::print(&line, call.call_position()).map_err(broken)
        });
    }
}

fn no_sleep() -> Answer<()> {
    Err(refused("a script cannot sleep; use on_error = \"retry\" or mail.state"))
}

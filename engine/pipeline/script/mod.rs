//! Rhai scripts as steps. This folder is the only one that knows rhai.
//!
//! `language` builds the interpreter with every limit set, `reads`, `verbs`, `text` and `time` are
//! what a script may call, `call` is the call that runs on a thread, `lint` refuses at load what
//! would fail at the first message, `error` says what went wrong in one clause. What a script's
//! author reads is `api.md`.

mod call;
mod error;
mod grow;
mod known;
mod language;
mod lint;
mod parts;
mod reads;
mod size;
mod text;
mod time;
mod verbs;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rhai::{AST, CallFnOptions, Dynamic, Engine, Scope};

pub use language::{Language, Names, Source};

use super::action::Direction;
use super::limits::Limits;
use super::run::Run;
use super::step::{Step, StepError};

/// What a script's author reads: every read, verb and helper.
pub const API: &str = include_str!("api.md");

/// A compiled script.
pub struct Script {
    name: String,
    engine: Arc<Engine>,
    ast: AST,
    /// The lines of the functions, where they are defined.
    inbound: Option<usize>,
    outbound: Option<usize>,
    limits: Arc<Limits>,
}

impl Step for Script {
    fn name(&self) -> &str {
        &self.name
    }

    fn defines(&self, direction: Direction) -> bool {
        match direction {
            Direction::Inbound => self.inbound.is_some(),
            Direction::Outbound => self.outbound.is_some(),
        }
    }

    fn run(&self, run: &Arc<Run>) -> Result<(), StepError> {
        let entry = function(run.input().direction);
        let file = format!("{}.rhai", self.name);
        let _call = call::Entered::enter(run, file, self.limits.script_time);
        match catch_unwind(AssertUnwindSafe(|| self.call(entry, run))) {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => error::ended(*error, &self.limits).map_err(|failed| StepError {
                // Some errors know no place; the function is better than nothing.
                at: Some(format!("{}.rhai:{}", self.name, failed.line.unwrap_or(self.line(entry)))),
                message: failed.message,
            }),
            Err(_panic) => {
                let message = "mailmill itself panicked in this step; please report it".into();
                Err(StepError { message, at: None })
            }
        }
    }
}

impl Script {
    fn call(&self, entry: &str, run: &Arc<Run>) -> Result<Dynamic, Box<rhai::EvalAltResult>> {
        let options = CallFnOptions::new().eval_ast(false);
        let mail = reads::Mail(run.clone());
        self.engine.call_fn_with_options(options, &mut Scope::new(), &self.ast, entry, (mail,))
    }

    fn line(&self, entry: &str) -> usize {
        let line = if entry == "inbound" { self.inbound } else { self.outbound };
        line.unwrap_or(1)
    }
}

/// The function that a direction calls.
fn function(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}

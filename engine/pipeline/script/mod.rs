//! Rhai scripts as steps. This folder is the only one that knows rhai.
//!
//! `language` builds the interpreter with every limit set, `reads`, `verbs`, `text` and `time` are
//! what a script may call, `call` is the call that runs on a thread, `lint` refuses at load what
//! would fail at the first message, `error` says what went wrong in one clause. What a script's
//! author reads is `api.md`.

mod call;
mod error;
mod known;
mod language;
mod lint;
mod parts;
mod reads;
mod text;
mod time;
mod verbs;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rhai::{AST, CallFnOptions, Dynamic, Engine, Scope};

pub use language::{Language, Source};

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
    inbound: bool,
    outbound: bool,
    limits: Arc<Limits>,
}

impl Step for Script {
    fn name(&self) -> &str {
        &self.name
    }

    fn defines(&self, direction: Direction) -> bool {
        match direction {
            Direction::Inbound => self.inbound,
            Direction::Outbound => self.outbound,
        }
    }

    fn run(&self, run: &Arc<Run>) -> Result<(), StepError> {
        let entry = function(run.input().direction);
        let call =
            call::Entered::enter(run, format!("{}.rhai", self.name), self.limits.script_time);
        let ended = catch_unwind(AssertUnwindSafe(|| self.call(entry, run)));
        let flooded = call.leave();
        match ended {
            Ok(Err(failed)) => error::ended(*failed, &self.name, &self.limits)?,
            Ok(Ok(_)) => {}
            Err(_panic) => {
                let message = "mailmill itself panicked in this step; please report it".into();
                return Err(StepError { message, at: None });
            }
        }
        flooded.map_or(Ok(()), |message| Err(StepError { message, at: None }))
    }
}

impl Script {
    fn call(&self, entry: &str, run: &Arc<Run>) -> Result<Dynamic, Box<rhai::EvalAltResult>> {
        let options = CallFnOptions::new().eval_ast(false);
        let mail = reads::Mail(run.clone());
        self.engine.call_fn_with_options(options, &mut Scope::new(), &self.ast, entry, (mail,))
    }
}

/// The function that a direction calls.
fn function(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}

//! A question to the rules apart from the flow of mail: what would they decide about this message?
//! `try`, the user's own tests and the gate before a reload ask so. Who decides is the same code as
//! in the live run, [`crate::pipeline::Pipeline::decide`]; here is only what a mailbox and an earlier
//! message would have given.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::table::Tables;
use super::{Decision, Direction, Generation, Input, Memory, Outcome};
use crate::config::{self, Config};
use crate::error::{Error, Result};
use crate::mail::{Flag, MailboxName, Message, Uid};

/// Bytes of stack of a thread that asks rules: what
/// [`crate::pipeline::Limits::script_call_levels`] may need.
pub const STACK: usize = 8 << 20;

/// Which rules are asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Rules {
    /// A whole pipeline.
    Pipeline(String),
    /// A single step, with the `with` and `on_error` of its first place in a pipeline.
    Step {
        /// Its name.
        name: String,
        /// In place of its `with`.
        with: Option<Arc<serde_json::Value>>,
    },
}

/// What is given besides the message; the default gives nothing.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// Tables in place of the generation's, or besides them.
    pub tables: Tables,
    /// What steps before are taken to have linked: project and evidence.
    pub links: Vec<(String, String)>,
    /// What steps before are taken to have tagged.
    pub tags: BTreeMap<String, String>,
    /// Templates that are taken to be there, besides the generation's.
    pub templates: Vec<String>,
}

/// A question, for any number of messages.
#[derive(Debug, Clone)]
pub struct Trial {
    /// Which rules are asked.
    pub rules: Rules,
    /// What is given besides.
    pub given: Given,
    /// Which way the message goes.
    pub direction: Direction,
    /// The account it would arrive in.
    pub account: Arc<str>,
    /// The mailbox it would arrive in.
    pub mailbox: MailboxName,
    /// Its flags there.
    pub flags: Vec<Flag>,
    /// Who submits it (outbound).
    pub user: Option<String>,
    /// When it was received, Unix milliseconds.
    pub received_ms: i64,
    /// The time that stands still, Unix milliseconds.
    pub now_ms: i64,
}

impl Trial {
    /// Decides one message, which must be there as a whole.
    ///
    /// # Errors
    /// Permanent: there is no such pipeline or step, or the body is not here.
    pub fn decide(
        &self,
        generation: &Generation,
        message: Arc<Message>,
        memory: Arc<dyn Memory>,
    ) -> Result<Decision> {
        let input = Input {
            direction: self.direction,
            account: self.account.clone(),
            mailbox: self.mailbox.clone(),
            uid: Uid(0),
            size: message.bytes().len() as u64,
            received_ms: Some(self.received_ms),
            flags: self.flags.clone(),
            message,
            user: self.user.clone(),
            now_ms: self.now_ms,
        };
        let wrong = |why: String| Error::permanent("ask the rules", why);
        match generation.ask(&self.rules, &self.given, Arc::new(input), memory) {
            Some(Outcome::Decided { decision, .. }) => Ok(decision),
            Some(Outcome::NeedBody) => Err(wrong("the body is not here".into())),
            None => Err(wrong(match &self.rules {
                Rules::Pipeline(name) => format!("there is no pipeline \"{name}\""),
                Rules::Step { name, .. } => format!("no pipeline uses a step \"{name}\""),
            })),
        }
    }
}

/// The account a message is taken to arrive in where nobody says which: the first that uses the
/// pipeline, or the first of all; empty where there is none.
pub fn account<'c>(config: &'c Config, pipeline: Option<&str>) -> &'c str {
    let mut accounts = config.accounts.values();
    let fits =
        |account: &&config::Account| pipeline.is_none() || account.inbound.as_deref() == pipeline;
    accounts.find(fits).map_or("", |account| &account.name)
}

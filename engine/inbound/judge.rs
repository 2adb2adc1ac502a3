//! What decides, taken anew for each piece of work, and the candidate that may decide beside it.

use std::sync::Arc;

use super::Line;
use crate::pipeline::{Input, Memory, Outcome};

impl Line {
    /// The line with what is in force now. `None` where the configuration in force has another word
    /// for its account: the account is about to be served anew, or no more.
    pub(super) fn now(&self) -> Option<Line> {
        let generation = self.live.now();
        let config = generation.config().clone();
        let own = config.accounts.get(&*self.name)?;
        (*own == *self.account).then(|| Line { config, generation, ..self.clone() })
    }

    /// Whether what decides is still what is in force. A window that began with it ends where it is
    /// not, so that changed rules need not wait for all of it.
    pub(super) fn is_current(&self) -> bool {
        self.live.is(&self.generation)
    }

    /// Decides a message, and lets a candidate on trial decide it, too.
    pub(super) fn judge(&self, input: Arc<Input>, memory: Arc<dyn Memory>) -> Option<Outcome> {
        let shadow = self.live.shadow();
        let Some(shadow) = shadow else {
            return self.generation.decide(&self.pipeline, input, memory);
        };
        let outcome = self.generation.decide(&self.pipeline, input.clone(), memory.clone())?;
        match &outcome {
            Outcome::Decided { decision, .. } if !shadow.beside(&input, &memory, decision) => {
                Some(Outcome::NeedBody)
            }
            _ => Some(outcome),
        }
    }
}

//! Verbs of the contract that [`Run`] does not have yet. Where it gets them, its own take the place
//! of these, and this file goes.

use std::collections::BTreeMap;

use crate::pipeline::run::{Break, Run};

/// The verbs to come.
pub(super) trait Later {
    fn delete_after(&self, _duration: &str, _at: Option<String>) -> Result<(), Break> {
        refuse("delete_after")
    }

    fn forward_to(&self, _address: &str, _at: Option<String>) -> Result<(), Break> {
        refuse("forward_to")
    }

    fn reply_with(&self, _template: &str, _at: Option<String>) -> Result<(), Break> {
        refuse("reply_with")
    }

    fn notify(
        &self,
        _webhook: &str,
        _fields: BTreeMap<String, String>,
        _at: Option<String>,
    ) -> Result<(), Break> {
        refuse("notify")
    }

    fn sign(&self, _template: &str, _at: Option<String>) -> Result<(), Break> {
        refuse("sign")
    }
}

impl Later for Run {}

fn refuse(verb: &str) -> Result<(), Break> {
    Err(Break::Refused(format!("{verb} is not there yet")))
}

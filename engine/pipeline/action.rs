//! What a step can say: the actions of the design, section 5, one word each everywhere.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::mail::{Flag, MailboxName};

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Fetched from a mailbox.
    Inbound,
    /// Submitted by one of our users.
    Outbound,
}

/// One recorded action. Its values were checked when it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Move the message to a mailbox of its account.
    MoveTo {
        /// The target.
        mailbox: MailboxName,
    },
    /// Copy the message to a mailbox of its account.
    CopyTo {
        /// The target.
        mailbox: MailboxName,
    },
    /// Deliver it to a target of the configuration.
    DeliverTo {
        /// The target's name in `[targets]`.
        target: String,
    },
    /// Set a flag on the server.
    AddFlag {
        /// The flag.
        flag: Flag,
    },
    /// Clear a flag on the server.
    RemoveFlag {
        /// The flag.
        flag: Flag,
    },
    /// Link the message to a project.
    Link {
        /// The project's code.
        project: String,
        /// What decided it, e.g. `subject-token` or `account`.
        evidence: String,
    },
    /// Give the message a tag that later steps and people see.
    Tag {
        /// The tag's name.
        key: String,
        /// Its value.
        value: String,
    },
    /// Delete the message from its server when this time has gone by.
    DeleteAfter {
        /// Seconds.
        seconds: u64,
    },
    /// Forward the message.
    ForwardTo {
        /// To whom.
        address: String,
    },
    /// Answer from a template.
    ReplyWith {
        /// The template's name.
        template: String,
    },
    /// Tell a webhook of the configuration.
    Notify {
        /// The webhook's name.
        webhook: String,
        /// What to tell it.
        fields: BTreeMap<String, String>,
    },
    /// See that no program sends a read receipt: `$MDNSent` where the server permits it.
    SuppressReceipt,
    /// Remove every receipt request from what mailmill writes.
    StripReceiptRequests,
    /// Replace all fields of this name by one, in what mailmill writes.
    SetHeader {
        /// Field name.
        name: String,
        /// Unfolded value.
        value: String,
    },
    /// Add a field, in what mailmill writes.
    AddHeader {
        /// Field name.
        name: String,
        /// Unfolded value.
        value: String,
    },
    /// Remove all fields of this name from what mailmill writes.
    RemoveHeader {
        /// Field name.
        name: String,
    },
    /// Put a signature into the message (outbound).
    Sign {
        /// The template's name.
        template: String,
    },
    /// Leave the message where it is until a person looks.
    Hold {
        /// Why.
        reason: String,
    },
    /// Refuse the message (outbound).
    Reject {
        /// Why; the sender reads it.
        reason: String,
    },
    /// Write into the step's own memory.
    #[serde(rename = "state_set")]
    StateSet {
        /// Key, at most 256 bytes.
        key: String,
        /// Value, at most 4 KiB; empty removes the key.
        value: String,
    },
    /// A line for the log.
    Log {
        /// The text.
        text: String,
    },
    /// The last word: no later step runs.
    Stop,
}

impl Action {
    /// The action's word, as in [`VERBS`].
    pub fn verb(&self) -> &'static str {
        match self {
            Self::MoveTo { .. } => "move_to",
            Self::CopyTo { .. } => "copy_to",
            Self::DeliverTo { .. } => "deliver_to",
            Self::AddFlag { .. } => "add_flag",
            Self::RemoveFlag { .. } => "remove_flag",
            Self::Link { .. } => "link",
            Self::Tag { .. } => "tag",
            Self::DeleteAfter { .. } => "delete_after",
            Self::ForwardTo { .. } => "forward_to",
            Self::ReplyWith { .. } => "reply_with",
            Self::Notify { .. } => "notify",
            Self::SuppressReceipt => "suppress_receipt",
            Self::StripReceiptRequests => "strip_receipt_requests",
            Self::SetHeader { .. } => "set_header",
            Self::AddHeader { .. } => "add_header",
            Self::RemoveHeader { .. } => "remove_header",
            Self::Sign { .. } => "sign",
            Self::Hold { .. } => "hold",
            Self::Reject { .. } => "reject",
            Self::StateSet { .. } => "state_set",
            Self::Log { .. } => "log",
            Self::Stop => "stop",
        }
    }
}

/// The fields of an action beside `action`, `step` and `at`; none for a word that is no verb.
pub fn fields(verb: &str) -> &'static [&'static str] {
    match verb {
        "move_to" | "copy_to" => &["mailbox"],
        "deliver_to" => &["target"],
        "add_flag" | "remove_flag" => &["flag"],
        "link" => &["project", "evidence"],
        "tag" | "state_set" => &["key", "value"],
        "delete_after" => &["seconds"],
        "forward_to" => &["address"],
        "reply_with" | "sign" => &["template"],
        "notify" => &["webhook", "fields"],
        "set_header" | "add_header" => &["name", "value"],
        "remove_header" => &["name"],
        "hold" | "reject" => &["reason"],
        "log" => &["text"],
        _ => &[],
    }
}

/// Every verb, as it is called in a script; `state.set` goes by `state_set`.
pub const VERBS: &[&str] = &[
    "move_to",
    "copy_to",
    "deliver_to",
    "add_flag",
    "remove_flag",
    "link",
    "tag",
    "delete_after",
    "forward_to",
    "reply_with",
    "notify",
    "suppress_receipt",
    "strip_receipt_requests",
    "set_header",
    "add_header",
    "remove_header",
    "sign",
    "hold",
    "reject",
    "state_set",
    "log",
    "stop",
];

/// The verbs that this version performs for a message that has arrived. The others are refused, so
/// that none counts as done that nobody does: where it can be seen when a script is loaded, else
/// when one is said.
pub const PERFORMED_INBOUND: &[&str] = &[
    "move_to",
    "copy_to",
    "deliver_to",
    "add_flag",
    "remove_flag",
    "link",
    "tag",
    "suppress_receipt",
    "strip_receipt_requests",
    "set_header",
    "add_header",
    "remove_header",
    "hold",
    "stop",
    "state_set",
    "log",
];

/// The verbs that make no sense for a message that has arrived.
pub const OUTBOUND_ONLY: &[&str] = &["sign", "reject"];

/// The verbs that make no sense for a message that leaves: it lies in no mailbox yet.
pub const INBOUND_ONLY: &[&str] = &["move_to", "delete_after", "suppress_receipt"];

/// Why a verb of a message that has arrived is refused, where this version does not perform it.
pub(super) fn not_performed(verb: &str) -> Option<String> {
    let comes_with = match verb {
        "delete_after" => "retention",
        "notify" => "webhooks",
        _ => "sending",
    };
    let why = || format!("{verb} is not performed by this version; it comes with {comes_with}");
    (!PERFORMED_INBOUND.contains(&verb)).then(why)
}

/// An action with the step that said it and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// What was said.
    #[serde(flatten)]
    pub action: Action,
    /// The step's name.
    pub step: String,
    /// `file:line` of the call, where the step can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// How a run of the pipeline ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every step ran.
    Continue,
    /// A step said `stop()`.
    Stop,
    /// The message is held for a person.
    Hold,
    /// The message is refused (outbound).
    Reject,
}

/// How one step fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    /// It ran to its end.
    Ran,
    /// It failed and `on_error = "skip"` lets the message go on as if it had said nothing.
    Skipped,
    /// It failed, and the message is held or tried again.
    Failed,
    /// An earlier step ended the run.
    NotReached,
}

/// What became of one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReport {
    /// The step's name.
    pub step: String,
    /// How it fared.
    pub outcome: StepOutcome,
    /// How long it ran, in microseconds.
    pub micros: u64,
    /// Whether it read the body.
    pub read_body: bool,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What the pipeline decided for one message: the plan, before anything is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The generation that decided.
    pub generation: u64,
    /// That generation's digest: the first 12 hex digits of its SHA-256.
    pub digest: String,
    /// How the run ended.
    pub verdict: Verdict,
    /// What is to be done, in the order it was said.
    pub actions: Vec<Recorded>,
    /// Tags, the last value of each.
    pub tags: BTreeMap<String, String>,
    /// The project it was linked to first.
    pub project: Option<String>,
    /// Every step of the pipeline.
    pub steps: Vec<StepReport>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Map, Value, json};

    use super::{Action, VERBS, fields};

    /// The table of fields says what the actions themselves have: without one of them an action is
    /// not understood, and with all of them it has nothing else.
    #[test]
    fn every_verb_has_the_fields_that_are_told() {
        for verb in VERBS {
            let mut whole = Map::from_iter([("action".to_owned(), json!(verb))]);
            for field in fields(verb) {
                let value = match *field {
                    "seconds" => json!(60),
                    "fields" => json!({}),
                    "flag" => json!("$x"),
                    _ => json!("X"),
                };
                whole.insert((*field).to_owned(), value);
            }
            let action: Action = serde_json::from_value(Value::Object(whole.clone())).unwrap();
            assert_eq!(action.verb(), *verb);
            let written = serde_json::to_value(&action).unwrap();
            let names = |value: &Map<String, Value>| value.keys().cloned().collect::<BTreeSet<_>>();
            assert_eq!(names(written.as_object().unwrap()), names(&whole), "{verb}");
        }
    }
}

//! What is remembered of a message that is sent, so that its answer links to the project without a
//! token in its subject.

use crate::mail::thread::thread_subject;
use crate::store::Change;

use super::Outgoing;

/// The step that links answers, and under whose name inbound mail looks ids up.
const STEP: &str = "project-link";
/// Bytes of an id, of a project's code and of a base subject: those of the step.
const ID: usize = 200;
const CODE: usize = 256;
const SUBJECT: usize = 200;

/// The entry that the step `project-link` of the account finds when the answer comes
/// (`plugins/project-link/src/memory.rs` says its form). Nothing where the message has no id or no
/// project, or where the outbound pipeline has written it itself.
pub(super) fn of(outgoing: &Outgoing) -> Option<Change> {
    let id = outgoing.message_id.as_deref().filter(|id| !id.is_empty() && id.len() <= ID)?;
    let project = outgoing.project.as_deref()?;
    if project.is_empty() || project.len() > CODE || project.contains(['\t', '\r', '\n']) {
        return None;
    }
    let key = format!("mid:{id}");
    let said = |change: &Change| match change {
        Change::State { step, key: other, .. } => step == STEP && *other == key,
        _ => false,
    };
    if outgoing.changes.iter().any(said) {
        return None;
    }
    let subject = base_subject(outgoing.subject.as_deref().unwrap_or_default());
    let account = outgoing.account.as_str().into();
    let value = format!("{project}\t{subject}");
    Some(Change::State { account, step: STEP.into(), key, value })
}

/// The subject as threads are compared by: no prefixes, one blank between words, small letters.
fn base_subject(subject: &str) -> String {
    let words: Vec<String> =
        thread_subject(subject).split_whitespace().map(str::to_lowercase).collect();
    let mut subject = words.join(" ");
    subject.truncate(subject.floor_char_boundary(SUBJECT));
    subject
}

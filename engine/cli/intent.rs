//! What an action asks for, in words that do not say whether it is done: "move to X", never
//! "moved to X".

use crate::pipeline::Action;

/// The clause; `None` for what decides and does nothing: `stop`, and the reasons of `hold` and
/// `reject`, which are shown as the verdict. Foreign text in it is not inert.
pub(super) fn intent(action: &Action) -> Option<String> {
    outside(action).or_else(|| inside(action))
}

/// What changes something outside of the store.
fn outside(action: &Action) -> Option<String> {
    Some(match action {
        Action::MoveTo { mailbox } => format!("move to {mailbox}"),
        Action::CopyTo { mailbox } => format!("copy to {mailbox}"),
        Action::DeliverTo { target } => format!("deliver to {target}"),
        Action::AddFlag { flag } => format!("set flag {flag}"),
        Action::RemoveFlag { flag } => format!("clear flag {flag}"),
        Action::DeleteAfter { seconds } => format!("delete after {seconds} s"),
        Action::ForwardTo { address } => format!("forward to {address}"),
        Action::ReplyWith { template } => format!("reply with {template}"),
        Action::Notify { webhook, .. } => format!("notify {webhook}"),
        Action::SuppressReceipt => "suppress read receipt".into(),
        Action::StripReceiptRequests => "strip receipt requests".into(),
        Action::SetHeader { name, value } => format!("set header {name}: {value}"),
        Action::AddHeader { name, value } => format!("add header {name}: {value}"),
        Action::RemoveHeader { name } => format!("remove header {name}"),
        Action::Sign { template } => format!("sign with {template}"),
        _ => return None,
    })
}

/// What is done when the plan is written.
fn inside(action: &Action) -> Option<String> {
    Some(match action {
        Action::Link { project, evidence } => format!("link to {project} by {evidence}"),
        Action::Tag { key, value } => format!("tag {key} = {value}"),
        Action::StateSet { key, value } if value.is_empty() => format!("forget {key}"),
        Action::StateSet { key, value } => format!("remember {key} = {value}"),
        Action::Log { text } => format!("log: {text}"),
        _ => return None,
    })
}

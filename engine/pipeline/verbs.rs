//! What a step may say: each verb checks its values, records one action and lets its effect be
//! seen by what comes later. The reads stand in [`super::run`].

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::action::{Action, Direction, Recorded, not_performed};
use super::limits::Limits;
use super::run::{Break, Record, Run};
use super::value::{address, field_name, header_field, lifetime, text, word};
use crate::fault::nearest;
use crate::mail::{Flag, MailboxName, inert};

impl Run {
    /// `move_to`: a later one replaces an earlier one.
    ///
    /// # Errors
    /// [`Break::Refused`] for a mailbox name that is none.
    pub fn move_to(&self, mailbox: &str, at: Option<String>) -> Result<(), Break> {
        let mailbox = MailboxName::new(mailbox).map_err(Break::Refused)?;
        let action = Action::MoveTo { mailbox: mailbox.clone() };
        self.say_then(action, at, |record| {
            let last = record.actions.len() - 1;
            let mut index = 0;
            record.actions.retain(|said| {
                index += 1;
                index > last || !matches!(said.action, Action::MoveTo { .. })
            });
            record.mailbox = mailbox;
        })
    }

    /// `copy_to`.
    ///
    /// # Errors
    /// [`Break::Refused`] for a mailbox name that is none.
    pub fn copy_to(&self, mailbox: &str, at: Option<String>) -> Result<(), Break> {
        let mailbox = MailboxName::new(mailbox).map_err(Break::Refused)?;
        self.say(Action::CopyTo { mailbox }, at)
    }

    /// `add_flag`.
    ///
    /// # Errors
    /// [`Break::Refused`] for a flag that is none.
    pub fn add_flag(&self, flag: &str, at: Option<String>) -> Result<(), Break> {
        let flag = Flag::new(flag).map_err(Break::Refused)?;
        self.say_then(Action::AddFlag { flag: flag.clone() }, at, |record| {
            if !record.flags.contains(&flag) {
                record.flags.push(flag);
            }
        })
    }

    /// `remove_flag`.
    ///
    /// # Errors
    /// [`Break::Refused`] for a flag that is none.
    pub fn remove_flag(&self, flag: &str, at: Option<String>) -> Result<(), Break> {
        let flag = Flag::new(flag).map_err(Break::Refused)?;
        self.say_then(Action::RemoveFlag { flag: flag.clone() }, at, |record| {
            record.flags.retain(|known| *known != flag);
        })
    }

    /// `link`: the first link is the message's project.
    ///
    /// # Errors
    /// [`Break::Refused`] for a project or evidence that is empty, long or has control characters.
    pub fn link(&self, project: &str, evidence: &str, at: Option<String>) -> Result<(), Break> {
        let project = word("a project", project)?;
        let evidence = word("an evidence", evidence)?;
        let action = Action::Link { project: project.clone(), evidence: evidence.clone() };
        self.say_then(action, at, |record| record.links.push((project, evidence)))
    }

    /// `tag`.
    ///
    /// # Errors
    /// [`Break::Refused`] for a key that is empty or long, or a value over 1 KiB.
    pub fn tag(&self, key: &str, value: &str, at: Option<String>) -> Result<(), Break> {
        let key = word("a tag's key", key)?;
        let value = text("a tag's value", value, 1024)?;
        let action = Action::Tag { key: key.clone(), value: value.clone() };
        self.say_then(action, at, |record| {
            record.tags.insert(key, value);
        })
    }

    /// `set_header`, in what mailmill writes.
    ///
    /// # Errors
    /// [`Break::Refused`] for a field name or text that cannot stand in a header.
    pub fn set_header(&self, name: &str, value: &str, at: Option<String>) -> Result<(), Break> {
        let (name, value) = header_field(name, value)?;
        let action = Action::SetHeader { name: name.clone(), value: value.clone() };
        self.say_then(action, at, |record| {
            record.message = Arc::new(record.message.with_header_set(&name, &value));
        })
    }

    /// `add_header`, in what mailmill writes.
    ///
    /// # Errors
    /// [`Break::Refused`] for a field name or text that cannot stand in a header.
    pub fn add_header(&self, name: &str, value: &str, at: Option<String>) -> Result<(), Break> {
        let (name, value) = header_field(name, value)?;
        let action = Action::AddHeader { name: name.clone(), value: value.clone() };
        self.say_then(action, at, |record| {
            record.message = Arc::new(record.message.with_header_added(&name, &value));
        })
    }

    /// `remove_header`, in what mailmill writes.
    ///
    /// # Errors
    /// [`Break::Refused`] for a field name that is none.
    pub fn remove_header(&self, name: &str, at: Option<String>) -> Result<(), Break> {
        let name = field_name(name)?;
        self.say_then(Action::RemoveHeader { name: name.clone() }, at, |record| {
            record.message = Arc::new(record.message.with_headers_removed(&[&name]));
        })
    }

    /// `suppress_receipt`.
    ///
    /// # Errors
    /// [`Break::Refused`] when a limit is reached.
    pub fn suppress_receipt(&self, at: Option<String>) -> Result<(), Break> {
        self.say_then(Action::SuppressReceipt, at, |record| {
            if !record.flags.contains(&Flag::mdn_sent()) {
                record.flags.push(Flag::mdn_sent());
            }
        })
    }

    /// `strip_receipt_requests`, from what mailmill writes.
    ///
    /// # Errors
    /// [`Break::Refused`] when a limit is reached.
    pub fn strip_receipt_requests(&self, at: Option<String>) -> Result<(), Break> {
        self.say_then(Action::StripReceiptRequests, at, |record| {
            record.message = Arc::new(record.message.without_receipt_requests());
        })
    }

    /// `state.set`: an empty value removes the key.
    ///
    /// # Errors
    /// [`Break::Refused`] for a key over 256 bytes or a value over 4 KiB.
    pub fn state_set(&self, key: &str, value: &str, at: Option<String>) -> Result<(), Break> {
        if key.is_empty() || key.len() > 256 {
            return Err(Break::Refused("a state key has 1 to 256 bytes".into()));
        }
        if value.len() > 4096 {
            return Err(Break::Refused("a state value has at most 4 KiB".into()));
        }
        let (key, value) = (key.to_owned(), value.to_owned());
        let action = Action::StateSet { key: key.clone(), value: value.clone() };
        self.say_then(action, at, |record| {
            let step = record.step.clone();
            record.state.insert((step, key), value);
        })
    }

    /// `log`: cut at its limit, refused after too many lines or bytes.
    ///
    /// # Errors
    /// [`Break::Refused`] after too many.
    pub fn log(&self, line: &str, at: Option<String>) -> Result<(), Break> {
        let cut = line.floor_char_boundary(self.limits().log_line);
        let most = self.limits().log_lines;
        if self.record().log_lines >= most {
            return Err(Break::Refused(format!("more than {most} log lines for one message")));
        }
        self.say_then(Action::Log { text: inert(&line[..cut]) }, at, |record| record.log_lines += 1)
    }

    /// `deliver_to`.
    ///
    /// # Errors
    /// [`Break::Refused`] for a target's name that is none; whether the target exists is checked
    /// when the plan is made.
    pub fn deliver_to(&self, target: &str, at: Option<String>) -> Result<(), Break> {
        self.say(Action::DeliverTo { target: word("a target", target)? }, at)
    }

    /// `delete_after`: a duration from one minute to ten years, such as `2d` or `12h`.
    ///
    /// # Errors
    /// [`Break::Refused`] for a text that is no duration, or one out of these bounds.
    pub fn delete_after(&self, duration: &str, at: Option<String>) -> Result<(), Break> {
        self.say(Action::DeleteAfter { seconds: lifetime(duration)? }, at)
    }

    /// `forward_to`.
    ///
    /// # Errors
    /// [`Break::Refused`] for an address that is none.
    pub fn forward_to(&self, to: &str, at: Option<String>) -> Result<(), Break> {
        self.say(Action::ForwardTo { address: address(to)? }, at)
    }

    /// `reply_with`.
    ///
    /// # Errors
    /// [`Break::Refused`] for a template's name that is none.
    pub fn reply_with(&self, template: &str, at: Option<String>) -> Result<(), Break> {
        self.say(Action::ReplyWith { template: word("a template", template)? }, at)
    }

    /// `notify`: tells a webhook of the configuration these fields.
    ///
    /// # Errors
    /// [`Break::Refused`] for a webhook's name or a field's name that is none, or a value over
    /// 4 KiB.
    pub fn notify(
        &self,
        webhook: &str,
        fields: BTreeMap<String, String>,
        at: Option<String>,
    ) -> Result<(), Break> {
        for (name, value) in &fields {
            word("a field's name", name)?;
            if value.len() > 4096 {
                return Err(Break::Refused("a field's value has at most 4096 bytes".into()));
            }
        }
        self.say(Action::Notify { webhook: word("a webhook", webhook)?, fields }, at)
    }

    /// `sign`: outbound only; a later one replaces an earlier one.
    ///
    /// # Errors
    /// [`Break::Refused`] inbound, or for a template that there is not.
    pub fn sign(&self, template: &str, at: Option<String>) -> Result<(), Break> {
        if self.input().direction == Direction::Inbound {
            return Err(Break::Refused(
                "sign() puts a signature under mail that leaves; this message has arrived".into(),
            ));
        }
        let template = word("a template", template)?;
        if !self.templates().contains(&template) {
            let near = nearest(&template, self.templates().iter().map(String::as_str));
            let near = near.map(|near| format!("; did you mean \"{near}\"?")).unwrap_or_default();
            let what = format!("there is no template \"{}\"{near}", template.escape_debug());
            return Err(Break::Refused(what));
        }
        self.say_then(Action::Sign { template }, at, |record| {
            let last = record.actions.len() - 1;
            let mut index = 0;
            record.actions.retain(|said| {
                index += 1;
                index > last || !matches!(said.action, Action::Sign { .. })
            });
        })
    }

    /// `hold`: the message stays where it is until a person looks.
    ///
    /// # Errors
    /// Always: [`Break::LastWord`], or [`Break::Refused`].
    pub fn hold(&self, reason: &str, at: Option<String>) -> Result<(), Break> {
        let reason = text("a reason", reason, 1024)?;
        self.last_word(Action::Hold { reason }, at)
    }

    /// `reject`: outbound only.
    ///
    /// # Errors
    /// Always: [`Break::LastWord`], or [`Break::Refused`] (inbound, or a reason with line ends).
    pub fn reject(&self, reason: &str, at: Option<String>) -> Result<(), Break> {
        if self.input().direction == Direction::Inbound {
            return Err(Break::Refused(
                "reject() refuses a submission; a message that has arrived can be held or moved"
                    .into(),
            ));
        }
        let reason = text("a reason", reason, 512)?;
        self.last_word(Action::Reject { reason }, at)
    }

    /// `stop`: no later step runs.
    ///
    /// # Errors
    /// Always: [`Break::LastWord`], or [`Break::Refused`].
    pub fn stop(&self, at: Option<String>) -> Result<(), Break> {
        self.last_word(Action::Stop, at)
    }

    fn last_word(&self, action: Action, at: Option<String>) -> Result<(), Break> {
        self.say_then(action, at, |record| record.last_word = true)?;
        Err(Break::LastWord)
    }

    fn say(&self, action: Action, at: Option<String>) -> Result<(), Break> {
        self.say_then(action, at, |_| ())
    }

    /// Records an action within the limits and lets its effect be seen.
    fn say_then(
        &self,
        action: Action,
        at: Option<String>,
        effect: impl FnOnce(&mut Record),
    ) -> Result<(), Break> {
        if self.input().direction == Direction::Inbound
            && let Some(why) = not_performed(action.verb())
        {
            return Err(Break::Refused(why));
        }
        let mut record = self.record();
        if record.last_word {
            return Err(Break::Refused("the last word (stop, hold or reject) was said".into()));
        }
        let said = Recorded { action, step: record.step.to_string(), at };
        record.spend(&said, self.limits())?;
        record.actions.push(said);
        effect(&mut record);
        Ok(())
    }
}

impl Record {
    /// Counts an action against the limits of its message. Log lines have a limit of their own: a
    /// talkative rule takes nothing from the others.
    fn spend(&mut self, said: &Recorded, limits: &Limits) -> Result<(), Break> {
        if self.actions.len() >= limits.actions {
            let most = limits.actions;
            return Err(Break::Refused(format!("more than {most} actions for one message")));
        }
        let (spent, most, of) = match said.action {
            Action::Log { .. } => (&mut self.log_bytes, limits.log_bytes, "log lines"),
            _ => (&mut self.action_bytes, limits.action_bytes, "actions"),
        };
        let sum = spent.saturating_add(stored_size(said));
        if sum > most {
            return Err(Break::Refused(format!("more than {most} bytes of {of} for one message")));
        }
        *spent = sum;
        Ok(())
    }
}

/// The bytes that an action takes in the record of its message, with what separates it from the
/// next. A tag stands there twice: in the order of what was said, and among the tags.
fn stored_size(said: &Recorded) -> usize {
    let size = json_size(said) + 1;
    match &said.action {
        Action::Tag { key, value } => size + json_size(key) + json_size(value) + 2,
        _ => size,
    }
}

fn json_size(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX / 8, |json| json.len())
}

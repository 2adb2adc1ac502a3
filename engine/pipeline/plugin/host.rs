//! The host side of `mail`: passes reads and verbs on to [`Run`], which has the checks, and ends the
//! guest where one is refused.

use std::fmt;
use std::sync::Arc;

use wasmtime::component::Resource;

use super::bindings::mailmill::step::message::{
    Address, Attachment, Direction, Host as MessageHost, HostMail,
};
use super::caps::Caps;
use super::weigh::Weigh;
use crate::mail::{self, Message};
use crate::pipeline::action;
use crate::pipeline::limits::Limits;
use crate::pipeline::run::{Break, Run};

/// Bytes that one host call may bring from a guest.
pub(super) const ONE_CALL: usize = 1 << 20;

/// What stands behind a guest's handle of `mail`. There is one message in a store, so there is
/// nothing to look up, and nothing that a guest could pile up. `pub` because the bindings export it again.
#[derive(Debug)]
#[allow(unreachable_pub)]
pub enum Mail {}

impl Mail {
    /// The handle's number.
    pub(super) const ONLY: u32 = 1;
}

/// What a store holds beside the guest.
pub(super) struct Host {
    /// `None` while a plugin describes itself.
    run: Option<Arc<Run>>,
    at: Arc<str>,
    /// Bytes that host calls may still move.
    left: usize,
    limits: Arc<Limits>,
    pub(super) caps: Caps,
}

/// Why the host ended a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HostStop {
    /// A verb refused its value, or a read needs the body.
    Broke(Break),
    /// More bytes over host calls than a call may move.
    Traffic(usize),
    /// The guest called `fail`.
    Failed(String),
    /// A read or a verb without a message.
    NoMessage,
}

impl Host {
    pub(super) fn for_message(run: Arc<Run>, at: Arc<str>, limits: &Arc<Limits>) -> Self {
        Self { run: Some(run), at, ..Self::without_message(limits) }
    }

    pub(super) fn without_message(limits: &Arc<Limits>) -> Self {
        Self {
            run: None,
            at: "".into(),
            left: limits.plugin_traffic,
            limits: limits.clone(),
            caps: Caps::new(limits),
        }
    }

    fn run(&self) -> wasmtime::Result<&Run> {
        Ok(self.run.as_deref().ok_or(HostStop::NoMessage)?)
    }

    fn message(&self) -> wasmtime::Result<Arc<Message>> {
        Ok(self.run()?.message())
    }

    fn spend(&mut self, bytes: usize) -> wasmtime::Result<()> {
        let most = self.limits.plugin_traffic;
        self.left = self.left.checked_sub(bytes).ok_or(HostStop::Traffic(most))?;
        Ok(())
    }

    /// An answer on its way to the guest, within the budget.
    fn give<T: Weigh>(&mut self, answer: T) -> wasmtime::Result<T> {
        self.spend(answer.weight())?;
        Ok(answer)
    }

    /// A read of the headers.
    fn read<T: Weigh>(&mut self, read: impl FnOnce(&Message) -> T) -> wasmtime::Result<T> {
        let answer = read(&*self.message()?);
        self.give(answer)
    }

    /// Says a verb whose arguments have this many bytes. After a last word the guest goes on to its
    /// own return.
    fn say(
        &mut self,
        bytes: usize,
        verb: impl FnOnce(&Run, Option<String>) -> Result<(), Break>,
    ) -> wasmtime::Result<()> {
        self.spend(bytes)?;
        let at = Some(self.at.to_string());
        match verb(self.run()?, at) {
            Ok(()) | Err(Break::LastWord) => Ok(()),
            Err(broke) => Err(HostStop::Broke(broke).into()),
        }
    }
}

impl fmt::Display for HostStop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broke(Break::Refused(why)) | Self::Failed(why) => f.write_str(why),
            Self::Broke(Break::NeedBody) => f.write_str("needs the body, which is not here"),
            Self::Broke(Break::LastWord) => f.write_str("said its last word"),
            Self::Traffic(most) => {
                write!(f, "moved more than {} MiB over calls of the engine", most >> 20)
            }
            Self::NoMessage => f.write_str("asked for the message while it described itself"),
        }
    }
}

impl std::error::Error for HostStop {}

impl From<Break> for HostStop {
    fn from(broke: Break) -> Self {
        Self::Broke(broke)
    }
}

fn addresses(found: Vec<mail::Address>) -> Vec<Address> {
    found.into_iter().map(|one| Address { name: one.name, address: one.address }).collect()
}

fn attachment(found: mail::Attachment) -> Attachment {
    let mail::Attachment { name, media_type, size, sha256 } = found;
    Attachment { name, media_type, size, sha256 }
}

impl MessageHost for Host {
    fn fail(&mut self, why: String) -> wasmtime::Result<()> {
        Err(HostStop::Failed(why).into())
    }
}

impl HostMail for Host {
    fn direction(&mut self, _: Resource<Mail>) -> wasmtime::Result<Direction> {
        Ok(match self.run()?.input().direction {
            action::Direction::Inbound => Direction::Inbound,
            action::Direction::Outbound => Direction::Outbound,
        })
    }

    fn account(&mut self, _: Resource<Mail>) -> wasmtime::Result<String> {
        let account = self.run()?.input().account.to_string();
        self.give(account)
    }

    fn mailbox(&mut self, _: Resource<Mail>) -> wasmtime::Result<String> {
        let mailbox = self.run()?.mailbox().to_string();
        self.give(mailbox)
    }

    fn uid(&mut self, _: Resource<Mail>) -> wasmtime::Result<u32> {
        Ok(self.run()?.input().uid.0)
    }

    fn size(&mut self, _: Resource<Mail>) -> wasmtime::Result<u64> {
        Ok(self.run()?.input().size)
    }

    fn received(&mut self, _: Resource<Mail>) -> wasmtime::Result<Option<i64>> {
        Ok(self.run()?.input().received_ms)
    }

    fn flags(&mut self, _: Resource<Mail>) -> wasmtime::Result<Vec<String>> {
        let flags: Vec<_> = self.run()?.flags().iter().map(ToString::to_string).collect();
        self.give(flags)
    }

    fn user(&mut self, _: Resource<Mail>) -> wasmtime::Result<Option<String>> {
        let user = self.run()?.input().user.clone();
        self.give(user)
    }

    fn now(&mut self, _: Resource<Mail>) -> wasmtime::Result<i64> {
        Ok(self.run()?.input().now_ms)
    }

    fn subject(&mut self, _: Resource<Mail>) -> wasmtime::Result<String> {
        self.read(Message::subject)
    }

    fn thread_subject(&mut self, _: Resource<Mail>) -> wasmtime::Result<String> {
        self.read(Message::thread_subject)
    }

    fn from(&mut self, _: Resource<Mail>) -> wasmtime::Result<Vec<Address>> {
        self.read(|message| addresses(message.from()))
    }

    fn to(&mut self, _: Resource<Mail>) -> wasmtime::Result<Vec<Address>> {
        self.read(|message| addresses(message.to()))
    }

    fn cc(&mut self, _: Resource<Mail>) -> wasmtime::Result<Vec<Address>> {
        self.read(|message| addresses(message.cc()))
    }

    fn reply_to(&mut self, _: Resource<Mail>) -> wasmtime::Result<Vec<Address>> {
        self.read(|message| addresses(message.reply_to()))
    }

    fn date(&mut self, _: Resource<Mail>) -> wasmtime::Result<Option<String>> {
        self.read(Message::date)
    }

    fn message_id(&mut self, _: Resource<Mail>) -> wasmtime::Result<Option<String>> {
        self.read(Message::message_id)
    }

    fn in_reply_to(&mut self, _: Resource<Mail>) -> wasmtime::Result<Vec<String>> {
        self.read(Message::in_reply_to)
    }

    fn references(&mut self, _: Resource<Mail>) -> wasmtime::Result<Vec<String>> {
        self.read(Message::references)
    }

    fn list_id(&mut self, _: Resource<Mail>) -> wasmtime::Result<Option<String>> {
        self.read(Message::list_id)
    }

    fn header(&mut self, _: Resource<Mail>, name: String) -> wasmtime::Result<Option<String>> {
        self.spend(name.len())?;
        self.read(|message| message.header(&name))
    }

    fn headers(&mut self, _: Resource<Mail>, name: String) -> wasmtime::Result<Vec<String>> {
        self.spend(name.len())?;
        self.read(|message| message.headers(&name))
    }

    fn is_auto(&mut self, _: Resource<Mail>) -> wasmtime::Result<bool> {
        Ok(self.message()?.is_auto())
    }

    fn is_bounce(&mut self, _: Resource<Mail>) -> wasmtime::Result<bool> {
        Ok(self.message()?.is_bounce())
    }

    fn is_mdn(&mut self, _: Resource<Mail>) -> wasmtime::Result<bool> {
        Ok(self.message()?.is_mdn())
    }

    fn is_list(&mut self, _: Resource<Mail>) -> wasmtime::Result<bool> {
        Ok(self.message()?.is_list())
    }

    fn is_reply(&mut self, _: Resource<Mail>) -> wasmtime::Result<bool> {
        Ok(self.message()?.is_reply())
    }

    fn is_encrypted(&mut self, _: Resource<Mail>) -> wasmtime::Result<bool> {
        Ok(self.run()?.perhaps_body(Message::is_encrypted).map_err(HostStop::Broke)?)
    }

    fn is_signed(&mut self, _: Resource<Mail>) -> wasmtime::Result<bool> {
        Ok(self.run()?.perhaps_body(Message::is_signed).map_err(HostStop::Broke)?)
    }

    fn has_calendar(&mut self, _: Resource<Mail>) -> wasmtime::Result<bool> {
        Ok(self.run()?.perhaps_body(Message::has_calendar).map_err(HostStop::Broke)?)
    }

    fn receipt_requested(&mut self, _: Resource<Mail>) -> wasmtime::Result<bool> {
        Ok(self.message()?.receipt_requested())
    }

    fn text(&mut self, _: Resource<Mail>) -> wasmtime::Result<String> {
        let most = self.limits.body_text;
        let text = self.run()?.body(|message| message.text(most)).map_err(HostStop::Broke)?;
        self.give(text)
    }

    fn html(&mut self, _: Resource<Mail>) -> wasmtime::Result<String> {
        let most = self.limits.body_text;
        let html = self.run()?.body(|message| message.html(most)).map_err(HostStop::Broke)?;
        self.give(html)
    }

    fn attachments(&mut self, _: Resource<Mail>) -> wasmtime::Result<Vec<Attachment>> {
        let found = self.run()?.body(Message::attachments).map_err(HostStop::Broke)?;
        self.give(found.into_iter().map(attachment).collect())
    }

    fn raw(&mut self, _: Resource<Mail>, offset: u64, len: u32) -> wasmtime::Result<Vec<u8>> {
        let most = self.limits.raw;
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(self.limits.plugin_read);
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let slice = |message: &Message| {
            let bytes = message.raw(most)?;
            let from = offset.min(bytes.len());
            Ok(bytes[from..bytes.len().min(from.saturating_add(len))].to_vec())
        };
        let bytes = self.run()?.body(slice).map_err(HostStop::Broke)?;
        self.give(bytes)
    }

    fn project(&mut self, _: Resource<Mail>) -> wasmtime::Result<Option<String>> {
        let project = self.run()?.project();
        self.give(project)
    }

    fn links(&mut self, _: Resource<Mail>) -> wasmtime::Result<Vec<(String, String)>> {
        let links = self.run()?.links();
        self.give(links)
    }

    fn tags(&mut self, _: Resource<Mail>) -> wasmtime::Result<Vec<(String, String)>> {
        let tags: Vec<_> = self.run()?.tags().into_iter().collect();
        self.give(tags)
    }

    fn config(&mut self, _: Resource<Mail>) -> wasmtime::Result<String> {
        let config = self.run()?.config().to_string();
        self.give(config)
    }

    fn has_table(&mut self, _: Resource<Mail>, name: String) -> wasmtime::Result<bool> {
        self.spend(name.len())?;
        Ok(self.run()?.has_table(&name))
    }

    fn table_get(
        &mut self,
        _: Resource<Mail>,
        name: String,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<(String, String)>>, String>> {
        self.spend(name.len() + key.len())?;
        let answer = match self.run()?.table_row(&name, &key) {
            Ok(row) => Ok(row.map(|row| row.iter().map(|(k, v)| (k.clone(), v.clone())).collect())),
            Err(Break::Refused(why)) => Err(why),
            Err(broke) => return Err(HostStop::Broke(broke).into()),
        };
        self.give(answer)
    }

    fn state_get(&mut self, _: Resource<Mail>, key: String) -> wasmtime::Result<Option<String>> {
        self.spend(key.len())?;
        let value = self.run()?.state_get(&key);
        self.give(value)
    }

    fn move_to(&mut self, _: Resource<Mail>, mailbox: String) -> wasmtime::Result<()> {
        self.say(mailbox.len(), |run, at| run.move_to(&mailbox, at))
    }

    fn copy_to(&mut self, _: Resource<Mail>, mailbox: String) -> wasmtime::Result<()> {
        self.say(mailbox.len(), |run, at| run.copy_to(&mailbox, at))
    }

    fn deliver_to(&mut self, _: Resource<Mail>, target: String) -> wasmtime::Result<()> {
        self.say(target.len(), |run, at| run.deliver_to(&target, at))
    }

    fn add_flag(&mut self, _: Resource<Mail>, flag: String) -> wasmtime::Result<()> {
        self.say(flag.len(), |run, at| run.add_flag(&flag, at))
    }

    fn remove_flag(&mut self, _: Resource<Mail>, flag: String) -> wasmtime::Result<()> {
        self.say(flag.len(), |run, at| run.remove_flag(&flag, at))
    }

    fn link(
        &mut self,
        _: Resource<Mail>,
        project: String,
        evidence: String,
    ) -> wasmtime::Result<()> {
        let bytes = project.len() + evidence.len();
        self.say(bytes, |run, at| run.link(&project, &evidence, at))
    }

    fn tag(&mut self, _: Resource<Mail>, key: String, value: String) -> wasmtime::Result<()> {
        self.say(key.len() + value.len(), |run, at| run.tag(&key, &value, at))
    }

    fn delete_after(&mut self, _: Resource<Mail>, duration: String) -> wasmtime::Result<()> {
        self.say(duration.len(), |run, at| run.delete_after(&duration, at))
    }

    fn forward_to(&mut self, _: Resource<Mail>, address: String) -> wasmtime::Result<()> {
        self.say(address.len(), |run, at| run.forward_to(&address, at))
    }

    fn reply_with(&mut self, _: Resource<Mail>, template: String) -> wasmtime::Result<()> {
        self.say(template.len(), |run, at| run.reply_with(&template, at))
    }

    fn notify(
        &mut self,
        _: Resource<Mail>,
        webhook: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        let bytes = webhook.len() + fields.weight();
        self.say(bytes, |run, at| run.notify(&webhook, fields.into_iter().collect(), at))
    }

    fn suppress_receipt(&mut self, _: Resource<Mail>) -> wasmtime::Result<()> {
        self.say(0, Run::suppress_receipt)
    }

    fn strip_receipt_requests(&mut self, _: Resource<Mail>) -> wasmtime::Result<()> {
        self.say(0, Run::strip_receipt_requests)
    }

    fn set_header(
        &mut self,
        _: Resource<Mail>,
        name: String,
        value: String,
    ) -> wasmtime::Result<()> {
        self.say(name.len() + value.len(), |run, at| run.set_header(&name, &value, at))
    }

    fn add_header(
        &mut self,
        _: Resource<Mail>,
        name: String,
        value: String,
    ) -> wasmtime::Result<()> {
        self.say(name.len() + value.len(), |run, at| run.add_header(&name, &value, at))
    }

    fn remove_header(&mut self, _: Resource<Mail>, name: String) -> wasmtime::Result<()> {
        self.say(name.len(), |run, at| run.remove_header(&name, at))
    }

    fn sign(&mut self, _: Resource<Mail>, template: String) -> wasmtime::Result<()> {
        self.say(template.len(), |run, at| run.sign(&template, at))
    }

    fn state_set(&mut self, _: Resource<Mail>, key: String, value: String) -> wasmtime::Result<()> {
        self.say(key.len() + value.len(), |run, at| run.state_set(&key, &value, at))
    }

    fn log(&mut self, _: Resource<Mail>, text: String) -> wasmtime::Result<()> {
        self.say(text.len(), |run, at| run.log(&text, at))
    }

    fn hold(&mut self, _: Resource<Mail>, reason: String) -> wasmtime::Result<()> {
        self.say(reason.len(), |run, at| run.hold(&reason, at))
    }

    fn reject(&mut self, _: Resource<Mail>, reason: String) -> wasmtime::Result<()> {
        self.say(reason.len(), |run, at| run.reject(&reason, at))
    }

    fn stop(&mut self, _: Resource<Mail>) -> wasmtime::Result<()> {
        self.say(0, Run::stop)
    }

    /// Only owners are dropped through here, and a guest never owns the message.
    fn drop(&mut self, _: Resource<Mail>) -> wasmtime::Result<()> {
        Ok(())
    }
}

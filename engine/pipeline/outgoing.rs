//! A message that leaves, as its decision says: its header changed, its signature put in.

use super::action::{Action, Decision, Recorded};
use super::generation::Generation;
use super::template::Fields;
use crate::config::Account;
use crate::error::{Error, Result};
use crate::mail::Message;
use crate::mail::signature::{self, Signature, Signing};

/// A message as it is sent.
#[derive(Debug)]
pub struct Edited {
    /// The message.
    pub message: Message,
    /// What became of its signature; `None` where no rule asks for one.
    pub signing: Option<Signing>,
}

impl Generation {
    /// The message as its decision lets it leave, for `account`, sent by `user`: the header changes in
    /// their order, and the signature that was asked for last.
    ///
    /// # Errors
    /// Permanent: the template is not in this generation, it fails with the fields of this message, or
    /// the body is not here. Nothing was changed, and nothing should be sent.
    pub fn outgoing(
        &self,
        message: Message,
        decision: &Decision,
        account: &Account,
        user: &str,
        now_ms: i64,
    ) -> Result<Edited> {
        let project = decision.project.as_deref().or(account.project.as_deref());
        let message = edit(message, &decision.actions);
        let template = decision.actions.iter().rev().find_map(|said| match &said.action {
            Action::Sign { template } => Some(template),
            _ => None,
        });
        let Some(template) = template else { return Ok(Edited { message, signing: None }) };
        let (message, signing) = self.sign(&message, template, account, (project, user), now_ms)?;
        Ok(Edited { message, signing: Some(signing) })
    }

    /// The message signed with a template, with the fields of this project and user.
    ///
    /// # Errors
    /// As of [`Generation::outgoing`].
    pub fn sign(
        &self,
        message: &Message,
        template: &str,
        account: &Account,
        by: (Option<&str>, &str),
        now_ms: i64,
    ) -> Result<(Message, Signing)> {
        let signature = self.render(template, account, by, now_ms)?;
        signature::sign(message, &signature)
            .map_err(|_| Error::permanent("sign the message", "its body is not here"))
    }

    /// A template with the fields of this account, and of this project and user.
    ///
    /// # Errors
    /// Permanent: it is not in this generation, or fails with these fields.
    pub fn render(
        &self,
        template: &str,
        account: &Account,
        by: (Option<&str>, &str),
        now_ms: i64,
    ) -> Result<Signature> {
        let (project, user) = by;
        let known = self.config().users.get(user);
        let name = known.and_then(|user| user.full_name.as_deref()).unwrap_or(user);
        let fields = Fields::new(self.tables(), account, (project, user, name), now_ms);
        self.templates().render(template, &fields)
    }
}

/// Applies the header changes among these actions, in their order.
pub fn edit(message: Message, said: &[Recorded]) -> Message {
    said.iter().fold(message, |message, recorded| match &recorded.action {
        Action::SetHeader { name, value } => message.with_header_set(name, value),
        Action::AddHeader { name, value } => message.with_header_added(name, value),
        Action::RemoveHeader { name } => message.with_headers_removed(&[name]),
        Action::StripReceiptRequests => message.without_receipt_requests(),
        _ => message,
    })
}

//! What this step remembers for an account: which messages belong to which project, and which
//! senders have shown that they belong to one.
//!
//! `mid:<Message-ID>` holds the project's code, the base subject and, where the link is not vouched
//! for, `open` or `unverified`, with a tab between them. `known:<address>` is there for a known sender.

use mailmill_plugin::Mail;

use crate::evidence::{Found, Kind, Trust};
use crate::settings::Settings;

/// Ids that are remembered, or looked up in one field, for one message.
const IDS: usize = 20;
/// Bytes of an id or an address; longer ones are left out.
const ID: usize = 200;
/// Bytes of a base subject that are compared.
const SUBJECT: usize = 200;
/// Bytes of a project's code.
const CODE: usize = 256;
/// Authors of one message.
const AUTHORS: usize = 5;

/// A message seen before.
pub(crate) struct Known {
    /// Its project.
    pub(crate) project: String,
    /// Its base subject, as [`base_subject`] gives it.
    pub(crate) subject: String,
    /// How far its link is to be trusted.
    pub(crate) trust: Trust,
}

/// The message of this id, where it was seen before.
pub(crate) fn message(mail: &Mail, id: &str) -> Option<Known> {
    let entry = mail.state_get(&message_key(id))?;
    let mut parts = entry.split('\t');
    let project = parts.next()?.to_owned();
    let subject = parts.next().unwrap_or_default().to_owned();
    let trust = match parts.next() {
        None => Trust::Vouched,
        Some("open") => Trust::Open,
        Some(_) => Trust::Unverified,
    };
    Some(Known { project, subject, trust })
}

/// The ids of a field that are looked at: the newest, which stand last, first.
pub(crate) fn ids(field: Vec<String>) -> impl Iterator<Item = String> {
    field.into_iter().rev().filter(|id| is_kept(id)).take(IDS)
}

/// The subject as threads are compared by: no prefixes, one blank between words, small letters.
pub(crate) fn base_subject(mail: &Mail) -> String {
    let mut subject = String::new();
    for word in mail.thread_subject().split_whitespace() {
        if !subject.is_empty() {
            subject.push(' ');
        }
        subject.push_str(&word.to_lowercase());
    }
    subject.truncate(subject.floor_char_boundary(SUBJECT));
    subject
}

/// Whether the message comes from someone whose token counts.
pub(crate) fn knows_sender(mail: &Mail, settings: &Settings) -> bool {
    let authors = authors(mail);
    !authors.is_empty() && authors.iter().all(|author| knows(mail, settings, author))
}

/// Remembers the message and those it refers to. What is known already stays as it is, so that no
/// message can take another one's thread away; only an unverified link gives way to a better one.
pub(crate) fn remember_message(mail: &Mail, found: &Found) {
    let Some(project) = found.projects.first().filter(|_| found.projects.len() == 1) else {
        return;
    };
    if project.len() > CODE || project.contains('\t') {
        return;
    }
    let mark = match found.trust {
        Trust::Vouched => "",
        Trust::Open => "\topen",
        Trust::Unverified => "\tunverified",
    };
    let entry = format!("{project}\t{}{mark}", base_subject(mail));
    for id in own_and_referred(mail, found) {
        if message(mail, &id).is_none_or(|known| known.gives_way(project, found.trust)) {
            mail.state_set(&message_key(&id), &entry);
        }
    }
}

impl Known {
    fn gives_way(&self, project: &str, trust: Trust) -> bool {
        trust > self.trust && (self.trust == Trust::Unverified || self.project == project)
    }
}

/// Remembers who answers in a thread that a known sender or we began. Who only wrote to the right
/// address, or answers such a message, may be anyone; programs are nobody.
pub(crate) fn remember_sender(mail: &Mail, found: &Found) {
    let answers = matches!(found.kind, Kind::InReplyTo | Kind::References);
    let vouched = found.trust == Trust::Vouched;
    if !answers || !vouched || mail.is_auto() || mail.is_bounce() || mail.is_mdn() {
        return;
    }
    for author in authors(mail) {
        let key = sender_key(&author);
        if mail.state_get(&key).is_none() {
            mail.state_set(&key, "yes");
        }
    }
}

fn knows(mail: &Mail, settings: &Settings, author: &str) -> bool {
    let domain = author.rsplit_once('@').map_or("", |(_, domain)| domain);
    mail.row(&settings.senders, author).is_some()
        || (!domain.is_empty() && mail.row(&settings.senders, domain).is_some())
        || mail.state_get(&sender_key(author)).is_some()
}

/// The authors in small letters; none where one of them cannot be kept.
fn authors(mail: &Mail) -> Vec<String> {
    let authors: Vec<_> =
        mail.from().into_iter().map(|author| author.address.to_lowercase()).collect();
    if authors.len() <= AUTHORS && authors.iter().all(|author| is_kept(author)) {
        return authors;
    }
    Vec::new()
}

/// Its own id first, then those it answers, then the newest of its thread. A doubtful link counts for
/// the message itself only.
fn own_and_referred(mail: &Mail, found: &Found) -> Vec<String> {
    let mut all: Vec<String> = mail.message_id().into_iter().filter(|id| is_kept(id)).collect();
    if !found.verified() {
        return all;
    }
    for id in ids(mail.in_reply_to()).chain(ids(mail.references())) {
        if all.len() < IDS && !all.contains(&id) {
            all.push(id);
        }
    }
    all
}

fn is_kept(id: &str) -> bool {
    !id.is_empty() && id.len() <= ID
}

fn message_key(id: &str) -> String {
    format!("mid:{id}")
}

fn sender_key(address: &str) -> String {
    format!("known:{address}")
}

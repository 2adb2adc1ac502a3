//! Which project a message belongs to, and what says so. Strongest evidence first.

use mailmill_plugin::{Address, Mail};

use crate::memory;
use crate::settings::Settings;
use crate::token;

/// Addresses of To and Cc that are looked at.
const ADDRESSES: usize = 100;

/// The evidence that decided.
pub(crate) struct Found {
    /// The projects; more than one only for several tokens in a subject.
    pub(crate) projects: Vec<String>,
    /// What decided.
    pub(crate) kind: Kind,
    /// How far it is to be trusted.
    pub(crate) trust: Trust,
}

/// How far a link is to be trusted. A greater one replaces a smaller one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trust {
    /// Anyone could have made it: the token of a sender that is not known.
    Unverified,
    /// The project is right, but anyone may have sent the message there.
    Open,
    /// Its sender is known, or it is ours.
    Vouched,
}

/// What can decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An earlier step said it.
    EarlierStep,
    /// The account belongs to the project.
    Account,
    /// `account+CODE@…` in To or Cc.
    PlusAddress,
    /// It answers a message of the project.
    InReplyTo,
    /// It stands in a thread of the project.
    References,
    /// `[CODE]` in the subject.
    SubjectToken,
    /// An address of the account that belongs to the project.
    Alias,
}

impl Found {
    /// One project.
    fn one(kind: Kind, project: String, trust: Trust) -> Self {
        Self { projects: vec![project], kind, trust }
    }

    /// Whether the link counts without a person's look.
    pub(crate) fn verified(&self) -> bool {
        self.trust > Trust::Unverified
    }

    /// Whether an earlier step has linked it already.
    pub(crate) fn is_said(&self) -> bool {
        self.kind == Kind::EarlierStep
    }

    /// The word that is recorded with the link.
    pub(crate) fn evidence(&self) -> String {
        let word = match self.kind {
            Kind::EarlierStep => "step",
            Kind::Account => "account",
            Kind::PlusAddress => "plus-address",
            Kind::InReplyTo => "in-reply-to",
            Kind::References => "references",
            Kind::SubjectToken => "subject-token",
            Kind::Alias => "alias",
        };
        if self.verified() { word.to_owned() } else { format!("{word} (unverified)") }
    }
}

/// The evidence of a message that has arrived.
pub(crate) fn of_arrived(mail: &Mail, settings: &Settings) -> Option<Found> {
    let own = OwnAddresses::of(mail);
    let to = addressed(mail);
    // Most messages belong to no project, and then nobody asks who sent them.
    let trust = || match memory::knows_sender(mail, settings) {
        true => Trust::Vouched,
        false => Trust::Open,
    };
    let found = |kind| move |project| Found::one(kind, project, trust());
    (mail.project().map(found(Kind::EarlierStep)))
        .or_else(|| own.project.clone().map(found(Kind::Account)))
        .or_else(|| plus_address(mail, settings, &own, &to).map(found(Kind::PlusAddress)))
        .or_else(|| in_reply_to(mail))
        .or_else(|| references(mail))
        .or_else(|| {
            subject_token(mail, settings, || match trust() {
                Trust::Open if !settings.trust_token => Trust::Unverified,
                trust => trust,
            })
        })
        .or_else(|| alias(mail, settings, &own, &to).map(found(Kind::Alias)))
}

/// The evidence of a message that we send: our own user's token needs no proof, and says more than
/// the message it answers.
pub(crate) fn of_sent(mail: &Mail, settings: &Settings) -> Option<Found> {
    let found = |kind| move |project| Found::one(kind, project, Trust::Vouched);
    let answer = (mail.project().map(found(Kind::EarlierStep)))
        .or_else(|| OwnAddresses::of(mail).project.map(found(Kind::Account)))
        .or_else(|| subject_token(mail, settings, || Trust::Vouched))
        .or_else(|| in_reply_to(mail))
        .or_else(|| references(mail))?;
    // Whoever answers what we wrote is known, unless nobody has looked at the link.
    let trust = if answer.verified() { Trust::Vouched } else { Trust::Unverified };
    Some(Found { trust, ..answer })
}

fn plus_address(
    mail: &Mail,
    settings: &Settings,
    own: &OwnAddresses,
    to: &[Address],
) -> Option<String> {
    to.iter().find_map(|to| {
        let (local, domain) = to.address.rsplit_once('@')?;
        let (name, code) = local.split_once('+')?;
        if !own.has(&format!("{name}@{domain}")) {
            return None;
        }
        token::known_in_any_case(mail, settings, code)
    })
}

fn in_reply_to(mail: &Mail) -> Option<Found> {
    let known = memory::ids(mail.in_reply_to()).find_map(|id| memory::message(mail, &id))?;
    Some(Found::one(Kind::InReplyTo, known.project, known.trust))
}

/// Programs for mail start new subjects with the references of an old thread, so a person's message
/// needs the same subject as well. Receipts and bounces are made by programs that do not.
fn references(mail: &Mail) -> Option<Found> {
    let subject = memory::base_subject(mail);
    let report = mail.is_mdn() || mail.is_bounce();
    let known = memory::ids(mail.references())
        .filter_map(|id| memory::message(mail, &id))
        .find(|known| report || (!subject.is_empty() && known.subject == subject))?;
    Some(Found::one(Kind::References, known.project, known.trust))
}

fn subject_token(mail: &Mail, settings: &Settings, trust: impl FnOnce() -> Trust) -> Option<Found> {
    let projects = token::in_subject(mail, settings);
    let kind = Kind::SubjectToken;
    (!projects.is_empty()).then(|| Found { projects, kind, trust: trust() })
}

fn alias(mail: &Mail, settings: &Settings, own: &OwnAddresses, to: &[Address]) -> Option<String> {
    to.iter().find_map(|to| {
        let configured = settings.aliases.get(&to.address.to_lowercase()).cloned();
        configured.or_else(|| {
            let (local, _) = to.address.rsplit_once('@')?;
            let own_alias = own.has(&to.address).then_some(local)?;
            token::known_in_any_case(mail, settings, own_alias)
        })
    })
}

/// The addresses of To and Cc.
fn addressed(mail: &Mail) -> Vec<Address> {
    let mut to = mail.to();
    to.extend(mail.cc());
    to.truncate(ADDRESSES);
    to
}

/// What the configuration says of the message's account.
struct OwnAddresses {
    project: Option<String>,
    /// In small letters.
    addresses: Vec<String>,
}

impl OwnAddresses {
    fn of(mail: &Mail) -> Self {
        let row = mail.row("accounts", &mail.account()).unwrap_or_default();
        let column = |name: &str| row.get(name).map_or("", String::as_str);
        let addresses = [column("address"), column("aliases")];
        Self {
            project: Some(column("project").to_owned()).filter(|project| !project.is_empty()),
            addresses: addresses
                .iter()
                .flat_map(|list| list.split_whitespace())
                .map(str::to_lowercase)
                .collect(),
        }
    }

    fn has(&self, address: &str) -> bool {
        let address = address.to_lowercase();
        self.addresses.contains(&address)
    }
}

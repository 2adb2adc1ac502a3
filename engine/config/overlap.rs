//! What only the whole configuration can tell: no mailbox is watched twice. Two pipelines over the
//! same message would each believe it is theirs to move.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use super::page::{At, Page};
use super::{Account, Imap, Source, Watch, server};

/// One mailbox (with what is below it, where asked) that an active account watches.
pub(super) struct Watched {
    account: String,
    /// Equal for accounts that are the same mailboxes.
    store: String,
    entry: At<Watch>,
}

impl Watched {
    pub(super) fn new(account: &Account, entry: At<Watch>) -> Self {
        let store = match &account.source {
            Source::Imap(imap) => same_server(imap),
            Source::None => "none".into(),
            Source::Maildir { path } => {
                format!("maildir {:?}", std::fs::canonicalize(path).unwrap_or_else(|_| plain(path)))
            }
        };
        Self { account: account.name.clone(), store, entry }
    }
}

/// A path that need not be there yet, without `.` and `..`.
pub(super) fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in std::path::absolute(path).unwrap_or_else(|_| path.into()).components() {
        if part == Component::ParentDir {
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    plain
}

/// The standard ports lead to the same server.
fn same_server(imap: &Imap) -> String {
    let host = if server::is_loopback(&imap.host) { "localhost" } else { &imap.host };
    let port = if imap.port == 143 { 993 } else { imap.port };
    format!("imap {host} {port} {}", imap.user.to_lowercase())
}

/// Notes every entry that an earlier one already covers, or that covers an earlier one.
pub(super) fn check(page: &Page<'_>, watched: &[Watched]) {
    let mut watched: Vec<&Watched> = watched.iter().collect();
    watched.sort_by_key(|one| one.entry.at);
    let mut mailboxes: BTreeMap<(&str, &str), &Watched> = BTreeMap::new();
    let mut trees: BTreeMap<(&str, &str), &Watched> = BTreeMap::new();
    for one in &watched {
        let key = (one.store.as_str(), one.entry.value.mailbox.as_str());
        mailboxes.entry(key).or_insert(one);
        if one.entry.value.subfolders {
            trees.entry(key).or_insert(one);
        }
    }
    let mut told = BTreeSet::new();
    for one in watched {
        let (store, name) = (one.store.as_str(), one.entry.value.mailbox.as_str());
        let same = mailboxes.get(&(store, name)).filter(|other| !std::ptr::eq(**other, one));
        let above = || parents(name).find_map(|parent| trees.get(&(store, parent)));
        if let Some(other) = same.or_else(above)
            && told.insert(one.entry.at)
        {
            tell(page, one, other);
        }
    }
}

/// `A/B`, `A` of `A/B/C`.
fn parents(name: &str) -> impl Iterator<Item = &str> {
    name.rmatch_indices('/').map(|(at, _)| &name[..at])
}

fn tell(page: &Page<'_>, one: &Watched, other: &Watched) {
    let name = &one.entry.value.mailbox;
    if one.account == other.account {
        let what = format!("mailbox {name} is watched twice");
        page.fault(one.entry.at, what, "remove one of the two entries");
    } else {
        let what = format!("mailbox {name} is already watched by account {}", other.account);
        let help = "both accounts are the same mailboxes: remove one, or pause it with \
                    `active = false`";
        page.fault(one.entry.at, what, help);
    }
}

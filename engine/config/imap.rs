//! How an account's mailboxes are reached: `imap`, `tls`, `ca`, `login`.

use super::Imap;
use super::login;
use super::reader::Reader;
use super::server::{self, Server};

/// Reads what belongs to `imap`; all keys are read before one that is missing ends it.
pub(super) fn read(account: &Reader<'_>) -> Option<Imap> {
    let server = server::server(account, &server::IMAP);
    let security = server.as_ref().map(|server| server::security(account, server, &server::IMAP));
    let ca = server::ca(account, security);
    let login = login::imap(account);
    let (Server { host, port, .. }, (user, password)) = (server?, login?);
    Some(Imap { host, port, security: security?, ca, user, password })
}

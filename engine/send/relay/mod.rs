//! Hands messages to an account's server (RFC 5321, 4954, 3207): one dialogue after another over one
//! connection.
//!
//! Of lettre it has the values: the commands that carry no address and no secret, what a server offers
//! (`abilities`), the mechanisms' names. The connection is mailmill's own: lettre's holds whole messages
//! in memory, says nothing of what came between STARTTLS and the handshake, has no limits for the steps
//! after connecting, and loses which recipient was refused. Own as well, as lettre 0.11.23 does worse:
//!
//! | what | lettre |
//! | --- | --- |
//! | reading answers (`reply`) | refuses a code without text and `571 ...`, which servers send |
//! | words of a login (`login`) | copies secrets and does not wipe them; loses why XOAUTH2 failed |
//! | SIZE and DSN (`abilities`) | does not know them |
//! | MAIL and RCPT (`transaction`) | its xtext leaves text beyond ASCII as it is, and writes CR as `+D` |
//!
//! `wire` is lines and bytes with limits; `reply` what the server says; `connect` leads to a session
//! that is logged in (`login`); `transaction` sends one message; `refusal` says what an answer means.

mod abilities;
mod connect;
mod data;
mod login;
mod refusal;
mod reply;
mod transaction;
mod wire;

pub use connect::{Relay, connect};
pub use refusal::{Failure, Fate, Kind};
pub use reply::Reply;
pub use transaction::{Outcome, Parcel};

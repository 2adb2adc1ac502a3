//! Hands messages to an account's server (RFC 5321, 4954, 3207): one dialogue after another over one
//! connection.
//!
//! The dialogue is mailmill's own and not lettre's: that holds whole messages in memory, says nothing
//! of what came between STARTTLS and the handshake, has no limits for the steps after connecting, and
//! loses which recipient was refused.
//!
//! `wire` is lines and bytes with limits; `reply` what the server says; `connect` leads to a session
//! that is logged in (`login`); `transaction` sends one message; `refusal` says what an answer means.

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

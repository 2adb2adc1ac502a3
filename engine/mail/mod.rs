//! VALUES of mail: addresses, flags, keys, messages, edits, reports.
//!
//! Nothing here does I/O or knows of servers, rules or the store. The only folder that uses
//! mail-parser.

pub mod address;
pub mod envelope;
pub mod flag;
pub mod guard;
pub mod key;
pub mod message;
pub mod receipt;
pub mod report;
pub mod signature;
pub mod thread;

mod address_list;
mod body;
mod charset;
mod content;
mod edit;
mod encode;
mod field;
mod html;
mod id;
mod inert;
mod kind;
mod parameter;
mod protection;
mod source;
mod strict;
mod structure;
mod transfer;
mod word;

pub use address::Address;
pub use envelope::{Envelope, EnvelopeAddress, Recipient};
pub use flag::Flag;
pub use html::to_text as text_of_html;
pub use inert::inert;
pub use key::{MailboxName, MessageKey, Uid, UidValidity};
pub use message::{Attachment, Message, NeedBody};

//! What tests share: private servers, folders, a builder for whole runs.

pub mod corpus;
pub mod dovecot;
pub mod fake_imap;
pub mod mill;
pub mod power;

//! What tests share: private servers, folders, a builder for whole runs.

pub mod dovecot;
pub mod fake_imap;

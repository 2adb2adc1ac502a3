//! What tests share: private servers, folders, a builder for whole runs.

pub mod corpus;
pub mod dovecot;
pub mod fairness;
pub mod fake_imap;
pub mod fake_server;
pub mod fake_smtp;
pub mod fake_world;
pub mod mill;
pub mod office;
pub mod power;
pub mod proxy;
pub mod queued;
pub mod sink;
pub mod spooled;
pub mod talk;

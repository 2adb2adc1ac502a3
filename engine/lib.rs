//! mailmill (header to come)
pub mod cli;
pub mod clock;
pub mod config;
pub mod error;
pub mod fault;
pub mod mail;
pub mod mailbox;
pub mod pipeline;
pub mod store;

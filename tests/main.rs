//! The one integration binary: what users were promised, with real servers and real files.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub
)]

mod support;

mod benchmark;
mod cli;
mod config_faults;
mod crash;
mod examples;
mod fairness;
mod flow;
mod hostile;
mod imap;
mod large;
mod maildir;
mod message;
mod plugin_faults;
mod plugins;
mod project_link;
mod project_mailbox;
mod reload;
mod rule_tests;
mod script_faults;
mod scripts;
mod send;
mod store;
mod submission;
mod tidy;
mod trouble;

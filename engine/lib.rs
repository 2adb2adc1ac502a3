//! # mailmill: the architecture
//!
//! mailmill watches mailboxes, runs each new message through a pipeline of steps (Rhai scripts and
//! WASM plugins), and then does what they decided. Everything follows from five ideas: decide, then
//! do; fetch what the rules read; one atomic write per promise, and the answer after it; everything
//! that decides is one generation; one vocabulary in scripts, plugins, JSON, logs and here.
//!
//! ## The path of a message
//!
//! ```text
//! daemon/account   waits for news in a mailbox                       mailbox::{imap, maildir}
//!   inbound        looks above the cursor, fetches headers           store: cursor
//!     inbound/recognise  leaves out what was decided before          store: records, arrivals
//!     inbound/decide     runs the pipeline, off the network threads  pipeline
//!       pipeline/run       `mail`: what a step reads and says
//!       pipeline/script    a Rhai file      pipeline/plugin   a WASM component
//!     store::commit      the plans, links and step memory, durable   <- the promise
//!     perform            deliver, flags, copies, moves: grouped by target, each marked
//!     store::commit      settled, and the cursor moves
//!   maillog        one line says what happened
//! ```
//!
//! ## The path of an outgoing message
//!
//! ```text
//! send/submission  a client's connection: TLS, passwords, limits    send/dialogue: no I/O
//! send/sendmail    a program's call -> a file in the drop folder    send/pickup takes it from there
//!   send/intake      header completed, Bcc gone, into a spool file as it comes
//!   outbound         send::Accept: what the two of them hand over
//!     outbound/rights    may this user send as these?
//!     outbound/decide    runs the outbound pipeline, off the network threads     pipeline
//!     outbound/edit      header changes in their order, then the signature    pipeline/outgoing
//!                        (pipeline/template renders it, mail/signature puts it in)
//!     send/queue         file, entry, record, links, step memory: durable     <- the promise, 250
//!   send/spool       the message and its envelope, a file            data/queue
//!   store/queue      the entry: who gets it, how far it is           store
//! send/runner      some workers for each account                   send/worker
//!   send/relay       the dialogue: MAIL, each RCPT, DATA, its end
//!   send/retry       who got it, who never will, when again
//!   send/conclude    written with the reports that are owed          send/report
//!   send/sent        the copy in the mailbox for sent mail           mailbox
//! send/timekeeper  delay notices, and what is given up
//! send/recovery    at the start: puts right what a crash left
//! ```
//!
//! ## The path of a rule
//!
//! ```text
//! pipeline/watch   something happened to the files
//! daemon/reload    looks, on a thread of its own; refuses, tries, puts in force, puts back
//!   pipeline/candidate   everything read at one moment, checked as a whole
//!   store/generations    numbered and kept
//!   pipeline/live        one pointer is written            <- in force
//! inbound/judge    each window takes what is in force; a swap ends the window early
//! daemon/crew      accounts whose own configuration changed are served anew
//! ```
//!
//! ## Invariants
//!
//! * A step performs nothing. It reads `mail` and records actions ([`pipeline::Run`]); the same code
//!   runs live, in `try` and in the user's own tests ([`pipeline::trial`], [`pipeline::case`]).
//! * A server is touched only after the plan that says so is on disk. The cursor passes a message
//!   only after its last action. The states and their crash rules stand at the head of [`store`].
//! * After a crash an action without a mark is looked up at its target, never blindly repeated
//!   ([`perform::Doubt`]).
//! * Each message is decided by exactly one [`pipeline::Generation`], and its record says which.
//! * A refusal, a dropped connection or silence is never "empty" or "done" ([`mailbox::Mailboxes`]).
//! * Whatever comes from mail, servers, rules and plugins is checked and limited where it enters:
//!   [`mail::guard`], [`mailbox::imap`], [`pipeline::Limits`], [`config`].
//! * No secret is in any error, log or debug print ([`config::secret`]).
//!
//! ## Who may import whom
//!
//! `mail` <- `store`, `mailbox`, `pipeline` <- `perform`, `send` <- `inbound`, `outbound` <-
//! `daemon`, `control` <- `cli`. `checksum`, `error`, `fault`, `fault_point`, `clock`, `tls` and `workers` serve all; `config` knows `mail` and
//! `pipeline`'s words.
//! Each outside library has one home: sled in `store`, async-imap in `mailbox/imap`, rhai,
//! wasmtime and minijinja in `pipeline`, mail-parser in `mail`, toml in `config`, clap in `cli`. `tests/tidy/`
//! checks both.

pub mod checksum;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod daemon;
pub mod error;
pub mod fault;
pub mod fault_point;
pub mod inbound;
pub mod mail;
pub mod mailbox;
pub mod maillog;
pub mod outbound;
pub mod perform;
pub mod pipeline;
pub mod send;
pub mod store;
pub mod tls;
pub mod workers;

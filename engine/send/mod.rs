//! OUT: taking mail in from our own users, and sending it.

pub mod dialogue;

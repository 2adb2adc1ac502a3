//! Write mailmill steps in Rust.
//!
//! A step reads one message and says what is to be done with it; mailmill does it. A whole plugin:
//!
//! ```
//! use mailmill_plugin::{Description, Direction, Mail, Step, export_step};
//!
//! /// Files invoices.
//! struct Invoices;
//!
//! impl Step for Invoices {
//!     const DESCRIPTION: Description = Description {
//!         name: "invoices",
//!         version: env!("CARGO_PKG_VERSION"),
//!         about: "files invoices and flags those that mention a due date",
//!         directions: &[Direction::Inbound],
//!     };
//!
//!     fn inbound(mail: &Mail) -> Result<(), String> {
//!         if !mail.subject().contains("Invoice") {
//!             return Ok(());
//!         }
//!         mail.move_to("Invoices");
//!         // Reading the text makes mailmill fetch the body: only where the subject asks for it.
//!         if mail.text().contains("due") {
//!             mail.add_flag("\\Flagged");
//!         }
//!         Ok(())
//!     }
//! }
//!
//! export_step!(Invoices);
//! # fn main() {}
//! ```
//!
//! `Cargo.toml` needs `crate-type = ["cdylib"]`. Build it for `wasm32-unknown-unknown`, make a
//! component of it with `componentize IN.wasm OUT.wasm`, and put that into the folder `plugins`:
//! `plugins/build` in mailmill's repository does all of it.
//!
//! What each read gives and each verb does stands with [`Mail`], in the words of `step.wit`. A verb that
//! is given a value it cannot take (a mailbox name with a line end, say) does not return: the step has
//! failed, and what it said is taken back. So do a panic, an error, more than a second, more than
//! 64 MiB of memory. After [`Mail::stop`], [`Mail::hold`] or [`Mail::reject`], return.

#[allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    clippy::all,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::panic,
    clippy::unimplemented
)]
#[doc(hidden)]
pub mod bindings {
    //! What wit-bindgen generates from `step.wit`.
    wit_bindgen::generate!({
        path: "../step.wit",
        world: "step",
        pub_export_macro: true,
        export_macro_name: "export_bindings",
        default_bindings_module: "mailmill_plugin::bindings",
    });
}

mod options;
mod step;
mod with;

pub use bindings::mailmill::step::message::{Address, Attachment, Direction, Mail};
pub use options::Options;
pub use step::{Description, Step};
pub use with::Row;

//! The trait that a plugin implements, and how it becomes the exports of a component.

use std::sync::Once;

use crate::bindings::Guest;
use crate::bindings::mailmill::step::message;
use crate::{Direction, Mail};

/// What a plugin is; mailmill asks for it when it loads the plugin.
#[derive(Debug, Clone, Copy)]
pub struct Description {
    /// Its name.
    pub name: &'static str,
    /// Its version: `env!("CARGO_PKG_VERSION")`.
    pub version: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// The directions in which it does anything; in others it is passed over.
    pub directions: &'static [Direction],
}

/// A step of a pipeline. Implement the directions that [`Description::directions`] names.
pub trait Step {
    /// What this plugin is.
    const DESCRIPTION: Description;

    /// Decides a message that has arrived.
    ///
    /// # Errors
    /// A text for the person who looks after held mail. The step has failed; what it said is taken
    /// back.
    fn inbound(mail: &Mail) -> Result<(), String> {
        let _ = mail;
        Ok(())
    }

    /// Decides a message that one of our users sends.
    ///
    /// # Errors
    /// As for [`Step::inbound`].
    fn outbound(mail: &Mail) -> Result<(), String> {
        let _ = mail;
        Ok(())
    }
}

/// Exports a [`Step`] from the component. Once per plugin.
#[macro_export]
macro_rules! export_step {
    ($step:ident) => {
        #[allow(unsafe_code, missing_docs, clippy::all)]
        mod mailmill_exports {
            use super::$step;
            $crate::bindings::export_bindings!($step with_types_in $crate::bindings);
        }
    };
}

impl<T: Step> Guest for T {
    fn describe() -> String {
        tell_panics();
        describe(&T::DESCRIPTION)
    }

    fn inbound(mail: &Mail) -> Result<(), String> {
        tell_panics();
        T::inbound(mail)
    }

    fn outbound(mail: &Mail) -> Result<(), String> {
        tell_panics();
        T::outbound(mail)
    }
}

fn describe(description: &Description) -> String {
    let directions: Vec<_> = description
        .directions
        .iter()
        .map(|direction| match direction {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        })
        .collect();
    let Description { name, version, about, .. } = description;
    serde_json::json!({
        "name": name, "version": version, "about": about, "directions": directions,
    })
    .to_string()
}

/// A panic of a plugin becomes the step's error; without this it were a bare "unreachable".
fn tell_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            let what = panic.payload_as_str().unwrap_or("no reason given");
            let place = panic.location().map_or_else(String::new, |at| format!(" at {at}"));
            message::fail(&format!("panicked{place}: {what}"));
        }));
    });
}

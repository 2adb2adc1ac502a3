//! Rhai's own `replace` grows a text without asking for its limit; here it is anew and within it. A
//! native call that allocates too much ends the whole process, which nothing can catch. (Lists are
//! held to the limit of texts by rhai itself: what they hold counts together.)

use rhai::{Engine, ImmutableString};

use super::error::{Answer, refused};
use crate::pipeline::limits::Limits;

/// Registers them over rhai's.
pub(super) fn register(engine: &mut Engine, limits: &Limits) {
    let most = limits.script_string;
    engine.register_fn("replace", move |text: &mut ImmutableString, from: &str, to: &str| {
        replace(text, from, to, most)
    });
    engine.register_fn("replace", move |text: &mut ImmutableString, from: &str, to: char| {
        replace(text, from, to.encode_utf8(&mut [0; 4]), most)
    });
    engine.register_fn("replace", move |text: &mut ImmutableString, from: char, to: &str| {
        replace(text, from.encode_utf8(&mut [0; 4]), to, most)
    });
    engine.register_fn("replace", move |text: &mut ImmutableString, from: char, to: char| {
        let mut buffers = [[0; 4]; 2];
        let [one, other] = &mut buffers;
        replace(text, from.encode_utf8(one), to.encode_utf8(other), most)
    });
}

fn replace(text: &mut ImmutableString, from: &str, to: &str, most: usize) -> Answer<()> {
    let length = match to.len().checked_sub(from.len()) {
        Some(growth) if growth > 0 => {
            let matches = text.matches(from).count();
            matches.checked_mul(growth).and_then(|more| more.checked_add(text.len()))
        }
        _ => Some(text.len()),
    };
    if length.is_none_or(|length| length > most) {
        return Err(refused(format!("replace() makes a text of more than {most} bytes")));
    }
    *text = text.replace(from, to).into();
    Ok(())
}

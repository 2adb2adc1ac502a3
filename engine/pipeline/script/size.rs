//! How much the variables of a function hold together. rhai limits single values, but neither a map
//! that grows by `map[key] = value`, nor how deep lists lie within lists (each level is a call when
//! it is dropped), nor many variables at once.

use std::cell::Cell;

use rhai::{Dynamic, Engine, EvalAltResult, Position};

use super::error::Answer;
use crate::pipeline::limits::Limits;

/// How many accesses to variables go by between two looks, and one more for so many elements that
/// were found: a look costs time by what the variables hold.
const ACCESSES_PER_LOOK: usize = 64;
/// How deep lists and maps may lie within each other.
const DEEPEST: usize = 64;
/// How many of the largest texts and lists the variables of one function may hold together.
const LARGEST_VALUES: usize = 16;

thread_local! {
    static LEFT: Cell<usize> = const { Cell::new(ACCESSES_PER_LOOK) };
}

/// Looks at the variables of the running function every so often.
pub(super) fn register(engine: &mut Engine, limits: &Limits) {
    let most = Held {
        elements: limits.script_elements * LARGEST_VALUES,
        bytes: limits.script_string * LARGEST_VALUES,
    };
    let map = limits.script_elements;
    // rhai calls it deprecated to say that it may change; this version is pinned.
    #[allow(deprecated)]
    engine.on_var(move |_, _, context| {
        let left = LEFT.get().saturating_sub(1);
        LEFT.set(left);
        if left == 0 {
            let mut held = Held::default();
            let looked = context
                .scope()
                .iter_raw()
                .try_for_each(|(_, _, value)| held.add(value, map, DEEPEST));
            LEFT.set(ACCESSES_PER_LOOK + held.elements / ACCESSES_PER_LOOK);
            looked?;
            held.check(&most)?;
        }
        Ok(None)
    });
}

#[derive(Default)]
struct Held {
    elements: usize,
    bytes: usize,
}

impl Held {
    /// Adds a value with all within it.
    fn add(&mut self, value: &Dynamic, most_of_map: usize, deeper: usize) -> Answer<()> {
        if let Ok(text) = value.as_immutable_string_ref() {
            self.bytes += text.len();
        } else if let Ok(list) = value.as_array_ref() {
            self.elements += list.len();
            let deeper = below(deeper)?;
            list.iter().try_for_each(|value| self.add(value, most_of_map, deeper))?;
        } else if let Ok(map) = value.as_map_ref() {
            if map.len() > most_of_map {
                return Err(too_large("Size of object map"));
            }
            self.elements += map.len();
            let deeper = below(deeper)?;
            self.bytes += map.keys().map(rhai::Identifier::len).sum::<usize>();
            map.values().try_for_each(|value| self.add(value, most_of_map, deeper))?;
        }
        Ok(())
    }

    fn check(&self, most: &Held) -> Answer<()> {
        if self.elements > most.elements || self.bytes > most.bytes {
            return Err(too_large("All that the variables hold"));
        }
        Ok(())
    }
}

fn below(deeper: usize) -> Answer<usize> {
    let why = || too_large("The depth of lists within lists");
    deeper.checked_sub(1).ok_or_else(why)
}

fn too_large(what: &str) -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorDataTooLarge(what.into(), Position::NONE))
}

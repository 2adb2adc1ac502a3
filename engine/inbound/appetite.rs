//! Learns what the rules of an account usually do: read bodies, build on the message just before.

use std::sync::atomic::{AtomicU32, Ordering};

/// Habits of an account's rules, as moving means over its recent messages.
#[derive(Debug, Default)]
pub struct Appetite {
    bodies: Share,
    conflicts: Share,
}

/// A share of recent messages.
#[derive(Debug, Default)]
struct Share(AtomicU32);

/// All of them.
const ALL: u32 = 1 << 16;

/// Each message moves the mean by one part in so many.
const INERTIA: u32 = 64;

impl Appetite {
    /// Notes whether a message's body was read.
    pub fn note(&self, body: Body) {
        self.bodies.towards(if body == Body::Read { ALL } else { 0 });
    }

    /// Whether bodies are read so often that asking first costs more than it saves.
    pub fn is_large(&self) -> bool {
        self.bodies.is_above(ALL / 4 * 3)
    }

    /// Notes how a decision turned out that was made ahead of its turn.
    pub(super) fn note_foretold(&self, held: Foretold) {
        self.conflicts.towards(if held == Foretold::InVain { ALL } else { 0 });
    }

    /// Whether messages may be decided ahead of their turn: rarely in vain.
    pub(super) fn may_foretell(&self) -> bool {
        !self.conflicts.is_above(ALL / 4)
    }
}

impl Share {
    fn towards(&self, target: u32) {
        let moved = |share: u32| Some((share * (INERTIA - 1) + target) / INERTIA);
        // Never an error: the closure always gives a value.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, moved);
    }

    fn is_above(&self, share: u32) -> bool {
        self.0.load(Ordering::Relaxed) > share
    }
}

/// Whether the rules read the body of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// They did.
    Read,
    /// The headers were enough.
    Unread,
}

/// What became of a decision made ahead of its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Foretold {
    /// It stood.
    Held,
    /// It was made anew, as a message before it wrote what it had read.
    InVain,
}

#[cfg(test)]
mod tests {
    use super::{Appetite, Body, Foretold};

    #[test]
    fn it_grows_with_bodies_read_and_shrinks_without() {
        let appetite = Appetite::default();
        assert!(!appetite.is_large());
        (0..200).for_each(|_| appetite.note(Body::Read));
        assert!(appetite.is_large());
        (0..100).for_each(|_| appetite.note(Body::Unread));
        assert!(!appetite.is_large());
    }

    #[test]
    fn rules_that_build_on_the_message_before_are_not_foretold_for_long() {
        let appetite = Appetite::default();
        assert!(appetite.may_foretell());
        (0..30).for_each(|_| appetite.note_foretold(Foretold::InVain));
        assert!(!appetite.may_foretell());
        (0..100).for_each(|_| appetite.note_foretold(Foretold::Held));
        assert!(appetite.may_foretell());
    }
}

//! Learns whether the rules of an account usually read bodies.

use std::sync::atomic::{AtomicU32, Ordering};

/// The share of recent messages whose bodies were read, as a moving mean.
#[derive(Debug, Default)]
pub struct Appetite(AtomicU32);

/// All of them.
const ALL: u32 = 1 << 16;

/// Each message moves the mean by one part in so many.
const INERTIA: u32 = 64;

impl Appetite {
    /// Notes whether a message's body was read.
    pub fn note(&self, body: Body) {
        let target = if body == Body::Read { ALL } else { 0 };
        let moved = |share: u32| Some((share * (INERTIA - 1) + target) / INERTIA);
        // Never an error: the closure always gives a value.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, moved);
    }

    /// Whether bodies are read so often that asking first costs more than it saves.
    pub fn is_large(&self) -> bool {
        self.0.load(Ordering::Relaxed) > ALL / 4 * 3
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

#[cfg(test)]
mod tests {
    use super::{Appetite, Body};

    #[test]
    fn it_grows_with_bodies_read_and_shrinks_without() {
        let appetite = Appetite::default();
        assert!(!appetite.is_large());
        (0..200).for_each(|_| appetite.note(Body::Read));
        assert!(appetite.is_large());
        (0..100).for_each(|_| appetite.note(Body::Unread));
        assert!(!appetite.is_large());
    }
}

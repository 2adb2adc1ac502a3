//! The structure guard: how deep, how many, how big a body may be before it is not taken apart.
//!
//! A body over a limit is *opaque*: its headers are read as ever, its text is the raw body, it has
//! no attachments. The message itself is never refused for it.
//!
//! mail-parser 0.11.9 dies of a stack overflow on deep nesting and takes quadratic time over
//! boundaries that never come. Bodies are therefore taken apart by [`super::structure`], in one
//! pass, without recursion and under this guard; mail-parser decodes dates, charsets and entities.

use std::fmt;

/// Multiparts within each other.
pub const MOST_NESTED: usize = 100;

/// Parts of one message, multiparts included.
pub const MOST_PARTS: usize = 1000;

/// Bytes of a body.
pub const MOST_BYTES: usize = 150 << 20;

/// Which limit a body exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// More than [`MOST_NESTED`] multiparts within each other.
    Nesting,
    /// More than [`MOST_PARTS`] parts.
    Parts,
    /// More than [`MOST_BYTES`] bytes.
    Size,
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nesting => write!(f, "more than {MOST_NESTED} multiparts within each other"),
            Self::Parts => write!(f, "more than {MOST_PARTS} parts"),
            Self::Size => write!(f, "a body of more than {} MiB", MOST_BYTES >> 20),
        }
    }
}

/// Refuses a body of this size.
///
/// # Errors
/// [`Excess::Size`].
pub(super) fn check_size(bytes: usize) -> Result<(), Excess> {
    if bytes > MOST_BYTES { Err(Excess::Size) } else { Ok(()) }
}

/// Refuses one more part, `nested` multiparts deep, after `parts` others.
///
/// # Errors
/// [`Excess::Nesting`], [`Excess::Parts`].
pub(super) fn check_part(nested: usize, parts: usize) -> Result<(), Excess> {
    if nested > MOST_NESTED {
        return Err(Excess::Nesting);
    }
    if parts >= MOST_PARTS { Err(Excess::Parts) } else { Ok(()) }
}

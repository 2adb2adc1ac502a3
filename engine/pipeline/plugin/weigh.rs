//! How many bytes a value has that crosses between the engine and a guest.

use super::bindings::mailmill::step::message::{Address, Attachment};

/// Bytes that are copied into a guest's memory. Small values cost a fixed sum, so that many of
/// them count too.
pub(super) trait Weigh {
    fn weight(&self) -> usize;
}

/// What a pointer with its length, or a number, takes in a guest.
const FIXED: usize = 8;

impl Weigh for String {
    fn weight(&self) -> usize {
        FIXED + self.len()
    }
}

impl Weigh for u8 {
    fn weight(&self) -> usize {
        1
    }
}

impl<T: Weigh> Weigh for Vec<T> {
    fn weight(&self) -> usize {
        FIXED + self.iter().map(Weigh::weight).sum::<usize>()
    }
}

impl<T: Weigh> Weigh for Option<T> {
    fn weight(&self) -> usize {
        FIXED + self.as_ref().map_or(0, Weigh::weight)
    }
}

impl<T: Weigh> Weigh for Result<T, String> {
    fn weight(&self) -> usize {
        match self {
            Ok(value) => FIXED + value.weight(),
            Err(text) => FIXED + text.weight(),
        }
    }
}

impl Weigh for (String, String) {
    fn weight(&self) -> usize {
        self.0.weight() + self.1.weight()
    }
}

impl Weigh for Address {
    fn weight(&self) -> usize {
        self.name.weight() + self.address.weight()
    }
}

impl Weigh for Attachment {
    fn weight(&self) -> usize {
        self.name.weight() + self.media_type.weight() + self.sha256.weight() + FIXED
    }
}

//! Templates: what they may name, what is left out, what is refused at load.

//! What tests share: private servers, folders, a builder for whole runs.

pub mod mill;

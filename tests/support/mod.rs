//! What tests share: private servers, folders, a builder for whole runs.

pub mod corpus;
pub mod mill;

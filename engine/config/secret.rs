//! To come.

/// Where a secret is; never the secret itself, but for a private configuration file.
#[derive(Debug, Clone)]
pub enum Source {
    /// An environment variable.
    Env(String),
}

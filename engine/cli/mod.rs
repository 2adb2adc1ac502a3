//! The command line: one file per command, all of one shape (`Args`, `run`).

use std::io::Write;

pub mod check;
pub mod inspect;

/// How a command ended, as the process's exit code (sysexits where they fit).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: right.
    Right,
    /// 1: findings, or it failed.
    Findings,
    /// 2: the call was wrong.
    Usage,
    /// 75: try again later.
    Later,
    /// 78: the configuration is wrong.
    Config,
}

impl Exit {
    /// The number the process ends with.
    pub fn code(self) -> u8 {
        match self {
            Self::Right => 0,
            Self::Findings => 1,
            Self::Usage => 2,
            Self::Later => 75,
            Self::Config => 78,
        }
    }
}

/// Where a command writes: what it was asked for, and what it has to say besides.
pub struct Output<'a> {
    /// Results.
    pub out: &'a mut dyn Write,
    /// Errors and faults.
    pub err: &'a mut dyn Write,
}

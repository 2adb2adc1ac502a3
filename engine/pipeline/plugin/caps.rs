//! How much memory and how many tables one instance may have.

use std::fmt;

use wasmtime::ResourceLimiter;

use crate::pipeline::limits::Limits;

/// Core instances, memories and tables of one component: a component from wit-component has up to
/// four, a JavaScript or Python one a dozen.
const PARTS: usize = 16;

/// The caps of one instance. Growth beyond them ends the guest with [`CapReached`]: most guests
/// would only abort when told that they cannot grow, and nobody would know why.
#[derive(Debug)]
pub(super) struct Caps {
    memory: usize,
    table: usize,
    /// Bytes over all memories, elements over all tables.
    used: (usize, usize),
}

/// A guest wanted more than its cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CapReached {
    /// Bytes of memory, the cap.
    Memory(usize),
    /// Elements of tables, the cap.
    Table(usize),
}

impl Caps {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { memory: limits.plugin_memory, table: limits.plugin_table, used: (0, 0) }
    }
}

impl ResourceLimiter for Caps {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used = self.used.0.saturating_add(desired.saturating_sub(current));
        if used > self.memory {
            return Err(CapReached::Memory(self.memory).into());
        }
        self.used.0 = used;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used = self.used.1.saturating_add(desired.saturating_sub(current));
        if used > self.table {
            return Err(CapReached::Table(self.table).into());
        }
        self.used.1 = used;
        Ok(true)
    }

    fn instances(&self) -> usize {
        PARTS
    }

    fn tables(&self) -> usize {
        PARTS
    }

    fn memories(&self) -> usize {
        PARTS
    }
}

impl fmt::Display for CapReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(most) => write!(f, "needs more than {} MiB of memory", most >> 20),
            Self::Table(most) => write!(f, "needs more than {most} table elements"),
        }
    }
}

impl std::error::Error for CapReached {}

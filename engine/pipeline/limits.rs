//! What a step may use. Nothing is unlimited; each limit has a test.

use std::time::Duration;

/// Limits of one run of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Rhai operations.
    pub script_operations: u64,
    /// Rhai wall-clock time, looked at every 256 operations.
    pub script_time: Duration,
    /// Rhai call levels, on 8 MiB stacks.
    pub script_call_levels: usize,
    /// Rhai expression depth, globally and in functions. Each `else if` is one level, so fewer would
    /// refuse rules that people write.
    pub script_expr_depth: (usize, usize),
    /// Bytes of one string a script makes.
    pub script_string: usize,
    /// Elements of one array or map a script makes.
    pub script_elements: usize,
    /// Variables and functions of one script.
    pub script_names: usize,
    /// Bytes of one script file.
    pub script_file: usize,
    /// WASM linear memory of one instance.
    pub plugin_memory: usize,
    /// WASM table elements.
    pub plugin_table: usize,
    /// WASM wall-clock time of one call.
    pub plugin_time: Duration,
    /// Bytes of one plugin file.
    pub plugin_file: usize,
    /// Bytes a plugin gets from one read.
    pub plugin_read: usize,
    /// Bytes that host calls of one run may move.
    pub plugin_traffic: usize,
    /// Actions of one message, over all steps.
    pub actions: usize,
    /// Bytes that all actions of one message take in its record: JSON with step and place, tags as
    /// actions and as tags, log lines apart. With [`Limits::log_bytes`] it is well below what the
    /// store takes for a record (64 KiB).
    pub action_bytes: usize,
    /// Log lines of one step and message.
    pub log_lines: usize,
    /// Bytes of one log line; a longer one is cut.
    pub log_line: usize,
    /// Bytes that all log lines of one message take in its record.
    pub log_bytes: usize,
    /// Bytes of a body part that `text` and `html` give.
    pub body_text: usize,
    /// Bytes that `raw` gives.
    pub raw: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            script_operations: 500_000,
            script_time: Duration::from_millis(250),
            script_call_levels: 32,
            script_expr_depth: (64, 64),
            script_string: 1 << 20,
            script_elements: 10_000,
            script_names: 1_000,
            script_file: 256 << 10,
            plugin_memory: 64 << 20,
            plugin_table: 20_000,
            plugin_time: Duration::from_secs(1),
            plugin_file: 64 << 20,
            plugin_read: 64 << 10,
            plugin_traffic: 64 << 20,
            actions: 256,
            action_bytes: 24 << 10,
            log_lines: 64,
            log_line: 1 << 10,
            log_bytes: 12 << 10,
            body_text: 1 << 20,
            raw: 1 << 20,
        }
    }
}

//! Runs a program and tells what it used. A small process of its own: a child's peak memory includes
//! what the process that starts it had.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::Result;

/// Run a program and print what it used, as JSON
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    command: Vec<String>,
}

/// What a program used, with all its children that it waited for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Usage {
    pub(crate) wall: f64,
    pub(crate) cpu: f64,
    pub(crate) peak_kb: u64,
    pub(crate) code: Option<i32>,
}

/// Runs the program; its output goes to standard error.
pub(crate) fn run(args: &Args) -> Result<()> {
    let usage = measure(&args.command)?;
    let line = serde_json::to_string(&usage).map_err(|why| why.to_string())?;
    writeln!(std::io::stdout(), "{line}").map_err(|why| format!("print: {why}"))
}

fn measure(command: &[String]) -> Result<Usage> {
    let start = Instant::now();
    let child = Command::new(&command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .spawn()
        .map_err(|why| format!("start {}: {why}", command[0]))?;
    let (status, usage) = wait(child.id())?;
    let wall = start.elapsed().as_secs_f64();
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    let code = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
    let cpu = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    Ok(Usage { wall, cpu, peak_kb: usage.ru_maxrss.unsigned_abs(), code })
}

#[allow(unsafe_code, reason = "wait4 alone tells the peak memory of one child")]
fn wait(child: u32) -> Result<(i32, libc::rusage)> {
    let mut status = 0;
    // SAFETY: all zeroes is a valid rusage, and both pointers live as long as the call.
    let (waited, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::wait4(child.cast_signed(), &raw mut status, 0, &raw mut usage), usage)
    };
    if waited == child.cast_signed() {
        return Ok((status, usage));
    }
    Err(format!("wait for process {child}: {}", std::io::Error::last_os_error()))
}

//! argv -> cli -> exit code.

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use mailmill::cli::{self, Output};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Rules and MIME parsing recurse within their limits; the main thread's stack may be smaller than
/// these need.
const STACK: usize = 16 << 20;

fn main() -> ExitCode {
    // Huge pages would make the memory in use twice as large, as little of each is needed. Where the
    // kernel has none, there is nothing to see to.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(command);
    match thread.map(std::thread::JoinHandle::join) {
        Ok(Ok(code)) => code,
        // A panic has told its own story.
        Ok(Err(_)) | Err(_) => ExitCode::from(70),
    }
}

fn command() -> ExitCode {
    let mut out = BufWriter::new(std::io::stdout());
    let mut err = std::io::stderr();
    let exit = cli::main(std::env::args_os(), &mut Output { out: &mut out, err: &mut err });
    let _ = out.flush();
    ExitCode::from(exit.code())
}

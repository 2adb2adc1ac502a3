//! argv -> cli -> exit code.

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use mailmill::cli::{self, Output};

fn main() -> ExitCode {
    let mut out = BufWriter::new(std::io::stdout());
    let mut err = std::io::stderr();
    let exit = cli::main(std::env::args_os(), &mut Output { out: &mut out, err: &mut err });
    let _ = out.flush();
    ExitCode::from(exit.code())
}

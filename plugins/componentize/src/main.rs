//! `componentize IN.wasm OUT.wasm`: makes a component of a core module that an SDK built.
//!
//! Compilers for `wasm32-unknown-unknown` write core modules; the WIT they were built for lies in a
//! custom section. This is the step after them, without any further tool to be installed.

use std::path::Path;
use std::process::ExitCode;

use wit_component::ComponentEncoder;

fn main() -> ExitCode {
    let files: Vec<_> = std::env::args_os().skip(1).collect();
    let [from, to] = files.as_slice() else {
        complain("usage: componentize IN.wasm OUT.wasm");
        return ExitCode::from(2);
    };
    match componentize(from.as_ref(), to.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            complain(&why);
            ExitCode::FAILURE
        }
    }
}

fn componentize(from: &Path, to: &Path) -> Result<(), String> {
    let module =
        std::fs::read(from).map_err(|why| format!("cannot read {}: {why}", from.display()))?;
    let component = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(ComponentEncoder::encode)
        .map_err(|why| format!("cannot make a component of {}: {why:#}", from.display()))?;
    std::fs::write(to, component).map_err(|why| format!("cannot write {}: {why}", to.display()))
}

/// The one place that writes to the terminal.
#[allow(clippy::print_stderr)]
fn complain(line: &str) {
    eprintln!("componentize: {line}");
}

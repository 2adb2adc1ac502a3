//! `mailmill run`: the engine itself.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;

use tokio_util::sync::CancellationToken;

use super::{ConfigArg, Exit, Output};
use crate::clock::Clock;
use crate::daemon::{Engine, Start, Until};
use crate::error::{Context, Error, Result};
use crate::maillog::{Form, Maillog};
use crate::pipeline;

/// Stack of the threads that decide: Rhai and MIME parsing recurse, within their limits.
const STACK: usize = 8 << 20;

/// Run the engine: fetch, decide, and do, until it is told to stop
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Look through every account once, then end
    #[arg(long)]
    once: bool,
    /// Where what is on disk is wrong, start with the last generation that was in force
    #[arg(long)]
    last_good: bool,
    /// The form of the log on standard output
    #[arg(long, value_enum, default_value_t = LogForm::Text, value_name = "FORM")]
    log: LogForm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LogForm {
    /// One line an event, for people
    Text,
    /// One JSON object an event
    Json,
    /// Nothing
    None,
}

/// Runs the command. Exit code 78 where anything that a person wrote has a fault: all are told, and
/// nothing is touched.
pub fn run(args: &Args, output: &mut Output<'_>) -> Exit {
    let file = &args.config.config;
    let attempt = pipeline::load(file);
    let start = match args.last_good {
        true => Start::with_last_good(file, attempt),
        false => Start::with(attempt),
    };
    let start = match start {
        Ok(start) => start,
        Err(faults) => {
            let _ = writeln!(output.err, "{faults}");
            return Exit::Config;
        }
    };
    match serve(args, start) {
        Ok(()) => Exit::Right,
        Err(error) => output.failed(&error),
    }
}

fn serve(args: &Args, start: Start) -> Result<()> {
    let what = || "start the engine".to_owned();
    let threads = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK)
        .build()
        .or_later(what)?;
    let until = if args.once { Until::Settled } else { Until::Stopped };
    let log = args.maillog()?;
    let result = threads.block_on(async {
        let stop = CancellationToken::new();
        stop_on_signal(&stop)?;
        Engine::open(start, log.clone(), Clock::System)?.run(until, stop).await
    });
    // A blocking step that is still at it ends with the process.
    threads.shutdown_background();
    log.finish();
    result
}

impl Args {
    fn maillog(&self) -> Result<Maillog> {
        let (form, sink): (Form, Box<dyn Write + Send>) = match self.log {
            LogForm::Text => (Form::Text, Box::new(stdout()?)),
            LogForm::Json => (Form::Json, Box::new(stdout()?)),
            LogForm::None => (Form::Text, Box::new(std::io::sink())),
        };
        Ok(Maillog::new(form, Clock::System, sink))
    }
}

/// Standard output as a file of its own: a writer that is stuck in it does not hold the lock of
/// [`std::io::Stdout`], for which the end of the process would wait.
fn stdout() -> Result<File> {
    let own = std::io::stdout().as_fd().try_clone_to_owned();
    own.map(File::from).or_later(|| "open standard output for the log".into())
}

/// SIGTERM and SIGINT end the engine in order.
fn stop_on_signal(stop: &CancellationToken) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).map_err(|why| Error::temporary("listen for signals", why));
    let (mut term, mut int) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let stop = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        stop.cancel();
    });
    Ok(())
}

//! `mailmill sendmail`, and mailmill called by the name `sendmail`: what programs hand mail over by.

use std::ffi::OsString;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::{Exit, Output};
use crate::config::Config;
use crate::fault::Faults;
use crate::mail::EnvelopeAddress;
use crate::outbound::may_send_as;
use crate::send::drop::{self, Sender};
use crate::send::sendmail::{Call, Code, Failure, Letter, Mode, send};
use crate::send::user_name;

/// Names the drop folder, for callers who may not read the configuration.
const DROP: &str = "MAILMILL_DROP";
/// The largest message where the configuration is not read or has no `[submission]`.
const LARGEST: u64 = 150 << 20;

/// Hand a message over as programs do: sendmail [-t] [-i] [-f ADDRESS] [-F NAME] [--] [RECIPIENT...]
///
/// Reads the message from standard input and writes it into the drop folder, whether an engine runs
/// or not. Ends with a code of sysexits. Takes the options of sendmail; -C names the configuration
/// (else MAILMILL_CONFIG, else mailmill.toml here), and MAILMILL_DROP the drop folder for callers who
/// may not read the configuration
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub struct Args {
    /// Options of sendmail, and recipients
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    args: Vec<OsString>,
}

/// Runs the command.
pub fn run(args: &Args, output: &mut Output<'_>) -> Exit {
    match handed_over(args) {
        Ok(()) => Exit::Right,
        Err(failure) => {
            output.note(format_args!("sendmail: {}", failure.text));
            Exit::System(failure.code)
        }
    }
}

fn handed_over(args: &Args) -> Result<(), Failure> {
    let text = |arg: &OsString| {
        let text = arg.to_str().map(str::to_owned);
        text.ok_or_else(|| Failure::new(Code::Usage, "an argument is not UTF-8"))
    };
    let call = Call::parse(args.args.iter().map(text).collect::<Result<Vec<_>, _>>()?)?;
    if call.mode == Mode::Queue {
        let text = "the queue is shown by `mailmill queue list`";
        return Err(Failure::new(Code::Unavailable, text));
    }
    let place = Place::of(&call)?;
    let input = BufReader::with_capacity(64 << 10, std::io::stdin());
    send(&call, input, (&place.folder, place.most), |letter| place.check(letter))
}

/// Where messages are dropped, and by which configuration they may be.
struct Place {
    folder: PathBuf,
    most: u64,
    config: Option<Config>,
}

impl Place {
    fn of(call: &Call) -> Result<Self, Failure> {
        let named = call.config.clone().map(PathBuf::from);
        let known = std::env::var_os("MAILMILL_CONFIG").map(PathBuf::from);
        if let (None, Some(folder)) = (&named, std::env::var_os(DROP)) {
            return Ok(Self { folder: folder.into(), most: LARGEST, config: None });
        }
        let file = named.or(known).unwrap_or_else(|| PathBuf::from("mailmill.toml"));
        // Faults in rules or accounts are the engine's business; where mail is dropped, it says.
        let (config, faults) = Config::read(&file);
        let config = config.ok_or_else(|| unusable(&file, &faults))?;
        let most = config.submission.as_ref().map_or(LARGEST, |terms| terms.max_size);
        let folder = drop::folder(&config.engine.data);
        if !config.engine.data.is_dir() {
            let text = format!("there is no folder {}", config.engine.data.display());
            return Err(Failure::new(Code::CantCreate, text));
        }
        Ok(Self { folder, most, config: Some(config) })
    }

    /// Refuses what the engine would refuse, so that the caller hears of it at once. The engine checks
    /// again, by what is in force when it picks the message up.
    fn check(&self, letter: &Letter<'_>) -> Result<(), Failure> {
        let Some(config) = &self.config else { return Ok(()) };
        let uid = rustix::process::geteuid().as_raw();
        let name = name_of(uid)?;
        let Some(user) = config.users.get(&name) else {
            let text = format!("{name} (userid {uid}) is none of [users] in the configuration");
            return Err(Failure::new(Code::NoUser, text));
        };
        let mut addresses: Vec<String> = Vec::new();
        if let Sender::Address(address) = &letter.slip.sender {
            addresses.push(address.to_string());
        }
        for field in ["From", "Sender", "Reply-To"] {
            addresses.extend(letter.head.addresses(field).into_iter().map(|one| one.address));
        }
        let sound = |address: &&String| EnvelopeAddress::new(address).is_ok();
        match addresses.iter().filter(sound).find(|one| !may_send_as(config, user, one)) {
            Some(address) => {
                let text = format!("{name} may not send as {address}");
                Err(Failure::new(Code::NoPermission, text))
            }
            None => Ok(()),
        }
    }
}

fn name_of(uid: u32) -> Result<String, Failure> {
    let later = |why: String| Failure::new(Code::Later, why);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|why| later(why.to_string()))?;
    runtime.block_on(user_name(uid)).map_err(|why| Failure::new(Code::NoUser, why.to_string()))
}

fn unusable(file: &Path, faults: &Faults) -> Failure {
    let first = faults.0.first().map(ToString::to_string).unwrap_or_default();
    let text =
        format!("{first}; name the configuration by -C or MAILMILL_CONFIG ({})", file.display());
    Failure::new(Code::Config, text)
}

/// The call where it is one: mailmill by the name of `sendmail`, wherever it lies, or the command of
/// that name. Its arguments are not those of other commands, so nothing else understands them.
pub(super) fn called(args: &[OsString]) -> Option<Args> {
    let program = Path::new(args.first()?).file_name()?;
    let own = match args.get(1) {
        _ if program == "sendmail" => &args[1..],
        Some(command) if command == "sendmail" => &args[2..],
        _ => return None,
    };
    // `--help` is answered as by every command.
    (own.first().is_none_or(|first| first != "--help")).then(|| Args { args: own.to_vec() })
}

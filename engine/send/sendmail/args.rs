//! The arguments of `sendmail`, as programs have called it since the eighties. Options without a
//! meaning here are accepted where Postfix accepts them, so that nothing that works there fails here.

use super::super::drop::Sender;
use super::{Code, Failure};
use crate::mail::envelope::{Body, EnvelopeAddress, Envid, Notify, Ret};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// `-b`
    pub mode: Mode,
    /// `-t`: recipients stand in the header, too.
    pub from_header: bool,
    /// `-i`: a line of one dot is text.
    pub ignore_dots: bool,
    /// `-f`, `-r`
    pub sender: Sender,
    /// `-F`
    pub full_name: Option<String>,
    /// `-N`
    pub notify: Notify,
    /// `-R`
    pub ret: Option<Ret>,
    /// `-V`
    pub envid: Option<Envid>,
    /// `-B`, `-o7`, `-o8`
    pub body: Body,
    /// `-C`
    pub config: Option<String>,
    /// Addresses of the command line.
    pub recipients: Vec<String>,
}

/// What `-b` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `-bm`: take a message.
    Deliver,
    /// `-bp`: show the queue.
    Queue,
}

/// What is said of a long option.
const LONG: &str = "sendmail has no long options; -C FILE names the configuration";

/// Options that take a value, in the same or the next argument, and mean nothing here.
const IGNORED_WITH_VALUE: &[u8] = b"AhLOopX";
/// Options without a value that mean nothing here.
const IGNORED: &[u8] = b"GmnUvx";

impl Call {
    fn new() -> Self {
        Self {
            mode: Mode::Deliver,
            from_header: false,
            ignore_dots: false,
            sender: Sender::Own,
            full_name: None,
            notify: Notify::Unsaid,
            ret: None,
            envid: None,
            body: Body::SevenBit,
            config: None,
            recipients: Vec::new(),
        }
    }

    /// Understands the arguments behind the command's name.
    ///
    /// # Errors
    /// [`Code::Usage`], or [`Code::Unavailable`] for what mailmill does otherwise.
    pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Self, Failure> {
        let mut call = Self::new();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            match arg.strip_prefix('-') {
                Some("-") => break,
                Some(options) if !options.is_empty() => call.options(options, &mut args)?,
                _ => call.recipients.push(arg),
            }
        }
        call.recipients.extend(args);
        call.recipients = call.recipients.iter().flat_map(|list| split(list)).collect();
        Ok(call)
    }

    /// One argument of options, e.g. `ti` or `oi` or `fanna@example.com`.
    fn options(
        &mut self,
        mut options: &str,
        args: &mut impl Iterator<Item = String>,
    ) -> Result<(), Failure> {
        while let Some(option) = options.chars().next() {
            let rest = &options[option.len_utf8()..];
            let mut value = || match rest {
                "" => args.next().ok_or_else(|| usage(format!("-{option} needs a value"))),
                rest => Ok(rest.to_owned()),
            };
            match option {
                't' => self.from_header = true,
                'i' => self.ignore_dots = true,
                'o' => return self.old_option(&value()?),
                'b' => return self.mode(&value()?),
                'f' | 'r' => return self.sender(&value()?),
                'F' => {
                    self.full_name = Some(value()?).filter(|name| !name.is_empty());
                    return Ok(());
                }
                'N' => return self.notify(&value()?),
                'R' => return self.ret(&value()?),
                'V' => {
                    self.envid = Some(Envid::new(&value()?).map_err(usage)?);
                    return Ok(());
                }
                'B' => return self.body(&value()?),
                'C' => {
                    self.config = Some(value()?);
                    return Ok(());
                }
                'q' => return Err(other("the queue runs by itself: see `mailmill queue retry`")),
                option if is_in(IGNORED_WITH_VALUE, option) => return value().map(|_| ()),
                option if is_in(IGNORED, option) => {}
                '-' => return Err(usage(LONG.into())),
                _ => return Err(usage(format!("-{option} is no option of sendmail"))),
            }
            options = rest;
        }
        Ok(())
    }

    /// `-oX`
    fn old_option(&mut self, option: &str) -> Result<(), Failure> {
        match option {
            "i" => self.ignore_dots = true,
            "7" => self.body = Body::SevenBit,
            "8" => self.body = Body::EightBitMime,
            // Where errors go, and what is done by itself anyway.
            _ => {}
        }
        Ok(())
    }

    fn mode(&mut self, mode: &str) -> Result<(), Failure> {
        self.mode = match mode {
            "m" => Mode::Deliver,
            "p" => Mode::Queue,
            "s" => return Err(other("to speak SMTP connect to `listen` of [submission]")),
            "d" | "D" => return Err(other("the engine is started by `mailmill run`")),
            "i" | "I" | "v" | "t" | "l" => return Err(other(&format!("-b{mode} is not offered"))),
            _ => return Err(usage(format!("-b{mode} is no mode of sendmail"))),
        };
        Ok(())
    }

    fn sender(&mut self, address: &str) -> Result<(), Failure> {
        let bare = address.trim().trim_start_matches('<').trim_end_matches('>');
        self.sender = match bare {
            "" => Sender::Null,
            bare => Sender::Address(
                EnvelopeAddress::new(bare).map_err(|why| Failure::new(Code::Data, why))?,
            ),
        };
        Ok(())
    }

    fn notify(&mut self, words: &str) -> Result<(), Failure> {
        if words.eq_ignore_ascii_case("never") {
            self.notify = Notify::Never;
            return Ok(());
        }
        let (mut success, mut failure, mut delay) = (false, false, false);
        for word in words.split(',') {
            match word.trim().to_ascii_lowercase().as_str() {
                "success" => success = true,
                "failure" => failure = true,
                "delay" => delay = true,
                _ => return Err(usage("-N is never, or success, failure and delay".into())),
            }
        }
        self.notify = Notify::On { success, failure, delay };
        Ok(())
    }

    fn ret(&mut self, word: &str) -> Result<(), Failure> {
        self.ret = Some(match word.to_ascii_lowercase().as_str() {
            "full" => Ret::Full,
            "hdrs" => Ret::Headers,
            _ => return Err(usage("-R is full or hdrs".into())),
        });
        Ok(())
    }

    fn body(&mut self, word: &str) -> Result<(), Failure> {
        self.body = match word.to_ascii_uppercase().as_str() {
            "7BIT" => Body::SevenBit,
            "8BITMIME" => Body::EightBitMime,
            _ => return Err(usage("-B is 7BIT or 8BITMIME".into())),
        };
        Ok(())
    }
}

fn is_in(options: &[u8], option: char) -> bool {
    u8::try_from(option).is_ok_and(|option| options.contains(&option))
}

/// An argument may hold several addresses, as in To.
fn split(list: &str) -> Vec<String> {
    if list.contains(['"', '(']) {
        return vec![list.to_owned()];
    }
    let all = list.split(',').map(str::trim).filter(|one| !one.is_empty());
    all.map(|one| match one.rsplit_once('<') {
        Some((_, angle)) => angle.trim_end_matches('>').to_owned(),
        None => one.to_owned(),
    })
    .collect()
}

fn usage(text: String) -> Failure {
    Failure::new(Code::Usage, text)
}

fn other(text: &str) -> Failure {
    Failure::new(Code::Unavailable, text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Call, Code, Mode, Sender};
    use crate::mail::envelope::{Body, Notify, Ret};

    fn parse(args: &str) -> Result<Call, Code> {
        Call::parse(args.split_whitespace().map(str::to_owned)).map_err(|failure| failure.code)
    }

    #[test]
    fn calls_that_programs_make() {
        let call = parse("-t -i -oi -f anna@example.com -F Anna -bm -N success,delay").unwrap();
        assert!(call.from_header && call.ignore_dots && call.recipients.is_empty());
        assert!(matches!(call.sender, Sender::Address(ref a) if a.as_str() == "anna@example.com"));
        assert_eq!(call.full_name.as_deref(), Some("Anna"));
        assert_eq!(call.notify, Notify::On { success: true, failure: false, delay: true });
        let call =
            parse("-oem -odb -fbert@example.com -R hdrs -V id1 -B8BITMIME -- -x@example.com")
                .unwrap();
        assert_eq!(
            (call.recipients, call.ret),
            (vec!["-x@example.com".to_owned()], Some(Ret::Headers))
        );
        assert_eq!(
            (call.body, call.mode, call.envid.unwrap().as_str()),
            (Body::EightBitMime, Mode::Deliver, "id1")
        );
        let call = parse("-ti -h 3 -pESMTP:x -O Opt=1 -v -G -f <> a@b.de,c@d.de").unwrap();
        assert_eq!((call.sender, call.recipients.len()), (Sender::Null, 2));
        assert_eq!(parse("-bp").unwrap().mode, Mode::Queue);
        assert_eq!(parse("-N never").unwrap().notify, Notify::Never);
    }

    #[test]
    fn calls_that_are_none() {
        for (args, code) in [
            ("-Z", Code::Usage),
            ("-f", Code::Usage),
            ("-bz", Code::Usage),
            ("-N often", Code::Usage),
            ("-R half", Code::Usage),
            ("-B 9BIT", Code::Usage),
            ("-f anna", Code::Data),
            ("-bs", Code::Unavailable),
            ("-bd", Code::Unavailable),
            ("-q", Code::Unavailable),
        ] {
            assert_eq!(parse(args).unwrap_err(), code, "{args}");
        }
    }
}

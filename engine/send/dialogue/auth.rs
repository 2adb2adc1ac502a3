//! The SASL exchanges: PLAIN (RFC 4616) and LOGIN, which old programs know alone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

use super::reply::Reply;

/// The longest name or password, in bytes.
const LONGEST: usize = 1_024;

/// What a client says it is.
#[derive(Debug)]
pub struct Login {
    /// The user's name.
    pub user: String,
    /// The password that was given.
    pub password: SecretString,
}

/// What is expected next.
#[derive(Debug)]
pub(super) enum Exchange {
    /// PLAIN: all in one.
    Plain,
    /// LOGIN: the name.
    Name,
    /// LOGIN: the password of this name.
    Password(String),
}

/// Where an exchange has come to.
pub(super) enum Step {
    /// This is to be sent, and more is expected.
    Ask(Exchange, &'static str),
    /// It is complete.
    Complete(Login),
    /// It is over.
    Refused(Reply),
}

impl Exchange {
    /// The first step; an initial response may come with the command, `=` is an empty one.
    pub(super) fn begin(self, initial: &str) -> Step {
        match (initial, self) {
            ("", Self::Plain) => Step::Ask(Self::Plain, ""),
            ("", _) => Step::Ask(Self::Name, "VXNlcm5hbWU6"),
            ("=", exchange) => exchange.go_on(""),
            (initial, exchange) => exchange.go_on(initial),
        }
    }

    /// What the client answers, without its line end.
    pub(super) fn go_on(self, line: &str) -> Step {
        if line == "*" {
            return Step::Refused(Reply::new(501, "5.7.0", "cancelled"));
        }
        let Ok(bytes) = STANDARD.decode(line).map(Zeroizing::new) else {
            return Step::Refused(Reply::new(501, "5.5.2", "that is no base64"));
        };
        match self {
            Self::Plain => plain(&bytes),
            Self::Name => match text(&bytes) {
                Some(name) => Step::Ask(Self::Password(name.into()), "UGFzc3dvcmQ6"),
                None => refused("the name is no text, or too long"),
            },
            Self::Password(user) => match text(&bytes) {
                Some(password) => Step::Complete(Login { user, password: password.into() }),
                None => refused("the password is no text, or too long"),
            },
        }
    }
}

/// `[authzid] NUL authcid NUL password`. To act for somebody else is what `send_as` is for.
fn plain(bytes: &[u8]) -> Step {
    let mut parts = bytes.split(|byte| *byte == 0).map(text);
    let (Some(Some(other)), Some(Some(user)), Some(Some(password)), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return refused("PLAIN is NUL, the name, NUL and the password");
    };
    if !other.is_empty() && other != user {
        return refused("nobody may log in as somebody else");
    }
    Step::Complete(Login { user: user.into(), password: password.into() })
}

fn text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    (text.len() <= LONGEST && !text.contains('\0')).then_some(text)
}

fn refused(why: &str) -> Step {
    Step::Refused(Reply::new(501, "5.5.2", why))
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use secrecy::ExposeSecret;

    use super::{Exchange, Step};

    fn complete(step: Step) -> (String, String) {
        match step {
            Step::Complete(login) => (login.user, login.password.expose_secret().to_owned()),
            Step::Ask(_, ask) => panic!("asks {ask:?}"),
            Step::Refused(reply) => panic!("{reply}"),
        }
    }

    fn code(step: Step) -> u16 {
        match step {
            Step::Refused(reply) => reply.code,
            Step::Ask(..) => 334,
            Step::Complete(_) => 235,
        }
    }

    #[test]
    fn both_mechanisms_with_and_without_a_first_response() {
        let pair = || ("anna".to_owned(), "pässword".to_owned());
        let plain = STANDARD.encode("\0anna\0pässword");
        assert_eq!(complete(Exchange::Plain.begin(&plain)), pair());
        assert_eq!(
            complete(Exchange::Plain.begin(&STANDARD.encode("anna\0anna\0pässword"))),
            pair()
        );
        let Step::Ask(exchange, "") = Exchange::Plain.begin("") else { panic!() };
        assert_eq!(complete(exchange.go_on(&plain)), pair());
        let name = STANDARD.encode("anna");
        let Step::Ask(exchange, "VXNlcm5hbWU6") = Exchange::Name.begin("") else { panic!() };
        let Step::Ask(exchange, "UGFzc3dvcmQ6") = exchange.go_on(&name) else { panic!() };
        assert_eq!(complete(exchange.go_on(&STANDARD.encode("pässword"))), pair());
        let Step::Ask(exchange, _) = Exchange::Name.begin(&name) else { panic!() };
        assert_eq!(complete(exchange.go_on(&STANDARD.encode("pässword"))), pair());
    }

    #[test]
    fn what_is_no_exchange_is_refused() {
        for wrong in ["*", "%%%", "YQ", "=", "YQ=="] {
            assert_eq!(code(Exchange::Plain.begin(wrong)), 501, "{wrong}");
        }
        for wrong in ["bert\0anna\0x", "\0anna\0x\0y", "\0anna", &"\0".repeat(9), "\0\u{0}\0\0"] {
            assert_eq!(code(Exchange::Plain.begin(&STANDARD.encode(wrong))), 501, "{wrong:?}");
        }
        assert_eq!(code(Exchange::Plain.begin(&STANDARD.encode([0, 0xff, 0, 0xff]))), 501);
        assert_eq!(code(Exchange::Name.begin(&STANDARD.encode("x".repeat(1025)))), 501);
        assert_eq!(code(Exchange::Name.go_on("*")), 501);
    }
}

//! What a server offers, from its answer to EHLO (RFC 5321 section 4.1.1.1).
//!
//! lettre's `ServerInfo` knows 8BITMIME, SMTPUTF8, STARTTLS and the mechanisms; SIZE and DSN it does not
//! know, these are read here. It is handed the lines in the one form that it takes: in capitals, `AUTH`
//! with a blank, no line of blanks alone (it panics at one), and instead of the server's name, which it
//! takes for an offer as well, a word that is none.

use lettre::transport::smtp::authentication::Mechanism;
use lettre::transport::smtp::extension::{Extension, ServerInfo};
use lettre::transport::smtp::response::{Category, Code, Detail, Response, Severity};

use super::reply::Reply;

/// What the server announced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Abilities {
    /// The largest message in bytes; 0 where it has no limit, `None` where it does not know SIZE.
    pub(super) size: Option<u64>,
    pub(super) dsn: bool,
    /// The mechanisms as they were announced, to be shown.
    pub(super) auth: Vec<String>,
    info: ServerInfo,
}

impl Abilities {
    pub(super) fn of(answer: &Reply) -> Self {
        let offers = offers(answer);
        let mut able = Self { info: info(&offers), ..Self::default() };
        for offer in &offers {
            let mut words = offer.split_whitespace();
            match words.next() {
                Some("SIZE") => {
                    able.size = Some(words.next().and_then(|size| size.parse().ok()).unwrap_or(0));
                }
                Some("DSN") => able.dsn = true,
                Some("AUTH") => able.auth.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        able
    }

    pub(super) fn knows(&self, extension: Extension) -> bool {
        self.info.supports_feature(extension)
    }

    /// Whether one can log in this way.
    pub(super) fn takes(&self, mechanism: Mechanism) -> bool {
        self.info.supports_auth_mechanism(mechanism)
    }
}

/// The lines after the first one. Old servers write `AUTH=LOGIN`.
fn offers(answer: &Reply) -> Vec<String> {
    let lines = answer.lines.iter().skip(1).filter(|line| !line.trim().is_empty());
    lines.map(|line| line.to_ascii_uppercase().replacen("AUTH=", "AUTH ", 1)).collect()
}

fn info(offers: &[String]) -> ServerInfo {
    let code = Code::new(Severity::PositiveCompletion, Category::MailSystem, Detail::Zero);
    let lines = std::iter::once("server".to_owned()).chain(offers.iter().cloned()).collect();
    // It fails without a first line alone.
    ServerInfo::from_response(&Response::new(code, lines)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use lettre::transport::smtp::authentication::Mechanism;
    use lettre::transport::smtp::extension::Extension;

    use super::Abilities;
    use crate::send::relay::Reply;

    fn of(lines: &[&str]) -> Abilities {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        Abilities::of(&Reply { code: 250, lines })
    }

    #[test]
    fn what_is_offered_is_known_however_it_is_written() {
        let able = of(&[
            "mx.example.test hello",
            "size 1000",
            "8BitMime",
            "smtputf8",
            "StartTLS",
            "Dsn",
            "AUTH=login",
            "auth plain ntlm",
        ]);
        assert_eq!((able.size, able.dsn), (Some(1000), true));
        for extension in [Extension::EightBitMime, Extension::SmtpUtfEight, Extension::StartTls] {
            assert!(able.knows(extension), "{extension}");
        }
        assert!(able.takes(Mechanism::Plain) && able.takes(Mechanism::Login));
        assert!(!able.takes(Mechanism::Xoauth2));
        assert_eq!(able.auth, ["LOGIN", "PLAIN", "NTLM"]);
        assert_eq!(of(&["mx", "SIZE"]).size, Some(0));
    }

    #[test]
    fn hostile_answers_offer_nothing_and_harm_nothing() {
        for lines in [&[""][..], &[" ", "  ", "\u{a0}", "\t"], &["STARTTLS"], &["mx", "STARTTLSX"]]
        {
            assert_eq!(of(lines), of(&["mx"]), "{lines:?}");
            assert!(!of(lines).knows(Extension::StartTls), "{lines:?}");
        }
    }
}

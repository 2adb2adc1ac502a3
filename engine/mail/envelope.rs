//! SMTP's envelope: who a message comes from and goes to, whatever its header says (RFC 5321
//! sections 2.3.1 and 4.1.2), with what the sender wants to hear of it (RFC 3461).

use std::fmt;

use serde::{Deserialize, Serialize};

/// The most bytes of an address (RFC 5321 section 4.5.3.1.3, without its angle brackets).
const MOST_BYTES: usize = 254;
/// The most bytes of a local part (RFC 5321 section 4.5.3.1.1).
const MOST_LOCAL: usize = 64;
/// The most characters of an envelope id (RFC 3461 section 4.4).
const MOST_ENVID: usize = 100;
/// The most characters of an original recipient (RFC 3461 section 4.2).
const MOST_ORCPT: usize = 500;

/// An address that may stand between the angle brackets of MAIL and RCPT: `local@domain`, at most 254
/// bytes, without controls, and without blanks or angle brackets outside of a quoted local part.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvelopeAddress(String);

/// What the receiver of a message is told outside of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Where reports go; `None` is the null reverse-path `<>`, to which none goes.
    pub reverse_path: Option<EnvelopeAddress>,
    /// Who gets it, at least one.
    pub recipients: Vec<Recipient>,
    /// How much of the message a report returns (RFC 3461 section 4.3).
    #[serde(default)]
    pub ret: Option<Ret>,
    /// The sender's name for this envelope, decoded (RFC 3461 section 4.4).
    #[serde(default)]
    pub envid: Option<Envid>,
    /// What bytes the message holds.
    #[serde(default)]
    pub body: Body,
    /// Whether addresses or header fields hold UTF-8.
    #[serde(default)]
    pub charset: Charset,
}

/// One who gets the message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// The address.
    pub address: EnvelopeAddress,
    /// What the sender wants to hear.
    #[serde(default)]
    pub notify: Notify,
    /// The recipient as the sender wrote it, decoded.
    #[serde(default)]
    pub orcpt: Option<Orcpt>,
}

/// RET: how much of a message its report returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ret {
    /// `FULL`: all of it.
    Full,
    /// `HDRS`: its header.
    Headers,
}

/// NOTIFY: which reports the sender wants (RFC 3461 section 4.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notify {
    /// Nothing was said: failures are reported, and delays may be.
    #[default]
    Unsaid,
    /// `NEVER`
    Never,
    /// Any of `SUCCESS`, `FAILURE`, `DELAY`.
    On {
        /// `SUCCESS`: that it was delivered.
        success: bool,
        /// `FAILURE`: that it never will be.
        failure: bool,
        /// `DELAY`: that it takes longer.
        delay: bool,
    },
}

/// BODY: what bytes a message holds (RFC 6152).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// ASCII alone.
    #[default]
    SevenBit,
    /// Any bytes in lines.
    EightBitMime,
}

/// Whether SMTPUTF8 is needed (RFC 6531).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Charset {
    /// Envelope and header are ASCII.
    #[default]
    Ascii,
    /// They may hold UTF-8.
    Utf8,
}

/// ENVID, decoded: 1 to 100 printable ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Envid(String);

/// ORCPT, decoded: a type such as `rfc822`, a semicolon, and an address of printable characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Orcpt(String);

impl EnvelopeAddress {
    /// Checks an address that came from a user, a rule or a command.
    ///
    /// # Errors
    /// A clause that says what is wrong with it.
    pub fn new(address: &str) -> Result<Self, String> {
        let shown = address.chars().take(80).collect::<String>();
        let wrong = |why: &str| Err(format!("\"{}\" {why}", shown.escape_debug()));
        if address.len() > MOST_BYTES {
            return wrong("is longer than the 254 bytes of an address");
        }
        let Some((local, domain)) = address.rsplit_once('@') else {
            return wrong("is no address: it has no @");
        };
        if local.len() > MOST_LOCAL {
            return wrong("has more than 64 bytes before its @");
        }
        if !is_local(local) {
            return wrong("is no address: what stands before its @ is not well-formed");
        }
        if !is_domain(domain) {
            return wrong("is no address: what stands after its @ is no domain");
        }
        Ok(Self(address.to_owned()))
    }

    /// The address, without angle brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands after the `@`.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// Whether both name the same mailbox: compared without regard to case.
    pub fn is(&self, address: &str) -> bool {
        self.0.eq_ignore_ascii_case(address)
    }

    /// Whether it can be said without SMTPUTF8.
    pub fn is_ascii(&self) -> bool {
        self.0.is_ascii()
    }
}

/// Dot-atom or quoted string (RFC 5321 section 4.1.2), UTF-8 in both (RFC 6531 section 3.3).
fn is_local(local: &str) -> bool {
    if let Some(quoted) = local.strip_prefix('"') {
        return quoted.strip_suffix('"').is_some_and(is_quoted);
    }
    let fits = |c: char| {
        c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || is_outside_ascii(c)
    };
    // Empty atoms (`a..b`) are not allowed and are in use.
    !local.is_empty() && local.chars().all(|c| c == '.' || fits(c))
}

/// What stands between the quotes: printable, with `"` and `\` escaped.
fn is_quoted(inner: &str) -> bool {
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => match chars.next() {
                Some(escaped) => escaped,
                None => return false,
            },
            '"' => return false,
            other => other,
        };
        if !(matches!(c, ' '..='~') || is_outside_ascii(c)) {
            return false;
        }
    }
    true
}

/// A host name or an address literal.
fn is_domain(domain: &str) -> bool {
    if let Some(literal) = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b".:-".contains(&b);
        return !literal.is_empty() && literal.bytes().all(fits);
    }
    let label = |label: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c) || is_outside_ascii(c);
        !label.is_empty() && label.len() <= 63 && label.chars().all(fits)
    };
    domain.split('.').all(label)
}

/// Characters beyond ASCII that are no controls and end no line.
fn is_outside_ascii(c: char) -> bool {
    !c.is_ascii() && !c.is_control() && !c.is_whitespace()
}

impl Envelope {
    /// An envelope that asks for nothing special.
    pub fn plain(reverse_path: Option<EnvelopeAddress>, recipients: Vec<EnvelopeAddress>) -> Self {
        Self {
            reverse_path,
            recipients: recipients.into_iter().map(Recipient::from).collect(),
            ret: None,
            envid: None,
            body: Body::default(),
            charset: Charset::default(),
        }
    }
}

impl From<EnvelopeAddress> for Recipient {
    fn from(address: EnvelopeAddress) -> Self {
        Self { address, notify: Notify::Unsaid, orcpt: None }
    }
}

impl Notify {
    /// Whether the sender hears of a failure.
    pub fn failure(self) -> bool {
        matches!(self, Self::Unsaid | Self::On { failure: true, .. })
    }

    /// Whether the sender hears of a delay.
    pub fn delay(self) -> bool {
        matches!(self, Self::Unsaid | Self::On { delay: true, .. })
    }

    /// Whether the sender hears of success.
    pub fn success(self) -> bool {
        matches!(self, Self::On { success: true, .. })
    }
}

impl fmt::Display for Notify {
    /// As it stands behind `NOTIFY=`; empty where nothing was said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::On { success, failure, delay } = self else {
            return f.write_str(if *self == Self::Never { "NEVER" } else { "" });
        };
        let words = [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")];
        let said: Vec<&str> =
            words.iter().filter(|(said, _)| **said).map(|(_, word)| *word).collect();
        f.write_str(if said.is_empty() { "NEVER" } else { "" })?;
        f.write_str(&said.join(","))
    }
}

impl Envid {
    /// Checks a decoded envelope id.
    ///
    /// # Errors
    /// A clause that says what is wrong with it.
    pub fn new(envid: &str) -> Result<Self, String> {
        let fits = (1..=MOST_ENVID).contains(&envid.len());
        if !fits || !envid.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err("an ENVID has 1 to 100 printable ASCII characters".into());
        }
        Ok(Self(envid.to_owned()))
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Orcpt {
    /// Checks a decoded original recipient.
    ///
    /// # Errors
    /// A clause that says what is wrong with it.
    pub fn new(orcpt: &str) -> Result<Self, String> {
        let atom = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let sound = orcpt.len() <= MOST_ORCPT
            && orcpt.split_once(';').is_some_and(|(kind, address)| {
                let printable = |c: char| matches!(c, ' '..='~') || is_outside_ascii(c);
                !kind.is_empty() && kind.chars().all(atom) && address.chars().all(printable)
            });
        if !sound {
            return Err("an ORCPT is a type, a semicolon and an address".into());
        }
        Ok(Self(orcpt.to_owned()))
    }

    /// The type, the semicolon and the address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// xtext (RFC 3461 section 4): all but printable ASCII without `+` and `=` as `+XX`.
pub fn xtext(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~' if byte != b'+' && byte != b'=' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("+{byte:02X}")),
        }
    }
    encoded
}

macro_rules! is_text {
    ($kind:ident) => {
        impl TryFrom<String> for $kind {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                Self::new(&text)
            }
        }
        impl From<$kind> for String {
            fn from(text: $kind) -> Self {
                text.0
            }
        }
        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

is_text!(EnvelopeAddress);
is_text!(Envid);
is_text!(Orcpt);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{EnvelopeAddress, Envid, Notify, Orcpt, xtext};

    #[test]
    fn addresses_that_may_stand_in_a_command() {
        for good in [
            "anna@example.com",
            "a.b+c@sub.example.com",
            "\"a b\"@example.com",
            "\"a\\\"<x>\"@example.com",
            "x@[192.0.2.1]",
            "x@[IPv6:2001:db8::1]",
            "jürgen@müller.example",
            "a..b@example.com",
        ] {
            assert_eq!(EnvelopeAddress::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn nothing_breaks_out_of_a_command() {
        let long = format!("{}@example.com", "x".repeat(65));
        for bad in [
            "",
            "anna",
            "@example.com",
            "anna@",
            "a b@example.com",
            "a@b c",
            "a@example.com>\r\nDATA",
            "a\r\n@example.com",
            "\"a\r\"@example.com",
            "\"a\"b\"@example.com",
            "\"a\\\"@example.com",
            "a>@example.com",
            "a@exa\u{2028}mple.com",
            "a@.example.com",
            "a@[]",
            &long,
        ] {
            EnvelopeAddress::new(bad).unwrap_err();
        }
        assert!(serde_json::from_str::<EnvelopeAddress>("\"a@b\\r\\n\"").is_err());
        Envid::new("a\r\nb").unwrap_err();
        Orcpt::new("rfc822;a\nb").unwrap_err();
        Orcpt::new("anna@example.com").unwrap_err();
    }

    #[test]
    fn parameters_are_written_as_they_are_read() {
        assert_eq!(xtext("a+b=c d"), "a+2Bb+3Dc+20d");
        let on = Notify::On { success: true, failure: false, delay: true };
        assert_eq!(on.to_string(), "SUCCESS,DELAY");
        assert_eq!(Notify::Never.to_string(), "NEVER");
        assert_eq!(Notify::Unsaid.to_string(), "");
    }
}

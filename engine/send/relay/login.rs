//! Logging in to a relay (RFC 4954): PLAIN or LOGIN with a password, XOAUTH2 with a token.
//!
//! Which mechanisms there are and which are offered is lettre's. What is sent is not: its `Credentials`
//! and `Auth` copy the secret into plain strings and do not wipe them, its LOGIN takes a few wordings of
//! the challenge only, and its XOAUTH2 loses why it was refused. Here every copy is wiped when it is
//! dropped; that both send the same is tested below.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lettre::transport::smtp::authentication::Mechanism;
use secrecy::ExposeSecret;
use secrecy::zeroize::Zeroizing;

use super::connect::{COMMAND, Relay};
use super::refusal::Failure;
use super::reply::Reply;
use crate::config::{Credential, Login};
use crate::error::Retry;

impl Relay {
    /// Logs in; the secret is read anew each time.
    ///
    /// # Errors
    /// A secret that cannot be read, or a server that refuses it.
    pub(super) async fn log_in(&mut self, login: &Login, folder: &Path) -> Result<(), Failure> {
        let (Credential::Password(source) | Credential::Token(source)) = &login.credential;
        let secret = source.read(folder).await.map_err(|error| match error.retry() {
            Retry::Never => Failure::of_account(error.to_string()),
            Retry::Later => Failure::lost(error.to_string()),
        })?;
        let (user, secret) = (login.user.as_str(), secret.expose_secret());
        if user.contains(['\0', '\u{1}']) || secret.contains(['\0', '\u{1}']) {
            return Err(Failure::of_account("user, password or token holds a NUL or SOH"));
        }
        let answer = match &login.credential {
            Credential::Token(_) => self.xoauth2(user, secret).await?,
            Credential::Password(_) if self.able.takes(Mechanism::Plain) => {
                self.plain(user, secret).await?
            }
            Credential::Password(_) if self.able.takes(Mechanism::Login) => {
                self.login(user, secret).await?
            }
            Credential::Password(_) => {
                let offered = self.able.auth.join(" ");
                let why = format!("the server takes no password: it offers [{offered}]");
                return Err(Failure::of_account(why).next("use a token (oauth2)"));
            }
        };
        if answer.code == 235 {
            return Ok(());
        }
        let failure = Failure::at_login(&answer);
        Err(Failure { said: without(failure.said, user, secret), ..failure })
    }

    async fn plain(&mut self, user: &str, password: &str) -> Result<Reply, Failure> {
        let blob = plain_words(user, password);
        let line = Zeroizing::new(format!("AUTH {} {}", Mechanism::Plain, *blob));
        let answer = self.wire.ask(&line, COMMAND).await?;
        // A server that does not take the words with the command asks for them.
        if answer.code == 334 { self.wire.ask(&blob, COMMAND).await } else { Ok(answer) }
    }

    async fn login(&mut self, user: &str, password: &str) -> Result<Reply, Failure> {
        let mut answer = self.wire.ask(&format!("AUTH {}", Mechanism::Login), COMMAND).await?;
        for words in [user, password] {
            if answer.code != 334 {
                return Ok(answer);
            }
            answer = self.wire.ask(&blob(words), COMMAND).await?;
        }
        Ok(answer)
    }

    /// A refusal comes as a challenge with the cause as JSON; an empty answer leads to its code.
    async fn xoauth2(&mut self, user: &str, token: &str) -> Result<Reply, Failure> {
        let blob = xoauth2_words(user, token);
        let line = Zeroizing::new(format!("AUTH {} {}", Mechanism::Xoauth2, *blob));
        let answer = self.wire.ask(&line, COMMAND).await?;
        if answer.code != 334 {
            return Ok(answer);
        }
        let cause = STANDARD.decode(answer.lines.join("").trim()).unwrap_or_default();
        let mut refused = self.wire.ask("", COMMAND).await?;
        if !cause.is_empty() {
            refused.lines.push(String::from_utf8_lossy(&cause).into_owned());
        }
        Ok(refused)
    }
}

fn plain_words(user: &str, password: &str) -> Zeroizing<String> {
    blob(&Zeroizing::new(format!("\0{user}\0{password}")))
}

fn xoauth2_words(user: &str, token: &str) -> Zeroizing<String> {
    blob(&Zeroizing::new(format!("user={user}\u{1}auth=Bearer {token}\u{1}\u{1}")))
}

fn blob(words: &str) -> Zeroizing<String> {
    Zeroizing::new(STANDARD.encode(words))
}

/// What a server said, should it repeat what it was sent.
fn without(said: String, user: &str, secret: &str) -> String {
    let forms = [
        plain_words(user, secret),
        xoauth2_words(user, secret),
        blob(secret),
        Zeroizing::new(secret.to_owned()),
    ];
    forms.iter().fold(said, |said, form| said.replace(form.as_str(), "[secret]"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use lettre::transport::smtp::authentication::{Credentials, Mechanism};

    use super::{blob, plain_words, xoauth2_words};

    #[test]
    fn what_is_sent_is_what_lettre_sends() {
        let credentials = Credentials::new("anna".into(), "geh=eim \u{fc}".into());
        let theirs = |mechanism: Mechanism, challenge| {
            blob(&mechanism.response(&credentials, challenge).unwrap())
        };
        let (user, secret) = ("anna", "geh=eim \u{fc}");
        assert_eq!(plain_words(user, secret), theirs(Mechanism::Plain, None));
        assert_eq!(xoauth2_words(user, secret), theirs(Mechanism::Xoauth2, None));
        assert_eq!(blob(user), theirs(Mechanism::Login, Some("Username:")));
        assert_eq!(blob(secret), theirs(Mechanism::Login, Some("Password:")));
    }
}

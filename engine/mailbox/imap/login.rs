//! Logging in with a password, and what the server can do before and after.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

use crate::error::{Error, Result};

use super::command::Command;
use super::name;
use super::response::{Code, Reply};
use super::session::{Answer, LOG_IN, Session};

impl Session {
    /// AUTHENTICATE PLAIN where it is announced, else LOGIN unless the server forbids it.
    pub(super) async fn log_in(&mut self, user: &str, secret: &SecretString) -> Result<()> {
        let password = secret.expose_secret();
        if user.contains('\0') || password.contains('\0') {
            let why = "a user name or password cannot hold a NUL character";
            return Err(Error::permanent(self.at(LOG_IN), why));
        }
        if self.capabilities.is_empty() {
            self.learn_capabilities().await?;
        }
        let blob = Zeroizing::new(STANDARD.encode(format!("\0{user}\0{password}")));
        self.secrets = secrets(password, &blob);
        let answered = if self.has("AUTH=PLAIN") {
            self.run(LOG_IN, self.authenticate(&blob)).await
        } else if self.has("LOGINDISABLED") {
            let why = "the server takes no password here (LOGINDISABLED, no AUTH=PLAIN)";
            Err(Error::permanent(self.at(LOG_IN), why))
        } else {
            let login = Command::new("LOGIN").string(user.as_bytes());
            self.run(LOG_IN, login.string(password.as_bytes())).await
        };
        let learned = match answered {
            Ok(answer) => self.learn_new_capabilities(&answer).await,
            Err(error) => Err(error),
        };
        // Not before the answer after the login: a server may repeat there what it was sent.
        self.secrets.clear();
        learned
    }

    /// With SASL-IR (RFC 4959) the password goes with the command, else after the server's go-ahead.
    fn authenticate(&self, blob: &Zeroizing<String>) -> Command<'static> {
        let command = Command::new("AUTHENTICATE PLAIN");
        match self.has("SASL-IR") {
            true => command.words(blob),
            false => command.response(Zeroizing::new(blob.as_bytes().to_vec())),
        }
    }

    /// Servers announce more after the login (Exchange: MOVE), and what they announced before may
    /// come from somebody in between. Many do so with the answer to the login.
    async fn learn_new_capabilities(&mut self, answer: &Answer) -> Result<()> {
        let told = answer.codes().find_map(|code| match code {
            Code::Capabilities(told) if !told.is_empty() => Some(told.clone()),
            _ => None,
        });
        match told {
            Some(told) => {
                self.capabilities = told;
                Ok(())
            }
            None => self.learn_capabilities().await,
        }
    }

    async fn learn_capabilities(&mut self) -> Result<()> {
        self.capabilities.clear();
        let what = "ask for the server's capabilities";
        let answer = self.run(what, Command::new("CAPABILITY")).await?;
        for reply in answer.replies {
            if let Reply::Capabilities(told) = reply {
                self.capabilities.extend(told);
            }
        }
        if self.capabilities.is_empty() {
            return Err(Error::temporary(self.at(what), "the server said OK but told none"));
        }
        Ok(())
    }
}

/// The password in every form in which it goes over the wire.
fn secrets(password: &str, blob: &Zeroizing<String>) -> Vec<Zeroizing<String>> {
    let mut secrets = vec![blob.clone(), Zeroizing::new(password.to_owned())];
    if let Some(quoted) = name::quoted(password.as_bytes()) {
        let inner = String::from_utf8_lossy(&quoted[1..quoted.len() - 1]).into_owned();
        secrets.push(Zeroizing::new(inner));
    }
    // A longer form may hold a shorter one.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets
}

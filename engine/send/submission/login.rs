//! Who may log in: the user's hash is read anew each time, and the password tried against it off the
//! network threads, a few at once.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::throttle::Throttle;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::send::dialogue::{Login, Reply};
use crate::send::password;

/// Passwords that are tried at once: each takes 19 MiB and all of a core.
const AT_ONCE: usize = 2;

/// The door.
#[derive(Debug)]
pub(super) struct Door {
    throttle: Throttle,
    turns: Arc<Semaphore>,
}

/// An attempt that failed.
pub(super) struct Failed {
    /// What the client is told: the same whether the name or the password is wrong.
    pub(super) reply: Reply,
    /// What is wrong here rather than with the client.
    pub(super) cause: Option<Error>,
}

impl Door {
    pub(super) fn new() -> Self {
        Self { throttle: Throttle::default(), turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Lets a user in, and gives the name.
    pub(super) async fn open(
        &self,
        config: &Config,
        client: IpAddr,
        login: Login,
    ) -> Result<String, Failed> {
        let Some(delay) = self.throttle.delay(client, &login.user) else {
            let reply = Reply::new(421, "4.7.0", "too many failed logins: try again later");
            return Err(Failed { reply, cause: None });
        };
        tokio::time::sleep(delay).await;
        let user = login.user.clone();
        match self.check(config, login).await {
            Ok(true) => {
                self.throttle.succeeded(client, &user);
                Ok(user)
            }
            Ok(false) => {
                self.throttle.failed(client, &user);
                let reply = Reply::new(535, "5.7.8", "the name or the password is wrong");
                Err(Failed { reply, cause: None })
            }
            Err(error) => {
                let reply = Reply::new(454, "4.7.0", "nobody can log in now: try again later");
                Err(Failed { reply, cause: Some(error) })
            }
        }
    }

    async fn check(&self, config: &Config, login: Login) -> Result<bool> {
        let source = config.users.get(&login.user).and_then(|user| user.password.as_ref());
        let hash = match source {
            Some(source) => Some(source.read(&config.folder).await?),
            None => None,
        };
        let what = || format!("log {} in", login.user.escape_debug());
        let turn = self.turns.clone().acquire_owned().await;
        let turn = turn.map_err(|why| Error::temporary(what(), why))?;
        let password = login.password;
        let tried = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            match hash {
                Some(hash) => password::verify(&hash, &password),
                None => {
                    password::verify_nothing(&password);
                    Ok(false)
                }
            }
        });
        tried.await.map_err(|why| Error::temporary("check a password", why))?
    }
}

//! Greeting, protection, login: what comes before mail.

use super::auth::{Exchange, Step};
use super::reply::write_lines;
use super::{Clear, Dialogue, Event, Hello, MOST_FAILED, Reply, State, Tls};

impl Dialogue {
    pub(super) fn greet(&mut self, hello: Hello) -> Option<Event> {
        let extended = hello.extended;
        self.hello = Some(hello);
        self.mail = None;
        if !extended {
            // The one reply without an enhanced code besides that of EHLO (RFC 2034 section 4).
            let host = self.terms.host.clone();
            self.say(&Reply::new(250, "", host));
            return None;
        }
        let mut lines = vec![
            self.terms.host.clone(),
            "PIPELINING".into(),
            format!("SIZE {}", self.terms.max_size),
            "8BITMIME".into(),
            "SMTPUTF8".into(),
            "DSN".into(),
        ];
        if self.terms.tls == Tls::Offered {
            lines.push("STARTTLS".into());
        }
        if self.may_log_in() && self.user.is_none() {
            lines.push("AUTH PLAIN LOGIN".into());
        }
        lines.push("ENHANCEDSTATUSCODES".into());
        write_lines(250, &lines, &mut self.out);
        None
    }

    /// Whatever a client, or somebody between, sent behind STARTTLS would be taken for what came
    /// under TLS: the connection ends (CVE-2011-0411).
    pub(super) fn start_tls(&mut self, input: &mut &[u8]) -> Option<Event> {
        match self.terms.tls {
            Tls::Active => self.refuse(&Reply::new(503, "5.5.1", "TLS is active already")),
            Tls::None => self.refuse(&Reply::new(502, "5.5.1", "there is no certificate for TLS")),
            Tls::Offered if !input.is_empty() => {
                *input = &[];
                self.end(&Reply::new(503, "5.5.1", "nothing may be sent behind STARTTLS"));
            }
            Tls::Offered => {
                self.say(&Reply::new(220, "2.0.0", "begin TLS"));
                self.state = State::Asked;
                return Some(Event::StartTls);
            }
        }
        None
    }

    pub(super) fn may_log_in(&self) -> bool {
        self.terms.tls == Tls::Active || self.terms.clear == Clear::Allowed
    }

    pub(super) fn begin_login(&mut self, exchange: Exchange, initial: &str) -> Option<Event> {
        let why = if self.hello.is_none() {
            Some(Reply::new(503, "5.5.1", "say EHLO first"))
        } else if self.user.is_some() {
            Some(Reply::new(503, "5.5.1", "you are logged in already"))
        } else if self.mail.is_some() {
            Some(Reply::new(503, "5.5.1", "not within a message"))
        } else if !self.may_log_in() {
            Some(Reply::new(538, "5.7.11", "a password needs TLS: say STARTTLS first"))
        } else {
            None
        };
        if let Some(reply) = why {
            self.refuse(&reply);
            return None;
        }
        self.login_step(exchange.begin(initial))
    }

    pub(super) fn go_on_login(&mut self, line: &[u8]) -> Option<Event> {
        let State::Login(exchange) = std::mem::replace(&mut self.state, State::Commands) else {
            return None;
        };
        let line = std::str::from_utf8(line).unwrap_or("not base64");
        self.login_step(exchange.go_on(line.trim_end_matches("\r\n")))
    }

    fn login_step(&mut self, step: Step) -> Option<Event> {
        match step {
            Step::Ask(exchange, ask) => {
                self.state = State::Login(exchange);
                self.say(&Reply::new(334, "", ask));
                None
            }
            Step::Complete(login) => {
                self.state = State::Asked;
                Some(Event::Login(login))
            }
            Step::Refused(reply) => {
                self.refuse(&reply);
                None
            }
        }
    }

    /// Answers [`Event::Login`]: who is logged in now, or why nobody is.
    pub fn logged_in(&mut self, user: Result<String, Reply>) {
        self.state = State::Commands;
        match user {
            Ok(user) => {
                self.user = Some(user);
                self.say(&Reply::new(235, "2.7.0", "logged in"));
            }
            Err(reply) if reply.code == 421 => self.end(&reply),
            Err(reply) => {
                self.refuse(&reply);
                self.failed += 1;
                if self.failed >= MOST_FAILED {
                    self.end(&Reply::new(421, "4.7.0", "too many failed logins"));
                }
            }
        }
    }
}

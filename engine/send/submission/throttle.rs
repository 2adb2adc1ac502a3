//! Failed logins, counted by client and by user: each makes the next answer slower, and many end the
//! trying for a while.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a failure counts.
const WINDOW: Duration = Duration::from_secs(10 * 60);
/// Failures of one client within the window after which it is refused unheard.
const MOST_OF_CLIENT: u32 = 20;
/// Failures of one user's name, by whichever clients.
const MOST_OF_USER: u32 = 100;
/// The delay after the first failure; each further one doubles it.
const FIRST: Duration = Duration::from_millis(250);
/// The longest delay.
const LONGEST: Duration = Duration::from_secs(4);
/// Clients and users that are remembered.
const MOST_REMEMBERED: usize = 20_000;

/// Failed logins of the last while.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    failures: Mutex<HashMap<Who, Failures>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    /// A client, an IPv6 one by its /64.
    Client(IpAddr),
    User(String),
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Throttle {
    /// How long to wait before the answer to this attempt; `None` refuses it unheard.
    pub(super) fn delay(&self, client: IpAddr, user: &str) -> Option<Duration> {
        let failures = self.failures();
        let count = |who: &Who| {
            failures.get(who).filter(|f| f.last.elapsed() < WINDOW).map_or(0, |f| f.count)
        };
        let of_client = count(&of_client(client));
        let of_user = count(&Who::User(user.to_owned()));
        // Everybody on this machine is one client.
        if (of_client >= MOST_OF_CLIENT && !client.to_canonical().is_loopback())
            || of_user >= MOST_OF_USER
        {
            return None;
        }
        Some(delay(of_client.max(of_user)))
    }

    /// An attempt failed.
    pub(super) fn failed(&self, client: IpAddr, user: &str) {
        let mut failures = self.failures();
        if failures.len() >= MOST_REMEMBERED {
            failures.retain(|_, failures| failures.last.elapsed() < WINDOW);
        }
        if failures.len() >= MOST_REMEMBERED {
            failures.clear();
        }
        for who in [of_client(client), Who::User(user.to_owned())] {
            let now = Instant::now();
            let entry = failures.entry(who).or_insert(Failures { count: 0, last: now });
            if entry.last.elapsed() >= WINDOW {
                entry.count = 0;
            }
            *entry = Failures { count: entry.count.saturating_add(1), last: now };
        }
    }

    /// An attempt was right: what this client and this user failed before is forgotten.
    pub(super) fn succeeded(&self, client: IpAddr, user: &str) {
        let mut failures = self.failures();
        failures.remove(&of_client(client));
        failures.remove(&Who::User(user.to_owned()));
    }

    fn failures(&self) -> MutexGuard<'_, HashMap<Who, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of_client(client: IpAddr) -> Who {
    Who::Client(match client.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        ip @ IpAddr::V4(_) => ip,
    })
}

fn delay(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        failures => FIRST.saturating_mul(1 << (failures - 1).min(10)).min(LONGEST),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::{MOST_OF_CLIENT, MOST_OF_USER, Throttle};

    #[test]
    fn each_failure_makes_the_next_answer_slower_until_none_is_heard() {
        let throttle = Throttle::default();
        let one = "192.0.2.1".parse().unwrap();
        assert_eq!(throttle.delay(one, "anna"), Some(Duration::ZERO));
        throttle.failed(one, "anna");
        assert_eq!(throttle.delay(one, "bert"), Some(Duration::from_millis(250)));
        throttle.failed(one, "bert");
        assert_eq!(throttle.delay(one, "anna"), Some(Duration::from_millis(500)));
        for _ in 0..MOST_OF_CLIENT {
            throttle.failed(one, "anna");
        }
        assert_eq!(throttle.delay(one, "carl"), None);
        let other = "192.0.2.2".parse().unwrap();
        assert_eq!(throttle.delay(other, "anna"), Some(Duration::from_secs(4)));
        throttle.succeeded(other, "anna");
        assert_eq!(throttle.delay(other, "anna"), Some(Duration::ZERO));
    }

    #[test]
    fn a_name_is_guessed_at_so_often_from_wherever() {
        let throttle = Throttle::default();
        for last in 0..MOST_OF_USER {
            let ip = format!("2001:db8:{last:x}::1").parse().unwrap();
            throttle.failed(ip, "anna");
        }
        assert_eq!(throttle.delay("192.0.2.9".parse().unwrap(), "anna"), None);
        let local = "127.0.0.1".parse().unwrap();
        for _ in 0..3 * MOST_OF_CLIENT {
            throttle.failed(local, "bert");
        }
        assert_eq!(throttle.delay(local, "carl"), Some(Duration::from_secs(4)));
    }
}

//! How many connections there are, in all and of each client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts connections. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Gate {
    inside: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A connection that was let in; it counts until it is dropped.
#[derive(Debug)]
pub(super) struct Pass {
    gate: Gate,
    client: IpAddr,
}

impl Gate {
    /// Lets a connection in, unless there are as many as may be.
    pub(super) fn enter(&self, client: IpAddr, most: usize, most_of_client: usize) -> Option<Pass> {
        let mut inside = self.inside();
        let all: usize = inside.values().sum();
        let own = inside.get(&client).copied().unwrap_or(0);
        if all >= most || own >= most_of_client {
            return None;
        }
        inside.insert(client, own + 1);
        Some(Pass { gate: self.clone(), client })
    }

    fn inside(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inside = self.gate.inside();
        match inside.get_mut(&self.client) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                inside.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::Gate;

    #[test]
    fn who_leaves_makes_room() {
        let (gate, one, other) = (Gate::default(), "::1".parse().unwrap(), "::2".parse().unwrap());
        let first = gate.enter(one, 3, 2).unwrap();
        let _second = gate.enter(one, 3, 2).unwrap();
        assert!(gate.enter(one, 3, 2).is_none(), "of one client");
        let _third = gate.enter(other, 3, 2).unwrap();
        assert!(gate.enter(other, 3, 2).is_none(), "of all");
        drop(first);
        gate.enter(one, 3, 2).unwrap();
    }
}

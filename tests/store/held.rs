//! What a person says of held messages never writes over what was decided meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};

use mailmill::clock::Clock;
use mailmill::control::{Desk, Request};

use super::{Hold, MessageRecord, State, ids, opened, with_state, write};

fn held(id: u64) -> MessageRecord {
    let hold = Hold { reason: "why".into(), since_ms: 1, attempts: 0, retry_at_ms: None };
    MessageRecord { hold: Some(hold), ..with_state(id, State::Held) }
}

#[test]
fn only_what_is_still_held_is_changed() {
    let (_folder, store) = opened();
    let settled = with_state(2, State::Settled);
    store.commit(&[write(held(1)), write(settled.clone()), write(held(3))]).unwrap();
    let release = |record: &mut MessageRecord| record.state = State::Released;
    assert_eq!(store.change_held(&[3, 2, 1, 9, 3], release).unwrap(), [1, 3]);
    assert_eq!(store.record(2).unwrap(), Some(settled));
    assert_eq!(store.record(1).unwrap().unwrap().state, State::Released);
    assert_eq!(store.held().unwrap(), [], "the index follows");
    assert_eq!(store.change_held(&[1, 2, 3], release).unwrap(), [0; 0]);
}

#[test]
fn a_retry_never_undoes_what_the_account_settled_meanwhile() {
    let (_folder, store) = opened();
    // Many that stay held, so that there is time between reading and writing them.
    let (settled, stay) = (40, 500);
    let changes: Vec<_> = (1..=settled + stay).map(|id| write(held(id))).collect();
    store.commit(&changes).unwrap();
    let desk = Desk::new(store.clone(), None, Clock::System);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                desk.answer(&Request::HeldRetry { ids: Vec::new() }).unwrap();
            }
        });
        for id in 1..=settled {
            store.commit(&[write(with_state(id, State::Settled))]).unwrap();
        }
        done.store(true, Ordering::Release);
    });
    let held: Vec<u64> = (settled + 1..=settled + stay).collect();
    assert_eq!(ids(&store.held().unwrap()), held);
}

#[test]
fn a_wrong_id_changes_nothing() {
    let (_folder, store) = opened();
    store.commit(&[write(held(1))]).unwrap();
    let desk = Desk::new(store.clone(), None, Clock::System);
    let error = desk.answer(&Request::HeldRelease { ids: vec![1, 2] }).unwrap_err();
    assert!(error.to_string().starts_with("find held message 2: it is not held"), "{error}");
    assert_eq!(ids(&store.held().unwrap()), [1]);
}

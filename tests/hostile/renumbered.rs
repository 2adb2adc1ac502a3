//! UIDVALIDITY changes: between two sessions, between two commands of one, and in a batch that is
//! under way. No UID of before may name a message of after.

use super::{EVERYTHING, SETTLED, message, office, settles, summary};
use crate::support::fake_server::{Effect, Sent, USERS};

/// After each command of a run all messages get other UIDs, so that those of before name others.
#[test]
fn a_mailbox_renumbered_after_any_command_is_looked_through_anew() {
    for capabilities in [EVERYTHING, "UIDPLUS"] {
        let mut nth = 1;
        loop {
            let (server, office) = office(capabilities);
            server.fault("", Effect::Done, (nth, 1), |_, right| Sent { bytes: right, ends: false });
            // The server renumbers when it has done what is struck, and tells by an untagged OK.
            server.renumber_when_struck(USERS[0], "INBOX");
            let _ = office.look();
            if server.struck() == 0 {
                break;
            }
            settles(&format!("renumbered at command {nth}"), &server, &office);
            nth += 1;
        }
        assert!(nth > 20, "{nth}");
    }
}

#[test]
fn a_mailbox_renumbered_between_sessions_is_not_sorted_twice() {
    let (server, office) = office(EVERYTHING);
    office.look().unwrap();
    server.world(|world| world.mailbox(USERS[0], "INBOX").unwrap().renumber());
    office.look().unwrap();
    assert_eq!(summary(&server), SETTLED);
    server.world(|world| world.deliver(USERS[0], &message("move 1")));
    server.world(|world| world.mailbox(USERS[0], "INBOX").unwrap().renumber());
    office.look().unwrap();
    assert_eq!(server.subjects(USERS[0], "INBOX"), ["copy 2"], "the new one is sorted");
}

/// A plan was made and the connection lost; then the mailbox is renumbered, so that its UIDs name
/// other messages.
#[test]
fn a_plan_of_an_earlier_uidvalidity_is_void() {
    for (command, effect) in
        [("UID STORE", Effect::None), ("UID COPY", Effect::Done), ("UID MOVE", Effect::Done)]
    {
        let (server, office) = office(EVERYTHING);
        server.fault(command, effect, (0, 1), |_, _| Sent { bytes: Vec::new(), ends: true });
        office.look().unwrap_err();
        server.world(|world| world.mailbox(USERS[0], "INBOX").unwrap().renumber());
        settles(command, &server, &office);
    }
}

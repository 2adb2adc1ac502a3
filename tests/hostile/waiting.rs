//! A running engine whose server fails while it waits for news: it comes back by itself.

use super::commands::{WAYS, Way};
use super::{EVERYTHING, RULES, config, message};
use crate::support::fake_server::{Effect, FakeServer, PASSWORD, USERS};
use crate::support::office::Office;

/// The engine waits by `command`; then its answer fails, and mail goes on.
fn comes_back(capabilities: &str, command: &'static str, way: Way) {
    let server = FakeServer::start(capabilities);
    let config = config(server.port).replacen("inbound", "poll = \"200ms\"\ninbound", 1);
    let office = Office::new(&config, RULES, PASSWORD);
    let started = office.start();
    server.wait_until("the first wait", |_, heard| heard.iter().any(|said| said == command));
    server.fault(command, Effect::None, (0, 1), move |tag, right| way.answer(tag, &right));
    server.wait_until_struck(1);
    server.world(|world| world.deliver(USERS[0], &message("move 1")));
    server.wait_until("the next sorting", |world, _| world.subjects(USERS[0], "Done").len() == 1);
    started.stop();
    let told = office.told();
    assert!(told.contains("\"event\":\"lost\"") && !told.contains("fault of mailmill"), "{told}");
    assert!(server.subjects(USERS[0], "INBOX").is_empty());
}

#[test]
fn a_wait_that_fails_in_any_way_ends_no_account() {
    std::thread::scope(|scope| {
        for way in WAYS {
            for (capabilities, command) in [(EVERYTHING, "IDLE"), ("UIDPLUS MOVE", "NOOP")] {
                scope.spawn(move || comes_back(capabilities, command, way));
            }
        }
    });
}

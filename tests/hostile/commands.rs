//! Each command that the engine sends is refused, cut off and lied to in every way.

use super::{EVERYTHING, office, say, settles};
use crate::support::fake_server::{Effect, Sent};

/// Every command of a run, as it begins.
const COMMANDS: [&str; 14] = [
    "GREETING",
    "CAPABILITY",
    "LOGIN",
    "LIST",
    "SELECT",
    "UID SEARCH",
    "UID FETCH 1:5 (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER])",
    "UID FETCH 4 (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])",
    "UID STORE",
    "UID COPY",
    "UID MOVE",
    "APPEND",
    "CREATE",
    "LOGOUT",
];

/// The commands that a server without MOVE gets in its place.
const WITHOUT_MOVE: [&str; 3] = ["UID COPY 1,3:5", "UID STORE 1,3:5 +FLAGS.SILENT", "UID EXPUNGE"];

/// How an answer fails.
#[derive(Debug, Clone, Copy)]
pub enum Way {
    No,
    Bad,
    Bye,
    End,
    /// Half of the right answer, then the end.
    Half,
    /// An answer to a command that was not sent.
    Foreign,
}

pub const WAYS: [Way; 6] = [Way::No, Way::Bad, Way::Bye, Way::End, Way::Half, Way::Foreign];

impl Way {
    pub fn answer(self, tag: &str, right: &[u8]) -> Sent {
        let ends = |bytes: &[u8]| Sent { bytes: bytes.to_vec(), ends: true };
        match self {
            Self::No => say(format!("{tag} NO not today\r\n")),
            Self::Bad => say(format!("{tag} BAD what is that\r\n")),
            Self::Bye => ends(b"* BYE closing time\r\n"),
            Self::End => ends(b""),
            Self::Half => ends(&right[..right.len() / 2]),
            Self::Foreign => say("x1 OK done\r\n".to_owned()),
        }
    }
}

/// One fault in one command, before or after its work is done; then runs without it.
#[track_caller]
fn strike(capabilities: &str, command: &str, way: Way, effect: Effect, after: usize) -> bool {
    let case = format!("{capabilities}: {command} #{after} {way:?} {effect:?}");
    let (server, office) = office(capabilities);
    server.fault(command, effect, (after, 1), move |tag, right| way.answer(tag, &right));
    let looked = office.look();
    let struck = server.struck() > 0;
    if let Err(error) = &looked {
        let told = error.to_string();
        assert!(told.contains("example.test at 127.0.0.1:"), "{case}: {told}");
    }
    settles(&case, &server, &office);
    struck
}

#[test]
fn every_command_may_fail_in_every_way() {
    for command in COMMANDS {
        for way in WAYS {
            for effect in [Effect::None, Effect::Done] {
                assert!(strike(EVERYTHING, command, way, effect, 0), "{command} is not sent");
            }
        }
    }
}

#[test]
fn every_command_of_a_server_without_move_may_fail_in_every_way() {
    for command in WITHOUT_MOVE {
        for way in WAYS {
            for effect in [Effect::None, Effect::Done] {
                assert!(strike("UIDPLUS", command, way, effect, 0), "{command} is not sent");
            }
        }
    }
}

/// The nth command of a run, whatever it is, is done and its answer lost.
#[test]
fn the_answer_to_any_command_may_be_lost() {
    for capabilities in [EVERYTHING, "UIDPLUS", "MOVE"] {
        let mut nth = 0;
        while strike(capabilities, "", Way::End, Effect::Done, nth) {
            nth += 1;
        }
        assert!(nth > 20, "a run has only {nth} commands");
    }
}

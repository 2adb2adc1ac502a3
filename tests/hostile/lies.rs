//! Servers that say what is not so, and what nobody asked for.

use super::{EVERYTHING, SETTLED, office, say, settles, summary};
use crate::support::fake_server::{Effect, Sent, USERS};

const CHATTER: &str = "* 99 EXISTS\r\n* 5 EXISTS\r\n* 1 EXPUNGE\r\n* 6 EXISTS\r\n\
    * 2 FETCH (FLAGS (\\Seen))\r\n* 2 FETCH (UID 99 FLAGS (\\Draft))\r\n* OK [ALERT]\u{e9}t\u{e9}\r\n\
    * OK [UIDNEXT 50] x\r\n* VANISHED 7:8\r\n* FLAGS (\\Seen)\r\n* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n\
    * ESEARCH (TAG \"x\") UID ALL 4:19\r\n* X-WHAT {3}\r\na\r\n (((\r\n* NO slow today\r\n\
    * STATUS INBOX (SIZE 5 DELETED 1)\r\n* CAPABILITY IMAP4rev1\r\n* OK [COPYUID 9 900 901] x\r\n\
    * OK [APPENDUID 9 900] x\r\n* 7 FETCH (UID 900 BODY[] {4}\r\nhey!)\r\n* LIST () \"/\" Chatter\r\n\
    * 5 EXISTS\r\n";

/// Unasked data before and after the right answer of each command of a run.
#[test]
fn unasked_data_in_every_gap_changes_nothing() {
    let mut nth = 1;
    loop {
        let (server, office) = office(EVERYTHING);
        server.fault("", Effect::Done, (nth, 1), |tag, right| {
            let at = right.windows(tag.len()).rposition(|part| part == tag.as_bytes()).unwrap();
            let mut bytes = CHATTER.as_bytes().to_vec();
            bytes.extend_from_slice(&right[..at]);
            bytes.extend_from_slice(CHATTER.as_bytes());
            bytes.extend_from_slice(&right[at..]);
            Sent { bytes, ends: false }
        });
        office.look().unwrap();
        if server.struck() == 0 {
            break;
        }
        settles(&format!("chatter in command {nth}"), &server, &office);
        nth += 1;
    }
    assert!(nth > 20, "{nth}");
}

/// Puts another code in the place of the right COPYUID.
fn lying(code: &'static str) -> impl Fn(&str, Vec<u8>) -> Sent {
    move |tag, right| {
        let right = String::from_utf8(right).unwrap();
        assert!(right.contains("[COPYUID"), "{right}");
        say(format!("{tag} OK {code} done\r\n"))
    }
}

/// What does not fit what was asked is no news of where messages are, nor of that they are gone.
#[test]
fn a_copyuid_that_lies_loses_and_doubles_nothing() {
    for code in [
        "[COPYUID 0 1,3:5 1:4]",
        "[COPYUID 9 1 1]",
        "[COPYUID 9 1:100 1:100]",
        "[COPYUID 9 901,902,903,904 1:4]",
        "[COPYUID 9 1,3:5 901:904]",
        "[COPYUID 9 1,3:5 0,0,0,0]",
        "[COPYUID 9 1,3:5 1]",
        "[COPYUID 9 1:4294967295 1:4294967295]",
        "[COPYUID nonsense]",
        "",
    ] {
        for (capabilities, command) in
            [(EVERYTHING, "UID MOVE"), (EVERYTHING, "UID COPY"), ("UIDPLUS", "UID COPY 1,3:5")]
        {
            let case = format!("{command} {code} {capabilities}");
            let (server, office) = office(capabilities);
            server.fault(command, Effect::Done, (0, 9), lying(code));
            office.look().unwrap();
            assert!(server.struck() > 0, "{case}");
            settles(&case, &server, &office);
            let records = office.store().recent(100).unwrap();
            let told = format!("{records:?}");
            assert!(!told.contains("no longer there"), "{case}: {told}");
        }
    }
}

/// The server says OK and does nothing, or only half of it; it must say so by COPYUID.
#[test]
fn an_ok_to_a_move_that_is_not_made_is_noticed() {
    for code in ["", "[COPYUID 0 1 1]", "[COPYUID 9 900 1]"] {
        let (server, office) = office(EVERYTHING);
        let answer = move |tag: &str, _| say(format!("{tag} OK {code} done\r\n"));
        server.fault("UID MOVE", Effect::None, (0, 1), answer);
        office.look().unwrap();
        assert_eq!(server.subjects(USERS[0], "INBOX").len(), 5, "{code}");
        assert!(office.told().contains("did not come to Done"), "{}", office.told());
        settles(code, &server, &office);
    }
}

/// Without MOVE the originals are removed after the copy: those that were not copied must stay.
#[test]
fn what_was_not_copied_is_not_removed() {
    for code in ["", "[COPYUID 9 900 1]", "[COPYUID 0 1 1]", "[COPYUID 9 1:9 1:9]"] {
        let (server, office) = office("UIDPLUS");
        let answer = move |tag: &str, _| say(format!("{tag} OK {code} done\r\n"));
        server.fault("UID COPY 1,3:5", Effect::None, (0, 1), answer);
        office.look().unwrap();
        assert_eq!(server.subjects(USERS[0], "INBOX").len(), 5, "{code}");
        settles(code, &server, &office);
    }
}

/// A search is answered by ESEARCH, by nothing, by other words and with UIDs that do not exist.
#[test]
fn a_search_without_a_right_answer_is_not_an_empty_mailbox() {
    for answer in [
        "* ESEARCH (TAG \"x\") UID ALL 1:5\r\nTAG OK\r\n",
        "TAG OK done\r\n",
        "* SEARCH 5 1 1 3 2 4 900 0 2\r\nTAG OK\r\n",
        "* SEARCH 1 2\r\n* SEARCH 3\r\n* SEARCH 4 5 (MODSEQ 12)\r\nTAG OK\r\n",
    ] {
        let (server, office) = office(EVERYTHING);
        server.fault("UID SEARCH UID 1:", Effect::Done, (0, 1), |tag, _| {
            say(answer.replace("TAG", tag))
        });
        office.look().unwrap();
        assert_eq!(server.struck(), 1);
        assert_eq!(summary(&server), SETTLED, "{answer}\n{}", office.told());
        settles(answer, &server, &office);
    }
}

/// Dates, sizes and flags that are none; a message that is not given though it is there.
#[test]
fn fetched_nonsense_holds_its_message_and_no_other() {
    for (from, to) in [
        ("INTERNALDATE \"17-Jul-1996 02:44:25 +0000\"", "INTERNALDATE NIL"),
        ("INTERNALDATE \"17-Jul-1996 02:44:25 +0000\"", "INTERNALDATE \"99-Foo-1996\""),
        ("FLAGS ()", "FLAGS (\\Seen \\Recent $x)"),
        ("RFC822.SIZE", "X-GM-LABELS (a \"b)\") UNHEARD ((1) (2)) RFC822.SIZE"),
        ("* 3 FETCH (UID 3", "* 3 FETCH (UID 900"),
        ("* 3 FETCH (UID 3", "* 3 NONSENSE (UID 3"),
        ("* 2 FETCH (UID 2", "* 2 FETCH (FLAGS (\\Flagged))\r\n* 2 FETCH (UID 2"),
    ] {
        let (server, office) = office(EVERYTHING);
        server.fault("UID FETCH", Effect::Done, (0, 1), move |_, right| {
            say(String::from_utf8(right).unwrap().replace(from, to))
        });
        office.look().unwrap();
        assert_eq!(server.struck(), 1);
        settles(to, &server, &office);
    }
}

/// Counts and numbers of a SELECT that are too small, too large, or not there.
#[test]
fn a_select_that_lies_hides_no_mail_for_good() {
    for (from, to) in [
        ("[UIDNEXT 6]", "[UIDNEXT 1]"),
        ("[UIDNEXT 6]", "[UIDNEXT 4294967295]"),
        ("[UIDNEXT 6]", "[UIDNEXT]"),
        ("[UIDNEXT 6]", "[X-NEXT 6]"),
        ("* 5 EXISTS", "* 1 EXISTS"),
        ("* 5 EXISTS", "* 0 EXISTS"),
        ("* 5 EXISTS", "* 4294967295 EXISTS"),
        ("[UIDVALIDITY 71]", "[UIDVALIDITY 0]"),
        ("[UIDVALIDITY 71]", "[X-VALIDITY 71]"),
        ("[PERMANENTFLAGS (", "[PERMANENTFLAGS (\\Weird $x "),
    ] {
        let (server, office) = office(EVERYTHING);
        server.fault("SELECT", Effect::Done, (0, 1), move |_, right| {
            say(String::from_utf8(right).unwrap().replace(from, to))
        });
        let _ = office.look();
        assert_eq!(server.struck(), 1);
        settles(to, &server, &office);
    }
}

//! Several commands under way at once, and servers that answer them in other ways than in order.

use mailmill::error::Result;
use mailmill::mail::Uid;
use mailmill::mailbox::{Alteration, Altered, Mailboxes};

use super::peer::selected;
use super::{name, uids};
use crate::support::fake_imap::{Peer, Said};

/// Three moves at once, to A, B and C.
fn moves() -> Vec<Alteration> {
    let to =
        |(at, target): (u32, &str)| Alteration::Move { uids: uids([at]), target: name(target) };
    [(1, "A"), (2, "B"), (3, "C")].map(to).into()
}

/// What was told of each alteration, and how it all ended.
async fn altered(
    answers: impl Fn(&[Said]) -> String + Send + 'static,
) -> (Vec<Altered>, Result<()>) {
    let (mut mail, fake) = selected("MOVE UIDPLUS", |mut peer: Peer| async move {
        let mut said = Vec::new();
        for _ in 0..3 {
            said.push(peer.next().await.expect("three commands before the first answer"));
        }
        let answers = answers(&said);
        peer.send(&answers).await;
        if !answers.ends_with("\r\n") || answers.contains("BYE") {
            return;
        }
        peer.until_end().await;
    })
    .await;
    let mut told = Vec::new();
    let ended = mail.alter(&moves(), &mut |altered| told.push(altered)).await;
    assert_eq!(mail.broken().is_some(), ended.is_err());
    drop(mail);
    fake.finish().await;
    (told, ended)
}

fn copyuid(at: usize, to: u32) -> String {
    format!("[COPYUID 9 {} {to}]", at + 1)
}

#[tokio::test]
async fn answers_in_any_order_are_each_taken_for_their_own_command() {
    let orders = [[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1]];
    for order in orders {
        let (told, ended) = altered(move |said| {
            let answer = |at: usize| match at {
                1 => format!("{} NO [OVERQUOTA] full\r\n", said[at].tag),
                // MOVE tells where before it is done.
                2 => format!("* OK {} moved\r\n{} OK done\r\n", copyuid(at, 12), said[at].tag),
                _ => format!("{} OK {} done\r\n", said[at].tag, copyuid(at, 10)),
            };
            order.map(answer).concat()
        })
        .await;
        ended.unwrap();
        assert_eq!(told.len(), 3, "{told:?}");
        for altered in told {
            match (altered.index, altered.outcome) {
                (1, Err(error)) => assert!(error.to_string().contains("OVERQUOTA"), "{error}"),
                (0, Ok(landed)) => assert_eq!(landed.uids[&Uid(1)], Uid(10)),
                (2, Ok(landed)) => assert_eq!(landed.uids[&Uid(3)], Uid(12)),
                (index, other) => panic!("{index}: {other:?}"),
            }
        }
    }
}

/// What was answered before stands; of the rest nothing is known.
#[tokio::test]
async fn an_end_among_several_leaves_the_rest_unknown() {
    for (last, why) in [
        ("* 1", "in the middle of an answer"),
        ("* BYE closing time\r\n", "BYE closing time"),
        ("x1 OK done\r\n", "answered a command that was not sent"),
        ("FIRST OK done\r\n", "answered a command that was not sent"),
        ("* OK [UIDVALIDITY 78] new\r\n", "UIDVALIDITY 78 in place of 77"),
        ("* 1 FET", "in the middle of an answer"),
    ] {
        let (told, ended) = altered(move |said| {
            let last = last.replace("FIRST", &said[0].tag);
            format!("{} OK done\r\n{last}", said[0].tag)
        })
        .await;
        let error = ended.unwrap_err().to_string();
        assert!(error.contains(why), "{last}: {error}");
        assert!(error.contains("UID 2 to B") || error.contains("UID 3 to C"), "{error}");
        assert_eq!(told.iter().map(|told| told.index).collect::<Vec<_>>(), [0]);
    }
}

/// A COPYUID of one command says nothing of the messages of another.
#[tokio::test]
async fn a_copyuid_with_the_messages_of_another_command_is_not_taken() {
    let (told, ended) = altered(|said| {
        let answer = |at: usize| format!("{} OK [COPYUID 9 {} 50] x\r\n", said[at].tag, 3 - at);
        (0..3).map(answer).collect()
    })
    .await;
    ended.unwrap();
    let landed = |index: usize| told.iter().find(|told| told.index == index).unwrap();
    assert!(landed(0).outcome.as_ref().unwrap().uids.is_empty());
    assert_eq!(landed(1).outcome.as_ref().unwrap().uids.len(), 1);
    assert!(landed(2).outcome.as_ref().unwrap().uids.is_empty());
}

//! Fetching messages: many UIDs a command, answers in any order, none missing unnoticed.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::mail::Uid;
use crate::mailbox::{Extent, Fetched};

use super::command::Command;
use super::response::{FetchData, Reply};
use super::select::known;
use super::session::Session;
use super::set::sets;

impl Session {
    pub(super) async fn fetch(&mut self, uids: &[Uid], extent: Extent) -> Result<Vec<Fetched>> {
        let what = self.here(&format!("fetch {}", named(uids)))?;
        let mut wanted: BTreeMap<Uid, FetchData> =
            uids.iter().map(|uid| (*uid, FetchData::default())).collect();
        for set in sets(uids.iter().copied()) {
            let command = Command::new("UID FETCH").words(&set).words(&items(extent));
            self.run_each(&what, command, &mut |reply| {
                if let Reply::Fetch(data) = reply {
                    merge(&mut wanted, data);
                }
                Ok(())
            })
            .await?;
        }
        let (fetched, missing) = sorted_out(wanted, extent);
        self.none_left(&missing).await?;
        Ok(fetched)
    }

    /// A message without data is either gone, or the server cannot give it: Exchange says OK and
    /// sends nothing for a message that it cannot render.
    async fn none_left(&mut self, missing: &[Uid]) -> Result<()> {
        if missing.is_empty() {
            return Ok(());
        }
        let left = self.present(missing).await?;
        if left.is_empty() {
            return Ok(());
        }
        let what = self.here(&format!("fetch {}", named(&left)))?;
        let why = "the server said OK but gave no data, though the message is there";
        Err(Error::temporary(self.at(&what), why)
            .next("look whether another mail program can open the message"))
    }
}

fn items(extent: Extent) -> String {
    let body = match extent {
        Extent::Headers => "BODY.PEEK[HEADER]".to_owned(),
        Extent::Whole => "BODY.PEEK[]".to_owned(),
        Extent::Part { offset, length } => format!("BODY.PEEK[]<{offset}.{length}>"),
    };
    format!("(UID FLAGS INTERNALDATE RFC822.SIZE {body})")
}

/// Data about a message may come in several answers; data nobody asked for is passed over.
fn merge(wanted: &mut BTreeMap<Uid, FetchData>, data: FetchData) {
    let Some(held) = data.uid.and_then(|uid| wanted.get_mut(&Uid(uid))) else { return };
    held.flags = data.flags.or(held.flags.take());
    held.internal_date = data.internal_date.or(held.internal_date.take());
    held.size = data.size.or(held.size);
    held.header = data.header.or(held.header.take());
    held.whole = data.whole.or(held.whole.take());
    held.part = data.part.or(held.part.take());
}

fn sorted_out(wanted: BTreeMap<Uid, FetchData>, extent: Extent) -> (Vec<Fetched>, Vec<Uid>) {
    let mut fetched = Vec::new();
    let mut missing = Vec::new();
    for (uid, data) in wanted {
        match complete(uid, data, extent) {
            Some(message) => fetched.push(message),
            None => missing.push(uid),
        }
    }
    (fetched, missing)
}

fn complete(uid: Uid, data: FetchData, extent: Extent) -> Option<Fetched> {
    let bytes = match extent {
        Extent::Headers => data.header?,
        Extent::Whole => data.whole?,
        Extent::Part { offset, length } => part(data.part?, offset, length)?,
    };
    let size = match (data.size, extent) {
        (Some(size), _) => size,
        (None, Extent::Whole) => bytes.len() as u64,
        (None, Extent::Headers | Extent::Part { .. }) => return None,
    };
    let received_ms = data.internal_date.as_deref().and_then(internal_date);
    Some(Fetched { uid, flags: known(&data.flags?), received_ms, size, bytes })
}

/// The bytes of a part that is the one asked for.
fn part((at, bytes): (u32, Vec<u8>), offset: u64, length: u32) -> Option<Vec<u8>> {
    (u64::from(at) == offset && bytes.len() <= length as usize).then_some(bytes)
}

/// ` 7-Jul-1996 02:44:25 -0700` as Unix milliseconds (RFC 9051 section 9, date-time).
pub(super) fn internal_date(text: &str) -> Option<i64> {
    let parsed = jiff::fmt::strtime::parse("%d-%b-%Y %H:%M:%S %z", text.trim()).ok()?;
    Some(parsed.to_timestamp().ok()?.as_millisecond())
}

/// Servers keep received times to the second.
pub(super) fn same_second(date_ms: Option<i64>, other_ms: i64) -> bool {
    date_ms.is_some_and(|date| date.div_euclid(1000) == other_ms.div_euclid(1000))
}

/// The messages as a person may want to read them in an error.
pub(super) fn named(uids: &[Uid]) -> String {
    let shown: Vec<String> = uids.iter().take(5).map(ToString::to_string).collect();
    let more = uids.len().saturating_sub(shown.len());
    let plural = if uids.len() == 1 { "message UID" } else { "messages UID" };
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{plural} {}{more}", shown.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn received_times_are_read_in_every_form() {
        assert_eq!(internal_date("17-Jul-1996 02:44:25 -0700"), Some(837_596_665_000));
        assert_eq!(internal_date(" 7-Jul-1996 02:44:25 +0000"), Some(836_707_465_000));
        assert_eq!(internal_date("07-jul-1996 02:44:25 +0000"), Some(836_707_465_000));
        for wrong in ["", "NIL", "32-Jul-1996 02:44:25 +0000", "17-Jul-1996"] {
            assert_eq!(internal_date(wrong), None, "{wrong}");
        }
    }
}

//! imapfilter, as its users write it: the server searches, or each message is fetched and looked at.

use std::fmt::Write;

use super::{Job, Place, words};
use crate::Result;
use crate::corpus::projects;
use crate::server::{PASSWORD, USER};

/// Without `limit` it sends sets of UIDs that are longer than the server's line; with its cache it
/// keeps every message it has fetched.
const HEAD: &str = "options.timeout = 300\noptions.starttls = false\noptions.limit = 8000\n\
                    options.cache = false\n";

const FETCH: &str = r"
local flagged, target = Set {}, {}
for _, message in ipairs(inbox:select_all()) do
  local mailbox, uid = table.unpack(message)
  local text = mailbox[uid]:fetch_message()
  local header = '\n' .. text:sub(1, text:find('\r\n\r\n', 1, true))
  if header:find('\nDisposition-Notification-To:', 1, true) then table.insert(flagged, message) end
  local subject = header:match('\nSubject:([^\n]*)')
  local place = 'Archive'
  local receipt = header:find('report-type=disposition-notification', 1, true)
  if receipt then place = 'Receipts' end
  for code in subject:gmatch('%[(T%-%d+)%]') do
    if projects[code] then place = 'Projects/' .. code end
  end
  target[place] = target[place] or Set {}
  table.insert(target[place], message)
end
flagged:mark_flagged()
for place, messages in pairs(target) do messages:move_messages(account[place]) end
";

/// Decides by the server's SEARCH.
pub(super) fn search(place: &Place<'_>) -> Result<Job> {
    let mut text = head(place)?;
    text += "inbox:contain_field('Disposition-Notification-To', ''):mark_flagged()\n";
    for code in projects() {
        let line = format!(
            "inbox:contain_subject('[{code}]'):move_messages(account['Projects/{code}'])\n"
        );
        text += &line;
    }
    text += "inbox:contain_field('Content-Type', 'report-type=disposition-notification')\
             :move_messages(account['Receipts'])\n";
    text += "inbox:select_all():move_messages(account['Archive'])\n";
    job(place, &text)
}

/// Fetches each message whole and decides in Lua.
pub(super) fn fetch(place: &Place<'_>) -> Result<Job> {
    let mut text = head(place)?;
    text += "local projects = {}\n";
    for code in projects() {
        writeln!(text, "projects['{code}'] = true").map_err(|why| why.to_string())?;
    }
    text += FETCH;
    job(place, &text)
}

fn head(place: &Place<'_>) -> Result<String> {
    let mut text = HEAD.to_owned();
    writeln!(
        text,
        "account = IMAP {{ server = '127.0.0.1', port = {}, username = '{USER}', password = '{PASSWORD}' }}\n\
         inbox = account.INBOX",
        place.port
    )
    .map_err(|why| why.to_string())?;
    Ok(text)
}

fn job(place: &Place<'_>, text: &str) -> Result<Job> {
    let file = place.write("config.lua", text)?;
    Ok(place.job(words(["imapfilter", "-c", &file.to_string_lossy()])))
}

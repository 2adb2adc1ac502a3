//! fdm: fetches by IMAP, sorts into local Maildirs, deletes on the server. It knows no flags.

use std::fs;

use super::{Job, Place, words};
use crate::Result;
use crate::corpus::{mailboxes, projects};
use crate::server::{PASSWORD, USER};
use crate::verify::Flags;

/// Writes the configuration.
pub(super) fn set_up(place: &Place<'_>) -> Result<Job> {
    let out = place.folder.join("out");
    fs::create_dir_all(&out).map_err(|why| format!("make {}: {why}", out.display()))?;
    // As root it insists on another user to sort as.
    let user = place.server.other_user().map(|user| format!("set default-user \"{user}\"\n"));
    let mut text = format!(
        "set no-received\nset maximum-size 64M\nset timeout 300\nset lock-types none\n\
         {}account \"bench\" imap server \"127.0.0.1\" port {} user \"{USER}\" pass \"{PASSWORD}\" no-cram-md5\n",
        user.unwrap_or_default(),
        place.port
    );
    for mailbox in mailboxes() {
        let folder = out.join(format!(".{}", mailbox.replace('/', ".")));
        text += &format!("action \"{mailbox}\" maildir \"{}\"\n", folder.display());
    }
    for code in projects() {
        text += &format!(
            "match \"^Subject:.*\\\\[{code}\\\\]\" in headers action \"Projects/{code}\"\n"
        );
    }
    text += "match \"^Content-Type:.*report-type=disposition-notification\" in headers action \"Receipts\"\n\
             match all action \"Archive\"\n";
    let file = place.write("fdm.conf", &text)?;
    place.server.own(&out)?;
    let command = words(["fdm", "-q", "-l", "-f", &file.to_string_lossy(), "fetch"]);
    Ok(Job { first: None, command, result: out, flags: Flags::Without })
}

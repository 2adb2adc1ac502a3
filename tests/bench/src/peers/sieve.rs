//! Pigeonhole's sieve-filter: works on the server's storage itself, without IMAP.

use super::{Job, Place, words};
use crate::Result;
use crate::corpus::projects;
use crate::server::USER;

/// Writes the script.
pub(super) fn set_up(place: &Place<'_>) -> Result<Job> {
    let mut text = "require [\"fileinto\", \"imap4flags\"];\n\
                    if exists \"Disposition-Notification-To\" { addflag \"\\\\Flagged\"; }\n"
        .to_owned();
    for code in projects() {
        let line = format!(
            "if header :contains \"subject\" \"[{code}]\" {{ fileinto \"Projects/{code}\"; stop; }}\n"
        );
        text += &line;
    }
    text += "if header :contains \"content-type\" \"report-type=disposition-notification\" \
             { fileinto \"Receipts\"; stop; }\nfileinto \"Archive\";\n";
    let script = place.write("sort.sieve", &text)?;
    place.server.own(&script)?;
    let configuration = place.server.configuration();
    Ok(place.job(words([
        "sieve-filter",
        "-c",
        &configuration.to_string_lossy(),
        "-u",
        USER,
        "-e",
        "-W",
        "-C",
        &script.to_string_lossy(),
        "INBOX",
        "expunge",
    ])))
}

//! Looks for a message in a Maildir that is nobody's account: by what it is, whatever its name.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::entry::Part;
use super::is_like;
use crate::error::{Context, Result};
use crate::mailbox::Likeness;

/// How many messages of a Maildir look like this one; none where there is no Maildir. Blocks on the
/// disk, and reads the headers of every message of the same size.
///
/// # Errors
/// A folder or file that cannot be read.
pub fn count_alike(maildir: &Path, like: &Likeness) -> Result<usize> {
    let mut count = 0;
    for part in [Part::New, Part::Cur] {
        let found = count_in(&part.path(maildir), like);
        count += found.or_later(|| format!("look through the Maildir {}", maildir.display()))?;
    }
    Ok(count)
}

fn count_in(folder: &Path, like: &Likeness) -> io::Result<usize> {
    let files = match fs::read_dir(folder) {
        Err(why) if why.kind() == ErrorKind::NotFound => return Ok(0),
        files => files?,
    };
    let mut count = 0;
    for file in files {
        match is_like(&file?.path(), like) {
            Ok(true) => count += 1,
            Ok(false) => {}
            // Another program took it away just now, or it is no message.
            Err(why) if matches!(why.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) => {}
            Err(why) => return Err(why),
        }
    }
    Ok(count)
}

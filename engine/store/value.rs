//! What stands behind a key: a version byte, then the bytes; long values in pieces.
//!
//! sled writes a page of more than 128 KiB into a file of its own, which it never syncs. A page
//! holds up to 20 values or so: with pieces of 4 KiB no page comes near that.

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// The version of everything written now.
const VERSION: u8 = 2;

/// The most bytes of one piece of a long value.
pub(super) const PIECE: usize = 4 << 10;

/// The key of a piece of a value.
pub(super) fn piece_key(key: &[u8], piece: u8) -> Vec<u8> {
    [key, &[piece]].concat()
}

/// The pieces of a long value; the first begins with their number.
pub(super) fn pieces(bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut pieces: Vec<Vec<u8>> = bytes.chunks(PIECE).map(<[u8]>::to_vec).collect();
    let count = u8::try_from(pieces.len()).map_err(|_| {
        Error::permanent("write a value", format!("it has {} bytes, too many", bytes.len()))
    })?;
    if let Some(first) = pieces.first_mut() {
        first.insert(0, count);
    }
    Ok(pieces)
}

/// A value with its version in front.
pub(super) fn versioned(body: &[u8]) -> Vec<u8> {
    [&[VERSION], body].concat()
}

/// Whether a newer mailmill wrote this value.
pub(super) fn is_newer(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|version| *version > VERSION)
}

/// A value without its version.
pub(super) fn body(bytes: &[u8], what: impl FnOnce() -> String) -> Result<&[u8]> {
    match bytes.split_first() {
        Some((&VERSION, body)) => Ok(body),
        Some((version, _)) => {
            let why = format!("it has version {version}, this mailmill knows version {VERSION}");
            Err(Error::permanent(what(), why).next("use the mailmill that wrote the store"))
        }
        None => Err(Error::permanent(what(), "the value is empty: the store is damaged")),
    }
}

/// A value that is JSON.
pub(super) fn json<T: DeserializeOwned>(bytes: &[u8], what: impl Fn() -> String) -> Result<T> {
    let body = body(bytes, &what)?;
    serde_json::from_slice(body).map_err(|why| Error::permanent(what(), why))
}

/// A value that is text.
pub(super) fn text(bytes: &[u8]) -> Result<String> {
    let what = || String::from("read a step's memory");
    let body = body(bytes, what)?;
    String::from_utf8(body.to_vec()).map_err(|why| Error::permanent(what(), why))
}

/// A number, with a version in front.
pub(super) fn number(number: u64) -> Vec<u8> {
    versioned(&number.to_be_bytes())
}

/// A number and the text after it.
pub(super) fn numbered(bytes: &[u8]) -> Result<(u64, String)> {
    let what = || String::from("read a number");
    let body = body(bytes, what)?;
    let (number, rest) = body
        .split_first_chunk::<8>()
        .ok_or_else(|| Error::permanent(what(), "it has fewer than 8 bytes"))?;
    Ok((u64::from_be_bytes(*number), String::from_utf8_lossy(rest).into_owned()))
}

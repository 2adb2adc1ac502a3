//! Writing a header field: folded at 78 columns, with encoded words where they are needed
//! (RFC 5322 section 2.1.1, RFC 2047).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Address, address_list};

/// Columns of a line, without its line end.
const COLUMNS: usize = 78;

/// Columns of an encoded word.
const WORD_COLUMNS: usize = 75;

const WORD_START: &str = "=?UTF-8?B?";
const WORD_END: &str = "?=";

/// Fields that hold addresses: there only display names may be encoded.
const ADDRESS_FIELDS: [&str; 14] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "Resent-From",
    "Resent-Sender",
    "Resent-To",
    "Resent-Cc",
    "Resent-Bcc",
    "Disposition-Notification-To",
    "Return-Receipt-To",
    "Errors-To",
];

/// A whole field with its final line end, which is `line_end` on every line.
pub(super) fn field(name: &str, value: &str, line_end: &str) -> Vec<u8> {
    let is_addresses = ADDRESS_FIELDS.iter().any(|known| known.eq_ignore_ascii_case(name));
    let mut writer = Writer::new(name, line_end);
    if is_plain(value) {
        value.split(' ').for_each(|word| writer.word(word));
    } else if is_addresses {
        let list = address_list::parse(value.as_bytes());
        for (index, address) in list.iter().enumerate() {
            writer.address(address, index + 1 < list.len());
        }
    } else {
        writer.text(value);
    }
    writer.finish()
}

/// Whether a value reads back the same when it is written as it is: visible ASCII with single
/// blanks between the words, nothing that looks like an encoded word, no word too long for a line.
fn is_plain(value: &str) -> bool {
    const MOST_WORD: usize = 900;
    value.split(' ').all(|word| !word.is_empty() && is_plain_word(word) && word.len() <= MOST_WORD)
}

fn is_plain_word(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_graphic()) && !word.contains("=?")
}

struct Writer<'a> {
    out: String,
    line_end: &'a str,
    column: usize,
}

impl<'a> Writer<'a> {
    fn new(name: &str, line_end: &'a str) -> Self {
        Self { out: format!("{name}:"), line_end, column: name.len() + 1 }
    }

    fn finish(mut self) -> Vec<u8> {
        self.out.push_str(self.line_end);
        self.out.into_bytes()
    }

    /// A word, on the next line where it does not fit on this one.
    fn word(&mut self, word: &str) {
        if self.column + 1 + word.len() > COLUMNS {
            self.out.push_str(self.line_end);
            self.column = 0;
        }
        self.out.push(' ');
        self.out.push_str(word);
        self.column += 1 + word.len();
    }

    /// Free text: from the first to the last word that needs it, all is encoded, so that the
    /// blanks between survive.
    fn text(&mut self, text: &str) {
        let words: Vec<&str> = text.split(' ').collect();
        let needs = |word: &&str| word.is_empty() || !is_plain_word(word) || word.len() > COLUMNS;
        let first = words.iter().position(needs).unwrap_or(0);
        let last = words.iter().rposition(needs).unwrap_or(words.len() - 1);
        // Words of blanks take their neighbours along: a blank beside a plain word is no text.
        let first = if words[first].is_empty() { first.saturating_sub(1) } else { first };
        let last = if words[last].is_empty() { (last + 1).min(words.len() - 1) } else { last };
        words[..first].iter().for_each(|word| self.word(word));
        self.encoded(&words[first..=last].join(" "));
        words[last + 1..].iter().for_each(|word| self.word(word));
    }

    /// Encoded words, each of whole characters.
    fn encoded(&mut self, text: &str) {
        let mut rest = text;
        while !rest.is_empty() {
            let overhead = 1 + WORD_START.len() + WORD_END.len();
            let room =
                COLUMNS.saturating_sub(self.column + overhead).min(WORD_COLUMNS + 1 - overhead);
            // Three bytes become four columns. A character has at most four bytes.
            let most = room / 4 * 3;
            if most < 4 {
                self.out.push_str(self.line_end);
                self.column = 0;
                continue;
            }
            let (piece, after) = rest.split_at(rest.floor_char_boundary(most));
            self.word(&format!("{WORD_START}{}{WORD_END}", STANDARD.encode(piece)));
            rest = after;
        }
    }

    fn address(&mut self, address: &Address, more: bool) {
        let comma = if more { "," } else { "" };
        match &address.name {
            None => self.word(&format!("{}{comma}", address.address)),
            Some(name) => {
                self.name(name);
                if address.address.is_empty() {
                    self.out.push_str(comma);
                } else {
                    self.word(&format!("<{}>{comma}", address.address));
                }
            }
        }
    }

    /// A display name: bare where it is a phrase of atoms, quoted where it is ASCII, else encoded.
    fn name(&mut self, name: &str) {
        let is_atom =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
        if !is_plain(name) {
            self.encoded(name);
        } else if name.split(' ').all(|word| word.bytes().all(is_atom)) {
            name.split(' ').for_each(|word| self.word(word));
        } else {
            self.word(&format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")));
        }
    }
}

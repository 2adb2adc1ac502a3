//! Encoded words: reading them (RFC 2047) wherever they stand, broken ones left as they are.

use super::{charset, field, transfer};

/// A header value as people read it: unfolded, encoded words decoded, control characters blank.
pub(super) fn decode_value(value: &[u8]) -> String {
    decode(&field::unfold(value))
}

/// Decodes the encoded words of an unfolded text.
///
/// Adjacent words of one charset are joined before they are decoded, because many programs split
/// them within a character.
pub(super) fn decode(text: &str) -> String {
    if !text.contains("=?") {
        return charset::clean(text);
    }
    let mut reader = Reader { text, closing: Closing::default() };
    let mut out = String::with_capacity(text.len());
    let mut pending: Option<(String, Vec<u8>)> = None;
    let mut at = 0;
    while let Some(start) = text[at..].find("=?").map(|found| at + found) {
        let Some(word) = reader.word_at(start) else {
            flush(&mut pending, &mut out);
            out.push_str(&text[at..start + 2]);
            at = start + 2;
            continue;
        };
        let between = &text[at..start];
        match &mut pending {
            Some((label, bytes)) if between.trim().is_empty() => {
                if !label.eq_ignore_ascii_case(word.label) {
                    flush(&mut pending, &mut out);
                    pending = Some((word.label.to_owned(), word.bytes));
                } else {
                    bytes.extend_from_slice(&word.bytes);
                }
            }
            _ => {
                flush(&mut pending, &mut out);
                out.push_str(between);
                pending = Some((word.label.to_owned(), word.bytes));
            }
        }
        at = word.end;
    }
    flush(&mut pending, &mut out);
    out.push_str(&text[at..]);
    charset::clean(&out)
}

fn flush(pending: &mut Option<(String, Vec<u8>)>, out: &mut String) {
    if let Some((label, bytes)) = pending.take() {
        out.push_str(&charset::decode(&label, &bytes));
    }
}

struct Word<'a> {
    label: &'a str,
    bytes: Vec<u8>,
    end: usize,
}

struct Reader<'a> {
    text: &'a str,
    closing: Closing,
}

impl<'a> Reader<'a> {
    /// The encoded word whose `=?` stands at `start`.
    fn word_at(&mut self, start: usize) -> Option<Word<'a>> {
        let label_start = start + 2;
        let window = charset::cut(&self.text[label_start..], MOST_LABEL);
        let label_end = label_start + window.find('?')?;
        let label = &self.text[label_start..label_end];
        if label.is_empty() || !label.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let coding = self.text[label_end + 1..].strip_prefix(['q', 'Q', 'b', 'B'])?;
        let body = self.text.len() - coding.strip_prefix('?')?.len();
        let close = self.closing.after(self.text, body)?;
        let content = &self.text[body..close];
        // The closing belongs to a later word: this one was never closed.
        if content.contains("=?") {
            return None;
        }
        let is_base64 = matches!(self.text.as_bytes()[label_end + 1], b'b' | b'B');
        let bytes = if is_base64 {
            transfer::base64(content.as_bytes())
        } else {
            transfer::q_encoding(content.as_bytes())
        };
        // RFC 2231 section 5: a language may follow the charset.
        let label = label.split('*').next().unwrap_or_default();
        Some(Word { label, bytes, end: close + 2 })
    }
}

/// Bytes within which a charset's name ends.
const MOST_LABEL: usize = 80;

/// Where the next `?=` stands. It remembers the last answer, so that a line of a million openings
/// and no closing is searched once and not a million times.
#[derive(Default)]
struct Closing {
    next: Option<usize>,
    none_left: bool,
}

impl Closing {
    fn after(&mut self, text: &str, from: usize) -> Option<usize> {
        if self.none_left {
            return None;
        }
        if self.next.is_none_or(|next| next < from) {
            self.next = text[from..].find("?=").map(|found| from + found);
            self.none_left = self.next.is_none();
        }
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[track_caller]
    fn case(text: &str, expected: &str) {
        assert_eq!(decode(text), expected);
    }

    #[test]
    fn words_are_decoded_and_the_blank_between_them_falls_away() {
        case("=?utf-8?Q?Gr=C3=B6?= =?utf-8?Q?=C3=9Fe?= neu", "Größe neu");
        case("Re: =?iso-8859-1?Q?=DCbung?= 3", "Re: Übung 3");
        case("=?UTF-8?B?R3LDtsOfZQ==?=", "Größe");
    }

    #[test]
    fn a_character_split_over_two_words_is_whole_again() {
        case("=?utf-8?B?R3LDtsM=?= =?utf-8?B?n2U=?=", "Größe");
        case("=?utf-8?Q?Gr=C3?= =?utf-8?Q?=B6=C3=9Fe?=", "Größe");
    }

    #[test]
    fn broken_words_stay_as_they_are() {
        case("=?utf-8?Q?open", "=?utf-8?Q?open");
        case("=?utf-8?X?a?=", "=?utf-8?X?a?=");
        case("=?a =?utf-8?Q?b?=", "=?a b");
        case("=??Q?a?=", "=??Q?a?=");
        case("1 =? 2", "1 =? 2");
    }

    #[test]
    fn an_unknown_charset_is_guessed() {
        case("=?x-nonsense?Q?=FCber?=", "über");
    }

    #[test]
    fn control_characters_from_words_are_blank() {
        case("=?utf-8?Q?a=0D=0ABcc:_x?=", "a  Bcc: x");
        case("=?utf-8?Q?a=1B[2J?=", "a [2J");
    }
}

//! Lines by which mail programs, German and English first, say that quoted mail begins.

/// What stands between dashes above a forwarded or answered message.
const TITLES: [&str; 12] = [
    "ursprüngliche nachricht",
    "ursprunglige nachricht",
    "originalnachricht",
    "original-nachricht",
    "original message",
    "originalmessage",
    "weitergeleitete nachricht",
    "forwarded message",
    "ursprünglicher termin",
    "original appointment",
    "message d'origine",
    "messaggio originale",
];

/// Lines of Apple Mail above a forwarded message.
const OPENINGS: [&str; 2] = ["anfang der weitergeleiteten nachricht:", "begin forwarded message:"];

/// Words of the line above cited text: `Am … schrieb …:`.
const WROTE: [&str; 8] =
    ["schrieb", "wrote", "geschrieben", "a écrit", "ha scritto", "escribió", "schreef", "skrev"];

/// How such a line begins.
const DATED: [&str; 7] = ["am ", "on ", "le ", "il ", "el ", "op ", "den "];

/// Lines among a header block that are no header: a long list of recipients goes on.
const MOST_OTHERS: u8 = 3;

/// A line longer than this, in bytes, is no marker.
const MOST_LINE: usize = 1000;

/// What a line of a quoted header block tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Sender,
    Sent,
    To,
    Subject,
}

/// Finds where quoted mail begins of which everything below is a part: a titled rule, or a header
/// block (`Von: … Gesendet: … An: … Betreff:`). It is given line by line.
#[derive(Debug, Default)]
pub(super) struct Finder {
    /// A bare rule directly above.
    rule: Option<usize>,
    block: Option<Block>,
}

#[derive(Debug)]
struct Block {
    start: usize,
    words: [bool; 4],
    others: u8,
}

impl Finder {
    /// The next line, and where it begins. Says where quoted mail begins once that is certain.
    pub(super) fn line(&mut self, at: usize, line: &str) -> Option<usize> {
        let line = line.trim();
        if line.is_empty() {
            return None;
        }
        let is_short = line.len() <= MOST_LINE;
        if is_short && is_title(line) {
            return Some(self.rule.take().unwrap_or(at));
        }
        if is_short && is_rule(line) {
            self.rule = Some(at);
            self.block = None;
            return None;
        }
        let word = if is_short { word(line) } else { None };
        let rule = self.rule.take();
        match (&mut self.block, word) {
            (None, Some(Word::Sender | Word::Sent)) => {
                let start = rule.unwrap_or(at);
                self.block = Some(Block { start, words: [false; 4], others: 0 });
            }
            (None, _) => return None,
            (Some(block), None) => {
                block.others += 1;
                if block.others > MOST_OTHERS {
                    self.block = None;
                    return None;
                }
            }
            (Some(_), Some(_)) => {}
        }
        let block = self.block.as_mut()?;
        if let Some(word) = word {
            block.words[word as usize] = true;
        }
        let known = block.words.iter().filter(|known| **known).count();
        (block.words[Word::Sender as usize] && known >= 3).then_some(block.start)
    }
}

/// `-----Ursprüngliche Nachricht-----`
fn is_title(line: &str) -> bool {
    let lower = line.to_lowercase();
    if OPENINGS.contains(&lower.as_str()) {
        return true;
    }
    let inner = lower.trim_matches(['-', '_', ' ', '\u{a0}']);
    lower.starts_with("--") && TITLES.contains(&inner)
}

/// `________________________________`
fn is_rule(line: &str) -> bool {
    line.len() >= 10
        && (line.bytes().all(|byte| byte == b'_') || line.bytes().all(|byte| byte == b'-'))
}

/// `*Von:* Petra Weber`
fn word(line: &str) -> Option<Word> {
    let (name, _) = line.trim_start_matches(['*', ' ']).split_once(':')?;
    if name.len() > 20 {
        return None;
    }
    Some(match name.trim().to_lowercase().as_str() {
        "von" | "from" | "de" | "da" => Word::Sender,
        "gesendet" | "sent" | "datum" | "date" | "envoyé" | "inviato" => Word::Sent,
        "an" | "to" | "à" | "a" => Word::To,
        "betreff" | "subject" | "objet" | "oggetto" => Word::Subject,
        _ => return None,
    })
}

/// Whether a text is the line above cited text.
pub(super) fn is_attribution(text: &str) -> bool {
    let text = text.trim();
    if text.len() > MOST_LINE || !text.ends_with(':') {
        return false;
    }
    let lower = text.to_lowercase();
    WROTE.iter().any(|word| lower.contains(word))
}

/// Whether a line is the first of an attribution that is wrapped.
pub(super) fn is_dated(line: &str) -> bool {
    let line = line.trim();
    let start = super::super::charset::cut(line, 8).to_lowercase();
    DATED.iter().any(|word| start.starts_with(word))
}

/// Whether a text holds a word of a header block: then it is no attribution, but forwarded mail.
pub(super) fn has_headers(text: &str) -> bool {
    ["betreff:", "subject:"].iter().any(|word| text.to_lowercase().contains(word))
}

#[cfg(test)]
mod tests {
    use super::{Finder, is_attribution};

    fn found(text: &str) -> Option<usize> {
        let mut finder = Finder::default();
        let mut lines = text.lines().enumerate();
        lines.find_map(|(number, line)| finder.line(number, line))
    }

    #[test]
    fn quoted_mail_begins() {
        assert_eq!(found("Ja.\n\n-----Ursprüngliche Nachricht-----\nVon: a"), Some(2));
        assert_eq!(found("Ja.\n-------- Weitergeleitete Nachricht --------"), Some(1));
        assert_eq!(
            found("Ja\n________________________________\nVon: a\nGesendet: b\nAn: c"),
            Some(1)
        );
        assert_eq!(found("Ja\n*Von:* a\n*Gesendet:* b\n*An:* c\n*Betreff:* d"), Some(1));
        assert_eq!(found("Ja\nFrom: a\nSent: b\nTo: c; d;\n e; f\nSubject: d"), Some(1));
        assert_eq!(found("Gesendet: Freitag\nVon: a\nAn: b"), Some(0));
        assert_eq!(found("Anfang der weitergeleiteten Nachricht:\n\nVon: a"), Some(0));
    }

    #[test]
    fn prose_is_no_marker() {
        assert_eq!(found("Von: Berlin\nNach: Hamburg"), None);
        assert_eq!(found("An: alle\nBetreff: Umzug\nDatum: morgen"), None);
        assert_eq!(found("--\nAnna\n-----\nOriginal message"), None);
        assert!(!is_attribution("Er schrieb am Montag ein Buch"));
        assert!(is_attribution("Am 12.03.26 um 10:11 schrieb Petra Weber:"));
    }
}

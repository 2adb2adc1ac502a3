//! Foreign text made harmless before it is shown: the one place that says which characters are not.

/// A text from outside (mail, servers, rules, file names) as it may stand on a terminal and in a log
/// whose records are lines.
///
/// Characters that steer a terminal, end a line, or turn the direction of writing so that a name
/// reads as another are shown as escapes (`\n`, `\u{1b}`); all others stay as they are.
pub fn inert(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_active(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

fn is_active(c: char) -> bool {
    match c {
        // Marks, embeddings, overrides and isolates of direction (Unicode UAX #9, section 2).
        '\u{61c}' | '\u{200e}' | '\u{200f}' => true,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        // Some programs end a line here, others take the last one for a sign of byte order.
        '\u{2028}' | '\u{2029}' | '\u{feff}' => true,
        _ => c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::inert;

    #[test]
    fn what_steers_or_turns_is_shown_as_an_escape() {
        let evil = "a\u{1b}]52;c\r\n\t\u{7f}\u{9b}b";
        assert_eq!(inert(evil), r"a\u{1b}]52;c\r\n\t\u{7f}\u{9b}b");
        for turns in ['\u{61c}', '\u{200e}', '\u{202e}', '\u{2066}', '\u{2028}', '\u{feff}'] {
            assert_eq!(inert(&turns.to_string()), turns.escape_unicode().to_string());
        }
    }

    #[test]
    fn what_people_write_stays() {
        let text = "Grüße \"an\" 'alle' \\ 日本 שלום 👩‍👩‍👧";
        assert_eq!(inert(text), text);
    }
}

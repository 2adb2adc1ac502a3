//! Subjects without what mail programs and gateways put in front of them.

/// What the outermost prefix of a subject says of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefix {
    /// `Re:`, `AW:` and the like.
    Reply,
    /// `Fwd:`, `WG:` and the like.
    Forward,
    /// A mark of a gateway such as `[EXTERN]`, or a prefix that means both (`VS:` answers in
    /// Finnish and forwards in Danish).
    Other,
}

const REPLY: [&str; 13] =
    ["re", "aw", "antw", "antwort", "sv", "rif", "r", "res", "odp", "ynt", "回复", "答复", "回覆"];

const FORWARD: [&str; 13] =
    ["fwd", "fw", "wg", "tr", "enc", "pd", "ilt", "vb", "rv", "i", "转发", "轉寄", "doorst"];

const OTHER: [&str; 3] = ["vs", "extern", "external"];

/// What gateways write between brackets. Anything else there, a project's token above all, stays.
const MARKS: [&str; 13] = [
    "extern",
    "external",
    "ext",
    "externe",
    "externe mail",
    "externe e-mail",
    "externe nachricht",
    "external mail",
    "external email",
    "external e-mail",
    "external sender",
    "ext. mail",
    "extern!",
];

/// The longest prefix word, in bytes; a longer word is none.
const MOST_WORD: usize = 24;

/// The subject without its prefixes, however many and in whatever language:
/// `AW: [EXTERN] Re[2]: [T-071] Plan` gives `[T-071] Plan`.
pub fn thread_subject(subject: &str) -> &str {
    let mut rest = subject.trim();
    while let Some((_, after)) = first_prefix(rest) {
        rest = after;
    }
    rest
}

/// What the first prefix that is not a gateway's mark says; `None` where there is none.
pub fn prefix(subject: &str) -> Option<Prefix> {
    let mut rest = subject.trim();
    let mut found = None;
    while let Some((prefix, after)) = first_prefix(rest) {
        if prefix != Prefix::Other {
            return Some(prefix);
        }
        found = Some(prefix);
        rest = after;
    }
    found
}

fn first_prefix(text: &str) -> Option<(Prefix, &str)> {
    mark(text).map(|after| (Prefix::Other, after)).or_else(|| word(text))
}

/// `[EXTERN]`, `(EXTERN)`, `*EXTERN*`, with as many stars as one likes.
fn mark(text: &str) -> Option<&str> {
    let open = text.chars().next()?;
    let close = match open {
        '[' => ']',
        '(' => ')',
        '*' => '*',
        _ => return None,
    };
    let inside = if open == '*' { text.trim_start_matches('*') } else { &text[1..] };
    let (word, after) = inside.split_at_checked(inside.find(close)?)?;
    let known = word.len() <= MOST_WORD && MARKS.contains(&fold(word.trim()).as_str());
    let after = if open == '*' { after.trim_start_matches('*') } else { &after[1..] };
    known.then(|| after.trim_start_matches([':', '：']).trim_start())
}

/// `Re:`, `RE[2]:`, `Re(3) :`, `Re^2:`, `AW：`.
fn word(text: &str) -> Option<(Prefix, &str)> {
    let end = text.find(|c: char| !c.is_alphabetic()).filter(|end| *end <= MOST_WORD)?;
    let word = fold(&text[..end]);
    let prefix = if REPLY.contains(&word.as_str()) {
        Prefix::Reply
    } else if FORWARD.contains(&word.as_str()) {
        Prefix::Forward
    } else if OTHER.contains(&word.as_str()) {
        Prefix::Other
    } else {
        return None;
    };
    let rest = after_count(&text[end..]).trim_start();
    let rest = rest.strip_prefix([':', '：'])?;
    Some((prefix, rest.trim_start()))
}

/// Goes past a count of replies: `[2]`, `(2)`, `^2`, `*2`.
fn after_count(text: &str) -> &str {
    let counted = || {
        let inside = text.strip_prefix(['[', '(', '^', '*'])?;
        let rest = inside.trim_start_matches(|c: char| c.is_ascii_digit());
        let digits = inside.len() - rest.len();
        if !(1..=6).contains(&digits) {
            return None;
        }
        Some(rest.strip_prefix([']', ')']).unwrap_or(rest))
    };
    counted().unwrap_or(text)
}

/// Lower case, with the Turkish dotted capital I as a plain one.
fn fold(word: &str) -> String {
    word.to_lowercase().replace('\u{307}', "")
}

#[cfg(test)]
mod tests {
    use super::{Prefix, prefix, thread_subject};

    #[track_caller]
    fn case(subject: &str, expected: &str) {
        assert_eq!(thread_subject(subject), expected, "{subject}");
    }

    #[test]
    fn prefixes_fall_away_repeated_and_mixed() {
        for subject in [
            "Plan",
            "Re: Plan",
            "RE[2]: Plan",
            "Re(3): Plan",
            "re : Plan",
            "Re^2: Plan",
            "AW: AW: Plan",
            "Antw: Plan",
            "Antwort: Plan",
            "WG: Plan",
            "Fwd: FW: Plan",
            "SV: VS: Plan",
            "TR : Plan",
            "RIF: R: Plan",
            "RES: ENC: Plan",
            "Odp: PD: Plan",
            "YNT: Plan",
            "İLT: Plan",
            "ilt: Plan",
            "AW：Plan",
            "回复：Plan",
            "[EXTERN] AW: Plan",
            "AW: [EXTERNAL] [Ext] Re:Plan",
            "***EXTERN*** Plan",
            "EXTERN: Plan",
            "  Re:  Re:Plan",
            "[External Email]: Plan",
        ] {
            case(subject, "Plan");
        }
    }

    #[test]
    fn everything_else_stays() {
        for subject in [
            "[T-071] Plan",
            "[1] Plan",
            "T-071: Plan",
            "Rechnung: 12",
            "Reply: x",
            "Re",
            "Re Plan",
            "R2: Plan",
            "AWO: Plan",
            "[EXTERN",
            "[EXT-12] Plan",
            "Re[x]: Plan",
            "Extern anfragen",
            "(neu) Plan",
            "",
        ] {
            case(subject, subject);
        }
        case("AW: [T-071] AW: Plan", "[T-071] AW: Plan");
        case("Re:", "");
    }

    #[test]
    fn the_outermost_prefix_says_what_it_is() {
        assert_eq!(prefix("AW: WG: x"), Some(Prefix::Reply));
        assert_eq!(prefix("[EXTERN] WG: AW: x"), Some(Prefix::Forward));
        assert_eq!(prefix("VS: x"), Some(Prefix::Other));
        assert_eq!(prefix("[T-071] x"), None);
    }
}

//! HTML as plain text: what a person reads, in lines. No layout, no links, one pass.

use mail_parser::decoders::html::add_html_token;

/// The text of an HTML document. Table cells are set apart by a blank, blocks by a line end.
pub fn to_text(html: &str) -> String {
    let mut writer = Writer { out: String::with_capacity(html.len() / 2), gap: Gap::None };
    let mut rest = html;
    while let Some((text, markup)) = rest.split_once('<') {
        writer.text(text);
        rest = after_markup(markup, &mut writer);
    }
    writer.text(rest);
    writer.out
}

/// Goes past a comment, a tag, or an element whose content nobody reads.
fn after_markup<'a>(markup: &'a str, writer: &mut Writer) -> &'a str {
    if let Some(comment) = markup.strip_prefix("!--") {
        return comment.split_once("-->").map_or("", |(_, rest)| rest);
    }
    let is_tag =
        markup.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?'));
    if !is_tag {
        writer.text("&lt;");
        return markup;
    }
    let (tag, rest) = markup.split_once('>').unwrap_or((markup, ""));
    let name = tag.trim_start_matches('/');
    let name = &name[..name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len())];
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        "script" | "style" | "title" | "template" if !tag.starts_with('/') => {
            return after_element(rest, &name);
        }
        "br" => writer.line_break(),
        "td" | "th" => writer.gap(Gap::Blank),
        "p" | "div" | "tr" | "li" | "ul" | "ol" | "table" | "blockquote" | "pre" | "hr" | "h1"
        | "h2" | "h3" | "h4" | "h5" | "h6" | "section" | "article" | "header" | "footer" | "dt"
        | "dd" | "body" | "center" => writer.gap(Gap::Line),
        _ => {}
    }
    rest
}

fn after_element<'a>(content: &'a str, name: &str) -> &'a str {
    let mut rest = content;
    while let Some((_, after)) = rest.split_once("</") {
        let is_end = after.get(..name.len()).is_some_and(|end| end.eq_ignore_ascii_case(name));
        if is_end {
            return after.split_once('>').map_or("", |(_, rest)| rest);
        }
        rest = after;
    }
    ""
}

/// What stands between two pieces of text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    None,
    Blank,
    Line,
}

struct Writer {
    out: String,
    gap: Gap,
}

impl Writer {
    fn gap(&mut self, gap: Gap) {
        self.gap = self.gap.max(gap);
    }

    fn line_break(&mut self) {
        if self.gap == Gap::Line && !self.out.is_empty() {
            self.out.push('\n');
        }
        self.gap(Gap::Line);
    }

    fn text(&mut self, text: &str) {
        let is_blank = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n' | '\u{a0}');
        for (index, word) in text.split(is_blank).enumerate() {
            if index > 0 {
                self.gap(Gap::Blank);
            }
            if !word.is_empty() {
                self.word(word);
            }
        }
    }

    fn word(&mut self, word: &str) {
        if !self.out.is_empty() {
            match self.gap {
                Gap::None => {}
                Gap::Blank => self.out.push(' '),
                Gap::Line => self.out.push('\n'),
            }
        }
        self.gap = Gap::None;
        let mut pieces = word.split('&');
        self.out.push_str(pieces.next().unwrap_or_default());
        for piece in pieces {
            self.entity(piece);
        }
    }

    /// What follows an ampersand: an entity, or none.
    fn entity(&mut self, piece: &str) {
        match piece.split_once(';') {
            Some(("nbsp" | "#160", rest)) => {
                self.out.push(' ');
                self.out.push_str(rest);
            }
            Some((name, rest)) => {
                add_html_token(&mut self.out, format!("&{name};").as_bytes(), false);
                self.out.push_str(rest);
            }
            None => {
                self.out.push('&');
                self.out.push_str(piece);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::to_text;

    #[test]
    fn blocks_are_lines_and_cells_are_words() {
        let html = "<html><head><title>t</title><style>p{a:b}</style></head><body><p>Guten&nbsp;Tag,</p>\r\n\
            <div>2 &lt; 3 &amp; 4 &uuml;ber</div><table><tr><td>Betrag</td><td>12</td></tr></table>\
            a<br><br>b<!-- <p>no --><script>x</script></body></html>";
        assert_eq!(to_text(html), "Guten Tag,\n2 < 3 & 4 über\nBetrag 12\na\n\nb");
    }

    #[test]
    fn broken_markup_gives_text() {
        assert_eq!(to_text("1 < 2 &foo; &; &#xd800; a&b"), "1 < 2 &foo; &; \u{fffd} a&b");
        assert_eq!(to_text("<style>never closed"), "");
        assert_eq!(to_text("a <b"), "a");
        assert_eq!(to_text("<!-- open"), "");
    }
}

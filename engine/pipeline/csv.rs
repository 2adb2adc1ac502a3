//! CSV as spreadsheets write it (RFC 4180): quoted fields with line ends inside, doubled quotes,
//! CRLF or LF, comma or semicolon.

/// One record with the line it begins at, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) fields: Vec<String>,
}

/// A record that cannot be read: the line and character column of its quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// The quote is never closed.
    Open(usize, usize),
    /// Text follows the closing quote.
    After(usize, usize),
}

/// Reads records one by one; a line without any text is passed over. Time is linear in the text.
pub(super) struct Reader<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    separator: char,
    line: usize,
    column: usize,
}

impl<'a> Reader<'a> {
    /// Reads a text; a byte order mark is passed over, the separator is what the first line uses.
    pub(super) fn new(text: &'a str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let separator = separator(text.lines().next().unwrap_or_default());
        Self { rest: text.chars().peekable(), separator, line: 1, column: 0 }
    }

    fn take(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        if c == '\n' {
            (self.line, self.column) = (self.line + 1, 0);
        } else {
            self.column += 1;
        }
        Some(c)
    }

    fn take_if(&mut self, wanted: char) -> bool {
        let found = self.rest.peek() == Some(&wanted);
        if found {
            self.take();
        }
        found
    }

    /// One field, up to the separator or the end of the line, which are left.
    fn field(&mut self) -> Result<String, Broken> {
        let mut field = String::new();
        if self.take_if('"') {
            self.quoted(&mut field)?;
            if let Some(&c) = self.rest.peek()
                && c != self.separator
                && !matches!(c, '\r' | '\n')
            {
                return Err(Broken::After(self.line, self.column + 1));
            }
        }
        while let Some(&c) = self.rest.peek() {
            if c == self.separator || c == '\n' {
                break;
            }
            self.take();
            if !(c == '\r' && self.rest.peek() == Some(&'\n')) {
                field.push(c);
            }
        }
        Ok(field)
    }

    fn quoted(&mut self, field: &mut String) -> Result<(), Broken> {
        let open = Broken::Open(self.line, self.column);
        loop {
            match self.take().ok_or(open)? {
                '"' if self.take_if('"') => field.push('"'),
                '"' => return Ok(()),
                c => field.push(c),
            }
        }
    }
}

impl Iterator for Reader<'_> {
    type Item = Result<Line, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.rest.peek()?;
            let number = self.line;
            let mut fields = Vec::new();
            loop {
                match self.field() {
                    Ok(field) => fields.push(field),
                    Err(broken) => {
                        self.rest = "".chars().peekable();
                        return Some(Err(broken));
                    }
                }
                if !self.take_if(self.separator) {
                    break;
                }
            }
            self.take();
            if fields.len() > 1 || !fields[0].trim().is_empty() {
                return Some(Ok(Line { number, fields }));
            }
        }
    }
}

/// What separates the columns of a header line.
fn separator(header: &str) -> char {
    let mut quoted = false;
    let (mut commas, mut semicolons) = (0, 0);
    for c in header.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => commas += 1,
            ';' if !quoted => semicolons += 1,
            _ => {}
        }
    }
    if semicolons > commas { ';' } else { ',' }
}

#[cfg(test)]
mod tests {
    use super::{Broken, Reader};

    fn read(text: &str) -> Vec<(usize, Vec<String>)> {
        Reader::new(text).flatten().map(|line| (line.number, line.fields)).collect()
    }

    fn line(number: usize, fields: &[&str]) -> (usize, Vec<String>) {
        (number, fields.iter().map(|field| (*field).to_owned()).collect())
    }

    #[test]
    fn quotes_line_ends_and_blank_lines() {
        let text = "\u{feff}code,name\r\nT-1,\"a \"\"b\"\", c\r\nd\"\r\n\r\nT-2,\n,";
        let expected = [
            line(1, &["code", "name"]),
            line(2, &["T-1", "a \"b\", c\r\nd"]),
            line(5, &["T-2", ""]),
            line(6, &["", ""]),
        ];
        assert_eq!(read(text), expected);
    }

    #[test]
    fn a_semicolon_in_the_header_separates() {
        assert_eq!(
            read("a;\"b,,,\";c\n1,5;2;3"),
            [line(1, &["a", "b,,,", "c"]), line(2, &["1,5", "2", "3"])]
        );
    }

    #[test]
    fn broken_quotes_are_told_with_their_place() {
        let open = Reader::new("a,b\n1,\"2\n3").last();
        assert_eq!(open, Some(Err(Broken::Open(2, 3))));
        let after = Reader::new("a,b\n\"1\"x,2\n").nth(1);
        assert_eq!(after, Some(Err(Broken::After(2, 4))));
    }
}

//! Splits what a server sends into whole responses, under limits (RFC 9051 section 4.3).
//!
//! Literals are counted, never searched for an end. The literals of a FETCH answer, which are
//! messages, are taken out of the text and leave a placeholder there: the parser above never sees
//! them, so a message is held in memory once.

/// What one response may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes of text, the small literals outside FETCH included.
    pub(super) text: usize,
    /// Bytes of all literals of one FETCH answer.
    pub(super) literals: u64,
}

/// One response as it came, its last line end removed.
#[derive(Debug, Default)]
pub(super) struct Frame {
    pub(super) text: Vec<u8>,
    /// The literals of a FETCH answer in the order of their placeholders.
    pub(super) bodies: Vec<Vec<u8>>,
}

/// Takes bytes in pieces of any size and gives frames.
pub(super) struct Framer {
    limits: Limits,
    /// Makes the placeholders unguessable.
    nonce: String,
    frame: Frame,
    /// Where the current line begins in the frame's text.
    line_start: usize,
    /// Bytes of the frame's bodies, announced ones included.
    held: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Line,
    /// A literal outside FETCH: kept in the text. Bytes left.
    Kept(u64),
    /// A literal of a FETCH answer. Bytes left.
    Body(u64),
    Whole,
}

impl Framer {
    pub(super) fn new(limits: Limits, nonce: String) -> Self {
        let frame = Frame::default();
        Self { limits, nonce, frame, line_start: 0, held: 0, state: State::Line }
    }

    /// Takes bytes up to the end of a response; says how many it took. When it took fewer than
    /// there are, or a response ended exactly here, [`Framer::take`] has it.
    ///
    /// # Errors
    /// A limit is passed: what was announced, and where.
    pub(super) fn feed(&mut self, input: &[u8]) -> Result<usize, String> {
        let mut used = 0;
        while used < input.len() && self.state != State::Whole {
            used += match self.state {
                State::Line => self.feed_line(&input[used..])?,
                State::Kept(left) => self.feed_kept(&input[used..], left),
                State::Body(left) => self.feed_body(&input[used..], left),
                State::Whole => 0,
            };
        }
        Ok(used)
    }

    /// The response, once it is whole.
    pub(super) fn take(&mut self) -> Option<Frame> {
        (self.state == State::Whole).then(|| {
            self.state = State::Line;
            self.line_start = 0;
            self.held = 0;
            std::mem::take(&mut self.frame)
        })
    }

    /// Whether a response has begun and is not whole.
    pub(super) fn is_amid(&self) -> bool {
        self.state != State::Line || !self.frame.text.is_empty()
    }

    /// The index of the body that this string of the text stands for.
    pub(super) fn body_index(nonce: &str, string: &[u8]) -> Option<usize> {
        let index = string.strip_prefix(nonce.as_bytes())?.strip_prefix(b".")?;
        std::str::from_utf8(index).ok()?.parse().ok()
    }

    fn feed_line(&mut self, input: &[u8]) -> Result<usize, String> {
        let end = input.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(input.len(), |at| at + 1);
        if self.frame.text.len() + used > self.limits.text {
            let most = self.limits.text;
            return Err(format!("a line of more than {most} bytes: {}", self.shown()));
        }
        self.frame.text.extend_from_slice(&input[..used]);
        if end.is_some() {
            self.end_line()?;
        }
        Ok(used)
    }

    /// Some servers end lines with LF alone; CR and NUL elsewhere in a line are nothing that the
    /// parser could take.
    fn end_line(&mut self) -> Result<(), String> {
        let text = &mut self.frame.text;
        text.pop();
        if text.len() > self.line_start && text.last() == Some(&b'\r') {
            text.pop();
        }
        for byte in &mut text[self.line_start..] {
            if matches!(byte, b'\r' | 0) {
                *byte = b' ';
            }
        }
        match self.announced()? {
            Some(size) if is_fetch(&self.frame.text) => self.begin_body(size),
            Some(size) => self.begin_kept(size),
            None => {
                self.state = State::Whole;
                Ok(())
            }
        }
    }

    /// The size of the literal that the current line announces at its end.
    fn announced(&self) -> Result<Option<u64>, String> {
        let text = &self.frame.text;
        if !may_hold_literals(text) {
            return Ok(None);
        }
        // The line alone: what came before it may be a literal that ends in a brace.
        let Some(line) = text[self.line_start..].strip_suffix(b"}") else { return Ok(None) };
        let Some(open) = line.iter().rposition(|byte| *byte == b'{') else { return Ok(None) };
        let digits = line[open + 1..].strip_suffix(b"+").unwrap_or(&line[open + 1..]);
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Ok(None);
        }
        let size = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        match size {
            Some(size) => Ok(Some(size)),
            None => Err(self.too_large("more bytes than can be counted")),
        }
    }

    fn begin_body(&mut self, size: u64) -> Result<(), String> {
        self.held = self.held.saturating_add(size);
        if self.held > self.limits.literals {
            return Err(self.too_large(&format!("{size} bytes")));
        }
        if let Some(open) = self.frame.text.iter().rposition(|byte| *byte == b'{') {
            self.frame.text.truncate(open);
        }
        if self.frame.text.last() == Some(&b'~') {
            self.frame.text.pop();
        }
        let placeholder = format!("\"{}.{}\"", self.nonce, self.frame.bodies.len());
        self.frame.text.extend_from_slice(placeholder.as_bytes());
        self.frame.bodies.push(Vec::new());
        self.after_literal_begins(State::Body(size));
        Ok(())
    }

    fn begin_kept(&mut self, size: u64) -> Result<(), String> {
        let room = self.limits.text.saturating_sub(self.frame.text.len() + 2);
        if size > room as u64 {
            return Err(self.too_large(&format!("{size} bytes")));
        }
        self.frame.text.extend_from_slice(b"\r\n");
        self.after_literal_begins(State::Kept(size));
        Ok(())
    }

    fn after_literal_begins(&mut self, state: State) {
        self.line_start = self.frame.text.len();
        self.state =
            if matches!(state, State::Body(0) | State::Kept(0)) { State::Line } else { state };
    }

    fn feed_kept(&mut self, input: &[u8], left: u64) -> usize {
        let used = at_most(input, left);
        self.frame.text.extend_from_slice(&input[..used]);
        self.line_start = self.frame.text.len();
        let left = left - used as u64;
        self.state = if left == 0 { State::Line } else { State::Kept(left) };
        used
    }

    /// Memory grows with what arrives, not with what was announced.
    fn feed_body(&mut self, input: &[u8], left: u64) -> usize {
        let used = at_most(input, left);
        if let Some(body) = self.frame.bodies.last_mut() {
            body.extend_from_slice(&input[..used]);
        }
        let left = left - used as u64;
        self.state = if left == 0 { State::Line } else { State::Body(left) };
        used
    }

    fn too_large(&self, size: &str) -> String {
        let most = self.limits.literals;
        let shown = self.shown();
        format!("a literal of {size} where `max_size` lets at most {most} be taken: {shown}")
    }

    /// The beginning of the response, which names the message it is about.
    fn shown(&self) -> String {
        let text = &self.frame.text;
        let start = String::from_utf8_lossy(&text[..text.len().min(120)]);
        format!("\"{}\"", start.escape_debug())
    }
}

fn at_most(input: &[u8], left: u64) -> usize {
    usize::try_from(left).map_or(input.len(), |left| left.min(input.len()))
}

/// `* 12 FETCH …`
pub(super) fn is_fetch(text: &[u8]) -> bool {
    let Some(rest) = text.strip_prefix(b"* ") else { return false };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && rest[digits..].get(..7).is_some_and(|word| word.eq_ignore_ascii_case(b" FETCH "))
}

/// Text for people may end in `{5}` and mean nothing by it.
fn may_hold_literals(text: &[u8]) -> bool {
    text.starts_with(b"* ") && !is_status(text)
}

/// `* OK …`, `* NO …`, `* BAD …`, `* BYE …`, `* PREAUTH …`
pub(super) fn is_status(text: &[u8]) -> bool {
    let rest = text.strip_prefix(b"* ").unwrap_or_default();
    let word = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
    let statuses: [&[u8]; 5] = [b"OK", b"NO", b"BAD", b"BYE", b"PREAUTH"];
    statuses.iter().any(|status| word.eq_ignore_ascii_case(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(input: &[u8], piece: usize) -> Result<Vec<Frame>, String> {
        let mut framer = Framer::new(Limits { text: 200, literals: 100 }, "n".into());
        let mut frames = Vec::new();
        for mut part in input.chunks(piece) {
            while !part.is_empty() {
                let used = framer.feed(part)?;
                part = &part[used..];
                frames.extend(framer.take());
            }
        }
        Ok(frames)
    }

    #[test]
    fn literals_are_counted_in_pieces_of_any_size() {
        let input = b"* 1 FETCH (UID 7 BODY[] {9}\r\na)\r\n* 2 b FLAGS (\\Seen))\r\n* 3 EXISTS\n\
            * LIST () \"/\" {3}\r\na\nb\r\n* OK see {5}\r\n+ go {3}\r\nA1 OK done {1}\r\n";
        for piece in [1, 2, 3, 7, input.len()] {
            let frames = frames(input, piece).unwrap();
            let texts: Vec<_> = frames.iter().map(|f| String::from_utf8_lossy(&f.text)).collect();
            assert_eq!(
                texts,
                [
                    "* 1 FETCH (UID 7 BODY[] \"n.0\" FLAGS (\\Seen))",
                    "* 3 EXISTS",
                    "* LIST () \"/\" {3}\r\na\nb",
                    "* OK see {5}",
                    "+ go {3}",
                    "A1 OK done {1}"
                ]
            );
            assert_eq!(frames[0].bodies, [b"a)\r\n* 2 b".to_vec()]);
        }
    }

    #[test]
    fn a_literal_that_ends_in_a_brace_announces_nothing() {
        for input in [&b"* LIST () \"/\" {1}\r\n}\r\n"[..], b"* LIST () \"/\" {3}\r\n{5}\r\n"] {
            let frames = frames(input, 3).unwrap();
            assert_eq!(frames[0].text, input[..input.len() - 2]);
        }
    }

    #[test]
    fn an_empty_literal_is_an_empty_body() {
        let frames = frames(b"* 1 FETCH (BODY[] {0}\r\n UID 3)\r\n", 4).unwrap();
        assert_eq!(frames[0].bodies, [Vec::<u8>::new()]);
        assert_eq!(frames[0].text, b"* 1 FETCH (BODY[] \"n.0\" UID 3)");
    }

    #[test]
    fn limits_are_errors_that_name_the_place() {
        for (input, told) in [
            (&b"* 1 FETCH (UID 9 BODY[] {101}\r\n"[..], "UID 9"),
            (b"* 1 FETCH (UID 9 BODY[] {99999999999999999999}\r\n", "UID 9"),
            (b"* 1 FETCH (BODY[1] {60}\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx \
              BODY[2] {60}\r\n", "60 bytes"),
            (b"* LIST () \"/\" {4294967296}\r\n", "4294967296"),
            (&[b'x'; 300], "line of more than 200"),
        ] {
            let error = frames(input, 11).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}

//! Typed readers of TOML tables. Each call reads one key, notes what is wrong with it on the page
//! and gives `None` then, so that reading goes on and every fault is found in one pass.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::page::{At, Page, listed, quoted};
use super::quantity;
use crate::fault::nearest;
use crate::mail::MailboxName;

/// What a table may hold.
pub(super) struct Shape {
    /// Its keys, each with an example of its value as it is written.
    pub(super) keys: &'static [(&'static str, &'static str)],
    /// Keys of the design that this version does not act upon, each with what to do instead.
    pub(super) later: &'static [(&'static str, &'static str)],
    /// The whole table as it may be written.
    pub(super) example: &'static str,
}

/// What to do about a key of a later version.
pub(super) const REMOVE: &str = "remove it: it would do nothing";

/// A TOML value with its place.
pub(super) type Value<'a> = At<&'a DeValue<'a>>;

/// At most this many entries of a kind (accounts, pipelines, steps, …).
const MOST_ENTRIES: usize = 1_000;

/// One table.
pub(super) struct Reader<'a> {
    pub(super) page: &'a Page<'a>,
    /// How faults name the table.
    place: String,
    /// Where a fault of the table as a whole points.
    pub(super) at: usize,
    table: &'a DeTable<'a>,
    shape: &'static Shape,
}

impl<'a> Reader<'a> {
    /// Reads the whole document; unknown keys are noted at once.
    pub(super) fn root(page: &'a Page<'a>, table: &'a DeTable<'a>, shape: &'static Shape) -> Self {
        let place = "this file".to_owned();
        Self { page, place, at: 0, table, shape }.known_only()
    }

    /// Reads a value that must be a table; `place` names it in faults.
    pub(super) fn table(
        page: &'a Page<'a>,
        place: impl Into<String>,
        (at, value): (usize, Value<'a>),
        shape: &'static Shape,
    ) -> Option<Self> {
        let place = place.into();
        let Some(table) = value.value.as_table() else {
            let what = format!("{place} is {}, not a table", kind(value.value));
            page.fault(value.at, what, format!("write a table, e.g. {}", shape.example));
            return None;
        };
        Some(Self { page, place, at, table, shape }.known_only())
    }

    fn known_only(self) -> Self {
        for key in self.table.keys() {
            let (name, at) = (key.get_ref().as_ref(), key.span().start);
            let later = self.shape.later.iter().find(|(later, _)| *later == name);
            if let Some((_, instead)) = later {
                let what = format!("`{name}` is not supported by this version yet");
                self.page.fault(at, what, *instead);
            } else if !self.names().any(|known| known == name) {
                self.unknown(At { value: name, at });
            }
        }
        self
    }

    fn unknown(&self, key: At<&str>) {
        let what = format!("{} is no key of {}", quoted(key.value), self.place);
        let help = match nearest(key.value, self.names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("its keys are: {}", listed(self.names())),
        };
        self.page.fault(key.at, what, help);
    }

    fn names(&self) -> impl Iterator<Item = &'static str> + Clone + use<> {
        self.shape.keys.iter().map(|(name, _)| *name)
    }

    /// Whether the key is there, whatever its value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Where the key stands; the table itself where it is not there.
    pub(super) fn key_at(&self, key: &str) -> usize {
        self.table.get_key_value(key).map_or(self.at, |(key, _)| key.span().start)
    }

    /// A value as it is.
    pub(super) fn value(&self, key: &str) -> Option<Value<'a>> {
        self.table.get(key).map(|value| At { value: value.get_ref(), at: value.span().start })
    }

    /// A text that is not empty and has no control characters.
    pub(super) fn text(&self, key: &str) -> Option<At<&'a str>> {
        let found = self.value(key)?;
        let Some(value) = found.value.as_str() else {
            self.wrong_type(key, found, "a string");
            return None;
        };
        self.sound_text(&format!("`{key}`"), At { value, at: found.at }, &self.example(key))
    }

    /// The same, where the table cannot do without.
    pub(super) fn required_text(&self, key: &str) -> Option<At<&'a str>> {
        self.require(key);
        self.text(key)
    }

    /// Notes that the key is missing.
    pub(super) fn require(&self, key: &str) {
        if !self.has(key) && !self.mistyped(key) {
            let what = format!("{} has no `{key}`", self.place);
            self.page.missing(self.at, what, format!("add {}", self.example(key)));
        }
    }

    /// Whether the key seems to be there with a typing error, which was noted already.
    fn mistyped(&self, key: &str) -> bool {
        let unknown = |name: &&str| !self.names().any(|known| known == *name);
        let mut unknown = self.table.keys().map(|key| key.get_ref().as_ref()).filter(unknown);
        unknown.any(|name| nearest(name, self.names()) == Some(key))
    }

    /// A list of texts.
    pub(super) fn texts(&self, key: &str) -> Vec<At<&'a str>> {
        let mut texts = Vec::new();
        for element in self.list(key) {
            match element.value.as_str() {
                Some(value) => {
                    let text = At { value, at: element.at };
                    let element = format!("an element of `{key}`");
                    texts.extend(self.sound_text(&element, text, &self.example(key)));
                }
                None => {
                    let what = format!("`{key}` holds {}, not a string", kind(element.value));
                    self.page.fault(element.at, what, self.write(key));
                }
            }
        }
        texts
    }

    fn sound_text(&self, what: &str, text: At<&'a str>, example: &str) -> Option<At<&'a str>> {
        let wrong = match text.value {
            "" => "is empty",
            value if value.chars().any(char::is_control) => "has control characters",
            value if value.len() > 4096 => "has more than 4,096 bytes",
            _ => return Some(text),
        };
        self.page.fault(text.at, format!("{what} {wrong}"), format!("write {example}"));
        None
    }

    /// `true` or `false`, else the default.
    pub(super) fn switch(&self, key: &str, default: bool) -> bool {
        let Some(found) = self.value(key) else { return default };
        found.value.as_bool().unwrap_or_else(|| {
            self.wrong_type(key, found, "true or false");
            default
        })
    }

    /// A duration within a range, else the default.
    pub(super) fn duration(
        &self,
        key: &str,
        range: RangeInclusive<Duration>,
        default: Duration,
    ) -> Duration {
        let Some(text) = self.text(key) else { return default };
        match quantity::duration(text.value, range) {
            Ok(duration) => duration,
            Err(why) => {
                self.page.fault(text.at, format!("`{key}` {why}"), self.write(key));
                default
            }
        }
    }

    /// A size in bytes within a range, else the default.
    pub(super) fn size(&self, key: &str, range: RangeInclusive<u64>, default: u64) -> u64 {
        let Some(found) = self.value(key) else { return default };
        let size = match found.value {
            DeValue::Integer(bytes) => quantity::size(&bytes.to_string(), range),
            DeValue::String(text) => quantity::size(text, range),
            _ => {
                self.wrong_type(key, found, "a string or a number of bytes");
                return default;
            }
        };
        size.unwrap_or_else(|why| {
            self.page.fault(found.at, format!("`{key}` {why}"), self.write(key));
            default
        })
    }

    /// A number within a range, else the default.
    pub(super) fn number(&self, key: &str, range: RangeInclusive<u64>, default: u64) -> u64 {
        let Some(found) = self.value(key) else { return default };
        let DeValue::Integer(digits) = found.value else {
            self.wrong_type(key, found, "a number");
            return default;
        };
        match digits.to_string().parse::<u64>() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                let (least, most) = (range.start(), range.end());
                let what = format!("`{key}` is out of range: it may be {least} to {most}");
                self.page.fault(found.at, what, self.write(key));
                default
            }
        }
    }

    /// A path, from the configuration's folder.
    pub(super) fn path(&self, key: &str) -> Option<PathBuf> {
        self.text(key).map(|text| self.page.path(text.value))
    }

    /// A mailbox name.
    pub(super) fn mailbox(&self, key: &str) -> Option<MailboxName> {
        let text = self.text(key)?;
        MailboxName::new(text.value)
            .map_err(|why| self.page.fault(text.at, why, self.write(key)))
            .ok()
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text.value) {
            return Some(*meaning);
        }
        let known = words.iter().map(|(word, _)| *word);
        let help = match nearest(text.value, known.clone()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("write one of: {}", listed(known)),
        };
        self.page.fault(text.at, format!("`{key}` cannot be {}", quoted(text.value)), help);
        None
    }

    /// The elements of a list; none where there is no such key.
    pub(super) fn list(&self, key: &str) -> Vec<Value<'a>> {
        let Some(found) = self.value(key) else { return Vec::new() };
        let Some(list) = found.value.as_array() else {
            self.wrong_type(key, found, "a list");
            return Vec::new();
        };
        self.count(key, list.len());
        let elements = list.iter().take(MOST_ENTRIES);
        elements.map(|value| At { value: value.get_ref(), at: value.span().start }).collect()
    }

    /// The entries of `[key.NAME]`, by name; none where there is no such key. Names are checked.
    pub(super) fn entries(&self, key: &str) -> Vec<(At<&'a str>, Value<'a>)> {
        let Some(found) = self.value(key) else { return Vec::new() };
        let Some(table) = found.value.as_table() else {
            let what = format!("`{key}` is {}, not a table", kind(found.value));
            self.page.fault(self.key_at(key), what, format!("write [{key}.NAME]"));
            return Vec::new();
        };
        self.count(key, table.len());
        let entries = table.iter().take(MOST_ENTRIES).map(|(name, value)| {
            let name = At { value: name.get_ref().as_ref(), at: name.span().start };
            (name, At { value: value.get_ref(), at: value.span().start })
        });
        entries.filter(|(name, _)| self.sound_name(*name)).collect()
    }

    fn count(&self, key: &str, found: usize) {
        if found > MOST_ENTRIES {
            let what = format!("`{key}` has {found} entries, more than {MOST_ENTRIES}");
            self.page.fault(self.key_at(key), what, "split them over several engines");
        }
    }

    /// Whether a name can stand in log lines, file names and the store's keys.
    pub(super) fn sound_name(&self, name: At<&str>) -> bool {
        let fit = |c: char| c.is_alphanumeric() || "-_.@+".contains(c);
        let sound = (1..=100).contains(&name.value.len())
            && name.value.chars().all(fit)
            && !name.value.starts_with('.')
            && !name.value.contains("..");
        if !sound {
            let what = format!("{} cannot be a name", quoted(name.value));
            let help =
                "a name has 1 to 100 letters, digits or - _ . @ + (no dot first, nor two in a row)";
            self.page.fault(name.at, what, help);
        }
        sound
    }

    /// Exactly one of these keys must be there; gives the first that is.
    pub(super) fn one_of<'k>(&self, keys: &[&'k str]) -> Option<&'k str> {
        let mut present = keys.iter().copied().filter(|key| self.has(key));
        let Some(first) = present.next() else {
            if keys.iter().any(|key| self.mistyped(key)) {
                return None;
            }
            let what = format!("{} has neither {}", self.place, either(keys, " nor "));
            let examples: Vec<String> = keys.iter().map(|key| self.example(key)).collect();
            self.page.missing(self.at, what, format!("add {}", examples.join(", or ")));
            return None;
        };
        for other in present {
            let what = format!("`{other}` cannot stand beside `{first}`");
            self.page.fault(self.key_at(other), what, "keep one of them");
        }
        Some(first)
    }

    /// Keys that mean nothing here, each with the reason.
    pub(super) fn refuse(&self, keys: &[&str], why: &str) {
        for key in keys.iter().filter(|key| self.has(key)) {
            let what = format!("`{key}` means nothing here: {why}");
            self.page.fault(self.key_at(key), what, "remove it");
        }
    }

    /// Notes that a value has another type than expected.
    pub(super) fn wrong_type(&self, key: &str, found: Value<'_>, expected: &str) {
        let what = format!("`{key}` is {}, not {expected}", kind(found.value));
        self.page.fault(found.at, what, self.write(key));
    }

    /// "write key = example".
    pub(super) fn write(&self, key: &str) -> String {
        format!("write {}", self.example(key))
    }

    fn example(&self, key: &str) -> String {
        let known = self.shape.keys.iter().find(|(name, _)| *name == key);
        known.map_or_else(String::new, |(name, example)| format!("{name} = {example}"))
    }
}

/// A value's type with its article.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn either(keys: &[&str], between: &str) -> String {
    keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(between)
}

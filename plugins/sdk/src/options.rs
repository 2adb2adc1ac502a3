//! The keys of a step's `with`, taken one by one and checked: a mistake in the configuration fails the
//! step, with words that say what to change, rather than deciding wrongly.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::Mail;

/// The keys of a `with` that were not taken yet.
///
/// ```
/// # use mailmill_plugin::Options;
/// # fn main() -> Result<(), String> {
/// let with = serde_json::json!({ "folder": "Invoices", "flgs": true });
/// let mut options = Options::of(with)?;
/// assert_eq!(options.text("folder")?.as_deref(), Some("Invoices"));
/// assert_eq!(options.flag("flags")?, false);
/// let mistake = options.finish().unwrap_err();
/// assert_eq!(mistake, "with.flgs is unknown; there are folder and flags");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Options {
    left: Map<String, Value>,
    /// Keys that were asked for, in their order.
    known: Vec<&'static str>,
}

impl Mail {
    /// The keys of this step's `with`; none where it has none.
    ///
    /// # Errors
    /// `with` is no table.
    pub fn options(&self) -> Result<Options, String> {
        Options::of(self.with())
    }
}

impl Options {
    /// The keys of this value, [`Mail::with`] for instance.
    ///
    /// # Errors
    /// It is no table.
    pub fn of(with: Value) -> Result<Self, String> {
        match with {
            Value::Null => Ok(Self { left: Map::new(), known: Vec::new() }),
            Value::Object(left) => Ok(Self { left, known: Vec::new() }),
            _ => Err("`with` is a table".to_owned()),
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.left.remove(key)
    }

    /// A text; `None` where it is not given.
    ///
    /// # Errors
    /// It is something else.
    pub fn text(&mut self, key: &'static str) -> Result<Option<String>, String> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("with.{key} is a text")),
        }
    }

    /// True or false; false where it is not given.
    ///
    /// # Errors
    /// It is something else.
    pub fn flag(&mut self, key: &'static str) -> Result<bool, String> {
        match self.take(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(format!("with.{key} is true or false")),
        }
    }

    /// A table of texts, empty where it is not given; `example` is a line of it, for who got it wrong.
    ///
    /// # Errors
    /// It is something else.
    pub fn texts(
        &mut self,
        key: &'static str,
        example: &str,
    ) -> Result<BTreeMap<String, String>, String> {
        let wrong = || format!("with.{key} is a table such as {{ {example} }}");
        let texts = match self.take(key) {
            None => return Ok(BTreeMap::new()),
            Some(Value::Object(texts)) => texts,
            Some(_) => return Err(wrong()),
        };
        let text = |(name, value)| match value {
            Value::String(text) => Ok((name, text)),
            _ => Err(wrong()),
        };
        texts.into_iter().map(text).collect()
    }

    /// Everything was asked for.
    ///
    /// # Errors
    /// A key that was not asked for, which is most often one that is misspelt.
    pub fn finish(self) -> Result<(), String> {
        let Some(unknown) = self.left.keys().next() else { return Ok(()) };
        let known = match self.known.split_last() {
            None => "are none".to_owned(),
            Some((only, [])) => format!("is {only}"),
            Some((last, others)) => format!("are {} and {last}", others.join(", ")),
        };
        Err(format!("with.{unknown} is unknown; there {known}"))
    }
}

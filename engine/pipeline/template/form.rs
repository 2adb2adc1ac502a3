//! One form of a template rendered: values escaped, lines without their value left out.

use std::io::{self, Write};

use minijinja::value::ValueKind;
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value,
    escape_formatter,
};

use super::{FUEL, Fields, MOST_NESTED, MOST_OUTPUT};

/// Stands where a value is missing. No field and no template holds it.
const MISSING: &str = "\u{1}";

/// Stands where a value goes on in a new line.
pub(super) const BREAK: char = '\u{2}';

/// The sources, compiled.
pub(super) struct Form(Environment<'static>);

impl Form {
    pub(super) fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_auto_escape_callback(|name| match is_html(name) {
            true => AutoEscape::Html,
            false => AutoEscape::None,
        });
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(MOST_NESTED);
        environment.set_formatter(value);
        Self(environment)
    }

    /// Takes a source up.
    ///
    /// # Errors
    /// It is no template.
    pub(super) fn add(&mut self, file: &str, source: String) -> Result<(), Error> {
        self.0.add_template_owned(file.to_owned(), source)
    }

    /// The names that a template takes from outside, such as `project.name`.
    pub(super) fn names(&self, file: &str) -> Vec<String> {
        let Ok(template) = self.0.get_template(file) else { return Vec::new() };
        let own: Vec<String> = self.0.globals().map(|(name, _)| name.to_owned()).collect();
        let mut names: Vec<String> = template.undeclared_variables(true).into_iter().collect();
        names.retain(|name| !own.contains(name));
        names.sort_unstable();
        names
    }

    /// Renders a file.
    ///
    /// # Errors
    /// It fails with these fields, or gives too much.
    pub(super) fn render(&self, file: &str, fields: &Fields) -> Result<String, Error> {
        let mut out = Capped(Vec::new());
        let template = self.0.get_template(file)?;
        let rendered = template.render_captured_to(&fields.0, &mut out).map(|_| ());
        if out.0.len() > MOST_OUTPUT {
            let why = format!("it gives more than {} KiB", MOST_OUTPUT >> 10);
            return Err(Error::new(ErrorKind::WriteFailure, why));
        }
        rendered?;
        let line_break = if is_html(file) { "<br>" } else { "\n" };
        let text = String::from_utf8_lossy(&out.0);
        let lines = text.split('\n').filter(|line| !line.contains(MISSING));
        Ok(lines.collect::<Vec<_>>().join("\n").replace(BREAK, line_break))
    }
}

fn is_html(file: &str) -> bool {
    file.ends_with(".html")
}

/// Writes a value, or marks that it is missing.
fn value(out: &mut Output<'_>, state: &State<'_, '_>, value: &Value) -> Result<(), Error> {
    let is_empty = value.as_str().is_some_and(|text| text.trim().is_empty());
    if value.is_undefined() || value.is_none() || is_empty {
        return out.write_str(MISSING).map_err(Error::from);
    }
    if matches!(value.kind(), ValueKind::Map | ValueKind::Seq) {
        let why = "this is a row, not a value: name a column of it";
        return Err(Error::new(ErrorKind::InvalidOperation, why));
    }
    escape_formatter(out, state, value)
}

/// Takes a little more than may be given.
struct Capped(Vec<u8>);

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() > MOST_OUTPUT {
            return Err(io::Error::other("too much"));
        }
        let room = MOST_OUTPUT + 1 - self.0.len();
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

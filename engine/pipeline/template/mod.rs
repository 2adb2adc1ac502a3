//! Templates: what is written for people, with fields of the project, the user and the account in it.
//! MiniJinja lives here alone.
//!
//! A template is a file of the folder `templates`: `NAME.html`, `NAME.txt`, or both; where one is
//! missing it is made of the other. Images lie beside them, and the HTML shows them by `cid:FILE`.
//!
//! ```text
//! check     names and columns that do not exist, images that are not there: told at load
//! fields    project, user, account, now: values without control characters
//! form      one form rendered: values escaped, lines without their value left out
//! ```
//!
//! One rule goes beyond Jinja's: **a line of a template in which a value is missing or empty is left
//! out, the whole line**, in text and in HTML alike. So a line says one thing, and a template needs no
//! `if` for what not everybody has. A default makes it a value: `{{ user.phone or "-" }}`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::mail::signature::{Image, Signature};
use crate::mail::text_of_html;

mod check;
mod fields;
mod form;

pub(super) use check::{ENDINGS, most};
pub use fields::Fields;

use form::Form;

/// How templates are written: `mailmill docs templates`.
pub const GUIDE: &str = include_str!("guide.md");

/// Bytes of one template's file.
const MOST_SOURCE: usize = 64 << 10;

/// Bytes of one image.
const MOST_IMAGE: usize = 200 << 10;

/// Images of one template, and their bytes together.
const MOST_IMAGES: (usize, usize) = (5, 1 << 20);

/// Bytes that a template may give.
const MOST_OUTPUT: usize = 256 << 10;

/// Steps of MiniJinja that a template may take.
const FUEL: u64 = 100_000;

/// Templates, macros and blocks within each other.
const MOST_NESTED: usize = 50;

/// The templates of a generation.
pub struct Templates {
    form: Form,
    all: BTreeMap<String, Template>,
}

/// One template: which forms its files give, and its images.
#[derive(Debug, Default)]
struct Template {
    text: Option<String>,
    html: Option<String>,
    images: Vec<Image>,
}

/// The files of the folder, as read.
pub(super) struct Sources {
    /// The folder as faults name it.
    pub(super) folder: PathBuf,
    /// Content by file name.
    pub(super) files: BTreeMap<String, Arc<[u8]>>,
}

impl Templates {
    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.all.keys().map(String::as_str)
    }

    /// Renders both forms.
    ///
    /// # Errors
    /// Permanent: there is no such template, or it fails with these fields.
    pub fn render(&self, name: &str, fields: &Fields) -> Result<Signature> {
        let what = || format!("render the template \"{}\"", name.escape_debug());
        let Some(template) = self.all.get(name) else {
            let known: Vec<&str> = self.names().collect();
            return Err(Error::permanent(what(), "there is no such template")
                .next(format!("write templates/{name}.html; there are: {}", known.join(", "))));
        };
        let render = |file: &Option<String>| {
            let rendered = file.as_ref().map(|file| self.form.render(file, fields)).transpose();
            rendered.map_err(|why| Error::permanent(what(), why))
        };
        let (text, html) = (render(&template.text)?, render(&template.html)?);
        let html = html.map(|html| fragment(&html).to_owned());
        let text = text.or_else(|| html.as_deref().map(text_of_html)).unwrap_or_default();
        let html = html.unwrap_or_else(|| html_of(&text));
        let (html, images) = shown(html, &template.images);
        Ok(Signature { template: name.to_owned(), text: tidy(&text), html, images })
    }
}

impl Default for Templates {
    fn default() -> Self {
        Self { form: Form::new(), all: BTreeMap::new() }
    }
}

impl std::fmt::Debug for Templates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Templates").field(&self.all.keys()).finish()
    }
}

/// What stands within the body of a whole document, or all of it.
fn fragment(html: &str) -> &str {
    let lower = html.to_ascii_lowercase();
    let start = lower.find("<body").and_then(|at| Some(at + lower[at..].find('>')? + 1));
    let Some(start) = start else { return html.trim() };
    let end = lower.rfind("</body").filter(|end| *end >= start).unwrap_or(html.len());
    html[start..end].trim()
}

/// A text as HTML, line by line.
fn html_of(text: &str) -> String {
    let escape = |line: &str| {
        line.trim_end().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
    };
    tidy(text).lines().map(escape).collect::<Vec<_>>().join("<br>\n")
}

/// Without blank lines at its ends and blanks at the ends of its lines.
fn tidy(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let first = lines.iter().position(|line| !line.is_empty()).unwrap_or(lines.len());
    let last = lines.iter().rposition(|line| !line.is_empty()).map_or(first, |last| last + 1);
    lines[first..last].join("\n")
}

/// The HTML with the images' own ids, and those that it shows: a line that is left out may show one.
fn shown(mut html: String, images: &[Image]) -> (String, Vec<Image>) {
    let mut by_length: Vec<&Image> = images.iter().collect();
    by_length.sort_by_key(|image| std::cmp::Reverse(image.name.len()));
    let mut shown = Vec::new();
    for image in by_length {
        let reference = format!("cid:{}", image.name);
        if html.contains(&reference) {
            html = html.replace(&reference, &format!("cid:{}", image.id));
            shown.push(image.clone());
        }
    }
    shown.sort_by(|a, b| a.name.cmp(&b.name));
    (html, shown)
}

#[cfg(test)]
mod tests {
    use super::{fragment, html_of, tidy};

    #[test]
    fn each_form_is_made_of_the_other() {
        assert_eq!(html_of("\nA & B  \n<c>\n\n"), "A &amp; B<br>\n&lt;c&gt;");
        assert_eq!(fragment("<html><BODY class=\"x\">\n<p>a</p>\n</body></html>"), "<p>a</p>");
        assert_eq!(fragment(" <p>a</p>\n"), "<p>a</p>");
        assert_eq!(tidy("\n\na \n\nb\n \n"), "a\n\nb");
    }
}

//! From the files of the folder to templates, with everything wrong in them told at once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::fields::{NOW, ROOTS};
use super::{Fields, MOST_IMAGE, MOST_IMAGES, MOST_SOURCE, Sources, Templates};
use crate::fault::{Fault, Faults, nearest};
use crate::mail::signature::Image;
use crate::pipeline::table::{Table, Tables};

/// The files of the folder that count.
pub(in crate::pipeline) const ENDINGS: &[&str] =
    &[".html", ".txt", ".png", ".jpg", ".jpeg", ".gif"];

/// Media types of images, by ending, and how such a file begins.
const IMAGES: [(&str, &str, &[u8]); 4] = [
    (".png", "image/png", b"\x89PNG\r\n\x1a\n"),
    (".jpg", "image/jpeg", b"\xff\xd8\xff"),
    (".jpeg", "image/jpeg", b"\xff\xd8\xff"),
    (".gif", "image/gif", b"GIF8"),
];

/// Bytes that a file of this name may have.
pub(in crate::pipeline) fn most(name: &str) -> usize {
    if is_source(name) { MOST_SOURCE } else { MOST_IMAGE }
}

fn is_source(name: &str) -> bool {
    name.ends_with(".html") || name.ends_with(".txt")
}

/// The columns of each root, as far as they are known.
type Columns = BTreeMap<&'static str, Vec<String>>;

impl Templates {
    /// Checks and compiles the files of the folder. `tables` are the generation's.
    ///
    /// # Errors
    /// All faults of all templates.
    pub(in crate::pipeline) fn load(sources: &Sources, tables: &Tables) -> Result<Self, Faults> {
        let mut check =
            Check { sources, tables, templates: Self::default(), faults: Faults::default() };
        let mut texts = BTreeMap::new();
        for (file, bytes) in sources.files.iter().filter(|(file, _)| is_source(file)) {
            match check.source(file, bytes) {
                Ok(text) => {
                    texts.insert(file.as_str(), text);
                }
                Err(fault) => check.faults.0.push(fault),
            }
        }
        // Only then: a template may include another.
        texts.iter().for_each(|(file, text)| check.template(file, text));
        let Check { templates, faults, .. } = check;
        faults.into_result()?;
        Ok(templates)
    }
}

struct Check<'a> {
    sources: &'a Sources,
    tables: &'a Tables,
    templates: Templates,
    faults: Faults,
}

impl Check<'_> {
    fn shown(&self, file: &str) -> PathBuf {
        self.sources.folder.join(file)
    }

    /// Reads and compiles a file.
    fn source(&mut self, file: &str, bytes: &[u8]) -> Result<String, Fault> {
        let text = std::str::from_utf8(bytes).map_err(|why| {
            let line = bytes[..why.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
            let fault = Fault::whole(self.shown(file), "this line is not UTF-8");
            Fault { line, column: 1, ..fault }.help("save the file as UTF-8")
        })?;
        let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
        let control = |c: char| c.is_control() && c != '\n' && c != '\t';
        if let Some(at) = text.find(control) {
            let what = "a template holds no control characters";
            return Err(Fault::at_byte(self.shown(file), &text, at, what));
        }
        let added = self.templates.form.add(file, text.clone());
        added.map(|()| text.clone()).map_err(|why| self.fault_of(file, &text, &why))
    }

    /// Checks a file that compiles, and takes it up.
    fn template(&mut self, file: &str, text: &str) {
        let columns = self.columns();
        let before = self.faults.0.len();
        for name in self.templates.form.names(file) {
            if let Some((what, help)) = self.unknown(&name, &columns) {
                let fault = Fault::at_byte(self.shown(file), text, place(text, &name), what);
                self.faults.0.push(fault.help(help));
            }
        }
        if self.faults.0.len() == before {
            let tried = ["x", ""].iter().find_map(|value| {
                let fields = Fields::sample(&columns, value);
                self.templates.form.render(file, &fields).err()
            });
            let fault = tried.map(|why| self.fault_of(file, text, &why));
            self.faults.0.extend(fault);
        }
        let (name, is_html) = match file.strip_suffix(".html") {
            Some(name) => (name, true),
            None => (file.trim_end_matches(".txt"), false),
        };
        let images = if is_html { self.images(file, text) } else { Vec::new() };
        let template = self.templates.all.entry(name.to_owned()).or_default();
        match is_html {
            true => (template.html, template.images) = (Some(file.to_owned()), images),
            false => template.text = Some(file.to_owned()),
        }
    }

    /// A table without a row has columns that nobody knows.
    fn columns(&self) -> Columns {
        let columns = ROOTS.iter().map(|(root, table, besides)| {
            let known = self.tables.get(*table).into_iter().flat_map(Table::columns);
            let besides = besides.iter().map(|name| (*name).to_owned());
            let mut all: Vec<String> = known.map(str::to_owned).collect();
            besides.for_each(|name| {
                if !all.contains(&name) {
                    all.push(name);
                }
            });
            (*root, all)
        });
        columns.collect()
    }

    /// What is wrong with a name, and what to write instead.
    fn unknown(&self, name: &str, columns: &Columns) -> Option<(String, String)> {
        let (root, column) = name.split_once('.').unwrap_or((name, ""));
        let column = column.split('.').next().unwrap_or_default();
        let table = ROOTS.iter().find(|(known, ..)| *known == root).map(|(_, table, _)| *table);
        let known: Vec<&str> = match (root, table) {
            (_, Some(_)) => columns.get(root)?.iter().map(String::as_str).collect(),
            ("now", None) => NOW.to_vec(),
            ("date", None) => return None,
            (_, None) => {
                let roots = ["project", "user", "account", "now", "date"];
                let help = match nearest(root, roots) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("there are: {}", roots.join(", ")),
                };
                return Some((format!("a template has no {root}"), help));
            }
        };
        if column.is_empty() || known.contains(&column) {
            return None;
        }
        let rows = table.and_then(|table| Some((table, self.tables.get(table)?)));
        if rows.is_some_and(|(_, rows)| rows.is_empty()) {
            return None;
        }
        let help = match (nearest(column, known.iter().copied()), table) {
            (Some(near), _) => format!("did you mean {root}.{near}?"),
            (None, Some(table)) if rows.is_none() => {
                format!(
                    "add a table [tables.{table}] with this column; without it there are: {}",
                    known.join(", ")
                )
            }
            (None, _) => format!("there are: {}", known.join(", ")),
        };
        Some((format!("{root} has no {column}"), help))
    }

    fn fault_of(&self, file: &str, text: &str, why: &minijinja::Error) -> Fault {
        let innermost = std::iter::successors(std::error::Error::source(why), |why| why.source());
        let cause = innermost.last().map(|why| format!(": {why}")).unwrap_or_default();
        let what = match why.detail() {
            Some(detail) => format!("{detail}{cause}"),
            None => format!("{}{cause}", why.kind()),
        };
        match (why.range(), why.line()) {
            (Some(range), _) if range.start < text.len() => {
                Fault::at_byte(self.shown(file), text, range.start, what)
            }
            (_, Some(line)) => Fault::at(self.shown(file), text, (line, 1), what),
            _ => Fault::whole(self.shown(file), what),
        }
    }

    /// The images that an HTML template shows.
    fn images(&mut self, file: &str, text: &str) -> Vec<Image> {
        let mut images: Vec<Image> = Vec::new();
        for (at, name) in local(text) {
            let what = "this image would not be seen: it lies on no server";
            let fault = Fault::at_byte(self.shown(file), text, at, what);
            self.faults.0.push(fault.help(format!("write src=\"cid:{name}\"")));
        }
        for (at, name) in references(text) {
            if images.iter().any(|image| image.name == name) {
                continue;
            }
            match self.image(name) {
                Ok(image) => images.push(image),
                Err((what, help)) => {
                    let fault = Fault::at_byte(self.shown(file), text, at, what).help(help);
                    self.faults.0.push(fault);
                }
            }
        }
        let (most, most_bytes) = MOST_IMAGES;
        let bytes: usize = images.iter().map(|image| image.bytes.len()).sum();
        if images.len() > most || bytes > most_bytes {
            let what = format!("a template shows at most {most} images of together 1 MiB");
            self.faults.0.push(Fault::whole(self.shown(file), what));
        }
        images
    }

    fn image(&self, name: &str) -> Result<Image, (String, String)> {
        let folder = self.sources.folder.display();
        let Some(bytes) = self.sources.files.get(name).filter(|_| !is_source(name)) else {
            let known =
                self.sources.files.keys().map(String::as_str).filter(|name| !is_source(name));
            let help = match nearest(name, known) {
                Some(near) => format!("did you mean cid:{near}?"),
                None => format!("put the image into {folder}; PNG, JPEG and GIF are taken"),
            };
            return Err((
                format!("there is no image \"{}\" in {folder}", name.escape_debug()),
                help,
            ));
        };
        let kind = IMAGES.iter().find(|(ending, ..)| name.ends_with(ending));
        match kind.filter(|(_, _, start)| bytes.starts_with(start)) {
            Some((_, media_type, _)) => Ok(image(name, media_type, bytes)),
            None => Err((
                format!("{name} is no image of the kind that its name says"),
                "PNG, JPEG and GIF are taken".to_owned(),
            )),
        }
    }
}

/// The id is the same for the same image, so that an answer quotes what it answers.
fn image(name: &str, media_type: &'static str, bytes: &Arc<[u8]>) -> Image {
    let digest = Sha256::digest(bytes);
    let id: String = digest[..10].iter().map(|byte| format!("{byte:02x}")).collect();
    let id = format!("{id}@signature.mailmill");
    Image { id, name: name.to_owned(), media_type, bytes: bytes.clone() }
}

/// The images that are shown by `cid:`, and where.
fn references(text: &str) -> Vec<(usize, &str)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let mut found = Vec::new();
    for (at, _) in text.match_indices("cid:") {
        let rest = &text[at + 4..];
        found.push((at, &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())]));
    }
    found
}

/// Images that are named as files, and where.
fn local(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (at, quoted) in text.match_indices("src=") {
        let value = &text[at + quoted.len()..];
        let value = value.trim_start_matches(['"', '\'']);
        let value = &value[..value.find(['"', '\'', ' ', '>']).unwrap_or(value.len())];
        if !value.contains(':') && !value.contains("{{") && !value.starts_with("//") {
            found.push((at, value));
        }
    }
    found
}

/// Where a name stands in a template, or its start.
fn place(text: &str, name: &str) -> usize {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let whole = |at: &usize| {
        let after = text[at + name.len()..].chars().next();
        !text[..*at].ends_with(is_part) && !after.is_some_and(|c| c.is_alphanumeric() || c == '_')
    };
    let tags = text.find("{").unwrap_or(0);
    let mut places = text.match_indices(name).map(|(at, _)| at).filter(|at| *at >= tags);
    places.find(whole).unwrap_or(0)
}

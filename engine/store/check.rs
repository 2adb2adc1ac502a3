//! `mailmill store check`: looks over the store of a data folder without touching it.

use std::path::Path;
use std::time::Duration;

use super::lock::Lock;
use super::scratch::Scratch;
use super::survey::{Survey, of_tree};
use super::witness::{Acknowledged, Witness};
use super::{Store, place};
use crate::error::{Error, Result};

/// How long a command waits for another one that looks into the same store.
pub(super) const BRIEFLY: Duration = Duration::from_secs(2);

/// Looks over the store of a data folder that no engine uses; it is opened as a copy.
///
/// # Errors
/// Another process holds the store, there is none, or it cannot be copied.
pub fn check(data: &Path) -> Result<Survey> {
    must_be_there(data)?;
    let _lock = Lock::take(data, BRIEFLY)?;
    let scratch = Scratch::of(data)?;
    Ok(survey(&scratch, data))
}

/// What is to be said of a copy.
pub(super) fn survey(scratch: &Scratch, data: &Path) -> Survey {
    let mut survey = match scratch.tree() {
        Some(tree) => of_tree(tree, Witness::read(data)),
        None => Survey { v: 1, ..Survey::default() },
    };
    if let Some(why) = &scratch.refused {
        survey.wrong.insert(0, why.clone());
        survey.well = false;
    }
    survey.bytes_on_disk = place::bytes(&place::found(data));
    survey
}

/// Tells a folder without a store from one with a broken one.
///
/// # Errors
/// There is no store.
pub fn must_be_there(data: &Path) -> Result<()> {
    if place::is_there(data) || Witness::read(data) != Acknowledged::default() {
        return Ok(());
    }
    let what = format!("open the store {}", data.display());
    let error = match data.exists() {
        true => Error::permanent(what, "there is no store of mailmill in this folder"),
        false => Error::permanent(what, "no engine has run with this configuration yet"),
    };
    Err(error.next("start one with `mailmill run`"))
}

impl Store {
    /// Looks the whole store over; commits wait meanwhile.
    pub fn survey(&self) -> Survey {
        let _whole = self.disk.reading();
        let mut survey = of_tree(self.disk.tree(), Acknowledged::default());
        survey.bytes_on_disk = self.disk.bytes();
        survey
    }
}

//! The gate before the swap: what a candidate must pass besides being right in itself.

use std::sync::Arc;

use crate::fault::{Fault, Faults};
use crate::pipeline::{Candidate, case, gate};

/// Runs the user's own cases with `gate = true` against a candidate, and gives it back. Runs on the
/// thread that builds, where blocking harms nobody.
///
/// # Errors
/// The cases that are not as expected or take too long, or what is wrong with a file of cases; then
/// the candidate is refused and the generation in force stays.
pub(super) fn pass(candidate: Candidate) -> Result<Candidate, Faults> {
    let Candidate { generation, files } = candidate;
    let tests = case::beside(generation.config())?.into();
    let generation = Arc::new(generation);
    gate::run(&generation, &tests, gate::BUDGET)?;
    let file = generation.config().file.clone();
    // Nobody holds it any more once all cases have passed.
    let generation = Arc::into_inner(generation)
        .ok_or_else(|| Faults::from(Fault::whole(file, "the gate has not let go of the rules")))?;
    Ok(Candidate { generation, files })
}

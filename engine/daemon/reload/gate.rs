//! The gate before the swap: what a candidate must pass besides being right in itself.

use crate::fault::Faults;
use crate::pipeline::Candidate;

/// Runs what must hold of a candidate before it may decide. Runs on the thread that builds, where
/// blocking harms nobody.
///
/// # Errors
/// What does not hold; then the candidate is refused and the generation in force stays.
pub(super) fn gate(_candidate: &Candidate) -> Result<(), Faults> {
    Ok(())
}

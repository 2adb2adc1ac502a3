//! Requests for read receipts, in all the forms that mail programs write.

use super::field::{Field, Fields};

/// Fields that ask for a receipt (RFC 8098 and what programs use besides). Names compare in any
/// case.
pub const REQUESTS: [&str; 14] = [
    "Disposition-Notification-To",
    "Return-Receipt-To",
    "Read-Receipt-To",
    "Return-Receipt-Requested",
    "X-Confirm-Reading-To",
    "X-PMRQC",
    "Generate-Delivery-Report",
    "Return-Receipt",
    "Read-Receipt",
    "X-Return-Receipt-To",
    "X-Read-Receipt-To",
    "X-Disposition-Notification-To",
    "X-Confirm-Delivery-To",
    "Registered-Mail-Reply-Requested-By",
];

/// Fields that only say how a receipt is to look. They ask for none, and go with the request.
pub const COMPANIONS: [&str; 1] = ["Disposition-Notification-Options"];

/// The fields that ask, top first, each name once, as [`REQUESTS`] spells it.
pub(super) fn requests(bytes: &[u8], fields: &Fields) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for field in fields.iter() {
        if let Some(name) = REQUESTS.iter().find(|name| field.is(bytes, name))
            && !found.iter().any(|known| known == name)
        {
            found.push((*name).to_owned());
        }
    }
    found
}

/// Whether a field has to go so that no receipt is sent.
pub(super) fn concerns(bytes: &[u8], field: &Field) -> bool {
    REQUESTS.iter().chain(&COMPANIONS).any(|name| field.is(bytes, name))
}

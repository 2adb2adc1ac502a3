//! What read receipts and bounces report.

use mailmill::mail::report::{delivery, disposition};
use mailmill::mail::{Message, NeedBody};

use super::{bytes, header_block, message};

#[test]
fn a_receipt_names_its_message_and_reader() {
    for (name, original, automatic) in
        [("mdn-outlook", None, true), ("mdn-thunderbird", Some("team@example.org"), false)]
    {
        let report = disposition(&message(name)).unwrap().unwrap();
        assert_eq!(report.original_message_id.as_deref(), Some("plain-1@example.com"), "{name}");
        assert_eq!(report.final_recipient.as_deref(), Some("karl@example.org"), "{name}");
        assert_eq!(report.original_recipient.as_deref(), original, "{name}");
        assert_eq!(report.disposition, "displayed", "{name}");
        assert_eq!(report.is_automatic, automatic, "{name}");
        assert_eq!(delivery(&message(name)).unwrap(), None, "{name}");
    }
}

#[test]
fn a_bounce_names_its_message_and_each_recipient() {
    let report = delivery(&message("dsn-postfix")).unwrap().unwrap();
    assert_eq!(report.original_message_id.as_deref(), Some("lost-1@example.com"));
    assert_eq!(report.envelope_id.as_deref(), Some("env-77"));
    let [failed, delayed] = report.recipients.as_slice() else { panic!("{report:?}") };
    assert_eq!(failed.final_recipient.as_deref(), Some("nobody@example.net"));
    assert_eq!((failed.action.as_str(), failed.status.as_str()), ("failed", "5.1.1"));
    assert_eq!(
        failed.diagnostic.as_deref(),
        Some("smtp; 550 5.1.1 <nobody@example.net>: Recipient address rejected: User unknown")
    );
    assert_eq!((delayed.action.as_str(), delayed.status.as_str()), ("delayed", "4.4.1"));

    let report = delivery(&message("dsn-exchange")).unwrap().unwrap();
    assert_eq!(report.original_message_id.as_deref(), Some("lost-2@example.com"));
    assert_eq!(report.recipients.len(), 1);
    assert_eq!(report.recipients[0].status, "5.1.10");
}

#[test]
fn other_mail_reports_nothing() {
    assert_eq!(disposition(&message("plain")), Ok(None));
    assert_eq!(delivery(&message("plain")), Ok(None));
    // A bounce without a report.
    assert_eq!(delivery(&message("bounce-qmail")), Ok(None));
    let headers = Message::from_headers(header_block(&bytes("dsn-postfix")));
    assert_eq!(delivery(&headers), Err(NeedBody));
    assert_eq!(disposition(&headers), Ok(None));
}

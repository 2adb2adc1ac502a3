//! Each message file against the JSON beside it, and headers alone against the whole.
//!
//! `MAILMILL_BLESS=1` writes the JSON files; read each before it is committed.

use mailmill::mail::{Message, NeedBody};
use serde_json::Value;

use super::{files, header_block, message};

#[test]
fn every_file_reads_as_the_json_beside_it_says() {
    let bless = std::env::var_os("MAILMILL_BLESS").is_some();
    let mut wrong = Vec::new();
    for path in files() {
        let seen = super::inspect::json_of(&path);
        let expected = path.with_extension("json");
        if bless {
            let pretty = serde_json::to_string_pretty(&seen).unwrap() + "\n";
            std::fs::write(&expected, pretty).unwrap();
            continue;
        }
        let expected: Value = serde_json::from_slice(&std::fs::read(&expected).unwrap_or_default())
            .unwrap_or_default();
        if seen != expected {
            wrong.push(format!("{}\n  seen     {seen}\n  expected {expected}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every read that headers can answer.
fn by_headers(message: &Message) -> Vec<String> {
    vec![
        message.subject(),
        message.thread_subject(),
        format!("{:?}", message.from()),
        format!("{:?}", message.to()),
        format!("{:?}", message.cc()),
        format!("{:?}", message.reply_to()),
        format!("{:?}", message.date()),
        format!("{:?}", message.message_id()),
        format!("{:?}", message.in_reply_to()),
        format!("{:?}", message.references()),
        format!("{:?}", message.list_id()),
        format!("{:?}", message.headers("Received")),
        format!("{:?}", message.receipt_headers()),
        format!("{:?}", (message.is_auto(), message.is_bounce(), message.is_mdn())),
        format!("{:?}", (message.is_list(), message.is_reply(), message.receipt_requested())),
    ]
}

#[test]
fn headers_alone_give_the_same_answers_as_the_whole() {
    for path in files() {
        let bytes = std::fs::read(&path).unwrap();
        let whole = Message::whole(bytes.clone());
        let headers = Message::from_headers(header_block(&bytes));
        assert_eq!(by_headers(&headers), by_headers(&whole), "{}", path.display());
        let perhaps = [
            (headers.is_signed(), whole.is_signed()),
            (headers.is_encrypted(), whole.is_encrypted()),
            (headers.has_calendar(), whole.has_calendar()),
        ];
        for (early, late) in perhaps {
            assert!(late.is_ok(), "{}", path.display());
            assert!(early == late || early == Err(NeedBody), "{}", path.display());
        }
        assert_eq!(headers.text(9), Err(NeedBody));
        assert_eq!(headers.html(9), Err(NeedBody));
        assert_eq!(headers.attachments(), Err(NeedBody));
        assert_eq!(headers.raw(9), Err(NeedBody));
    }
}

#[test]
fn line_ends_change_no_answer() {
    for path in files() {
        let bytes = std::fs::read(&path).unwrap();
        // Bare CRs are no line ends.
        if path.ends_with("bare-cr.eml") {
            continue;
        }
        let text = bytes.split(|byte| *byte == b'\r').collect::<Vec<_>>().concat();
        let (crlf, lf) = (Message::whole(bytes), Message::whole(text));
        assert_eq!(by_headers(&lf), by_headers(&crlf), "{}", path.display());
        assert_eq!(lf.text(9999), crlf.text(9999), "{}", path.display());
        assert_eq!(lf.is_signed(), crlf.is_signed(), "{}", path.display());
        assert_eq!(lf.is_encrypted(), crlf.is_encrypted(), "{}", path.display());
    }
}

#[track_caller]
fn header_only(content_type: &str) -> Message {
    Message::from_headers(format!("From: a@b.de\nContent-Type: {content_type}\n\n").into_bytes())
}

#[test]
fn conclusive_headers_never_ask_for_the_body() {
    let signed = |kind| header_only(kind).is_signed();
    assert_eq!(signed("multipart/signed; boundary=x"), Ok(true));
    assert_eq!(signed("application/pkcs7-mime; smime-type=signed-data"), Ok(true));
    assert_eq!(signed("application/pkcs7-mime; smime-type=enveloped-data"), Ok(false));
    assert_eq!(signed("application/pkcs7-mime; name=smime.p7m"), Err(NeedBody));
    assert_eq!(signed("multipart/encrypted; boundary=x"), Ok(false));
    assert_eq!(signed("application/pdf"), Ok(false));
    assert_eq!(signed("multipart/mixed; boundary=x"), Err(NeedBody));
    assert_eq!(signed("text/plain"), Err(NeedBody));
    let encrypted = |kind| header_only(kind).is_encrypted();
    assert_eq!(encrypted("multipart/encrypted; boundary=x"), Ok(true));
    assert_eq!(encrypted("application/pkcs7-mime; smime-type=Enveloped-Data"), Ok(true));
    assert_eq!(encrypted("image/png"), Ok(false));
    assert_eq!(encrypted("multipart/signed; boundary=x"), Err(NeedBody));
    let calendar = |kind| header_only(kind).has_calendar();
    assert_eq!(calendar("text/calendar; method=REQUEST"), Ok(true));
    assert_eq!(calendar("text/plain"), Ok(false));
    assert_eq!(calendar("multipart/alternative; boundary=x"), Err(NeedBody));
}

#[test]
fn what_a_rule_asks_by_name() {
    let plain = message("plain");
    assert_eq!(plain.thread_subject(), "[T-071] Besprechung am Montag");
    assert_eq!(plain.header("SUBJECT").as_deref(), Some("[T-071] Besprechung am Montag"));
    assert_eq!(plain.header("X-None"), None);
    assert_eq!(
        plain.headers("received"),
        ["from mx.example.com (mx.example.com [192.0.2.1]) by mail.example.org with ESMTPS id \
          4Xyz; Mon, 23 Nov 2026 09:15:02 +0100"]
    );
    assert_eq!(message("reply-aw").thread_subject(), "[T-071] Besprechung am Montag");
    assert_eq!(message("forward-wg").thread_subject(), "Pläne");
    assert_eq!(message("gb18030").thread_subject(), "项目计划");
    let text = message("plain").text(7).unwrap();
    assert_eq!(text, "Guten T");
    assert_eq!(message("koi8-r").text(3).unwrap(), "Д", "never cut within a character");
    assert_eq!(message("plain").raw(12).unwrap(), b"Return-Path:");
}

/// One header field, and what it makes of the message.
#[track_caller]
fn is_auto(field: &str, expected: bool) {
    let message = Message::from_headers(format!("From: a@b.de\n{field}\n\n").into_bytes());
    assert_eq!(message.is_auto(), expected, "{field}");
}

#[test]
fn automatic_mail_is_told_by_many_habits() {
    is_auto("Subject: x", false);
    is_auto("Auto-Submitted: auto-generated", true);
    is_auto("Auto-Submitted: No (a person)", false);
    is_auto("Precedence: bulk", true);
    is_auto("Precedence: list", false);
    is_auto("X-Auto-Response-Suppress: DR, RN", false);
    is_auto("X-Auto-Response-Suppress: DR,OOF", true);
    is_auto("X-Autoreply: yes", true);
    is_auto("Return-Path: <>", true);
    is_auto("Return-Path: <a@b.de>", false);
    is_auto("From: NoReply+17@example.com", true);
    is_auto("From: noreplyfrank@example.com", false);
    is_auto("From: shop-noreply@example.com", true);
    is_auto("X-Loop: 1", true);
    is_auto("Content-Type: multipart/report; report-type=x", true);
}

//! The five shapes of mail, with and without images in the signature.

use super::Change::{Inserted, Rewritten};
use super::{all, ascii, mail, signature, with_logo};

const PLAIN: &str = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit";

const HTML: &str = "<html><head><title>Von: x</title><style>p { color: red }</style></head>\n\
                    <body>\n<p>Anbei der Plan.</p>\n</body></html>\n";

fn alternative() -> Vec<u8> {
    mail(
        "Content-Type: multipart/alternative; boundary=\"alt\"",
        "This is MIME.\n--alt\nContent-Type: text/plain; charset=utf-8\n\
         Content-Transfer-Encoding: 8bit\n\nAnbei der Plan.\n\n--alt\n\
         Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n\
         <html><body style=3D\"margin:0\"><p>Anbei der Plan f=C3=BCr Sie, mit einer Zeile, die wei=\n\
         tergeht.</p></body></html>\n--alt--\nEpilogue\n",
    )
}

fn related() -> Vec<u8> {
    mail(
        "Content-Type: multipart/related; boundary=rel; type=\"text/html\"",
        "--rel\nContent-Type: text/html; charset=us-ascii\n\n\
         <html><body><p>Anbei <img src=\"cid:own@x\"></p></body></html>\n--rel\n\
         Content-Type: image/png; name=own.png\nContent-Transfer-Encoding: base64\n\
         Content-ID: <own@x>\nContent-Disposition: inline\n\niVBORw0KGgo=\n--rel--\n",
    )
}

fn mixed() -> Vec<u8> {
    mail(
        "Content-Type: multipart/mixed; boundary=mix",
        "--mix\nContent-Type: multipart/alternative; boundary=alt\n\n--alt\n\
         Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nAnbei.\n--alt\n\
         Content-Type: multipart/related; boundary=rel\n\n--rel\n\
         Content-Type: text/html; charset=utf-8\n\n<div dir=\"ltr\">Anbei.</div>\n--rel\n\
         Content-Type: image/gif\nContent-ID: <a@b>\nContent-Transfer-Encoding: base64\n\n\
         R0lGODlhAQ==\n--rel--\n--alt--\n--mix\nContent-Type: application/pdf; name=plan.pdf\n\
         Content-Transfer-Encoding: base64\nContent-Disposition: attachment\n\nJVBERi0=\n--mix\n\
         Content-Type: text/plain; charset=utf-8; name=\"notes.txt\"\n\
         Content-Disposition: attachment; filename=\"notes.txt\"\n\nNotes of nobody.\n--mix\n\
         Content-Type: message/rfc822\n\nFrom: a@example.net\nSubject: old\n\nAn old message.\n--mix--\n",
    )
}

fn outlook_related() -> Vec<u8> {
    mail(
        "Content-Type: multipart/related; boundary=\"rel\"; type=\"multipart/alternative\"",
        "--rel\nContent-Type: multipart/alternative; boundary=\"alt\"\n\n--alt\n\
         Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nAnbei.\n\n--alt\n\
         Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n\
         <html><body><div class=\"WordSection1\"><p class=\"MsoNormal\">Anbei.</p></div></body></html>\n\
         --alt--\n\n--rel\nContent-Type: image/jpeg; name=\"image001.jpg\"\n\
         Content-ID: <image001.jpg@01DA>\nContent-Transfer-Encoding: base64\n\n/9j/4AAQ\n\n--rel--\n",
    )
}

/// Apple Mail puts a file between two pieces of text.
fn apple_mixed() -> Vec<u8> {
    mail(
        "Content-Type: multipart/alternative; boundary=alt",
        "--alt\nContent-Type: text/plain; charset=us-ascii\n\nVorher\n\n\nNachher\n--alt\n\
         Content-Type: multipart/mixed; boundary=mix\n\n--mix\n\
         Content-Type: text/html; charset=us-ascii\n\n<html><body>Vorher</body></html>\n--mix\n\
         Content-Type: application/pdf; name=a.pdf\nContent-Disposition: inline; filename=a.pdf\n\n\
         %PDF\n--mix\nContent-Type: text/html\n\n<html><body>Nachher</body></html>\n--mix--\n--alt--\n",
    )
}

#[test]
fn each_shape_takes_it() {
    let cases = [
        ("plain", mail(PLAIN, "Guten Tag,\n\nanbei der Plan.\n"), Inserted),
        ("plain without a line end", mail(PLAIN, "anbei"), Inserted),
        ("html", mail("Content-Type: text/html; charset=utf-8", HTML), Inserted),
        ("html without a body tag", mail("Content-Type: text/html", "<p>Anbei</p>\n"), Inserted),
        ("alternative", alternative(), Inserted),
        ("related", related(), Inserted),
        ("mixed", mixed(), Inserted),
        ("related around an alternative", outlook_related(), Inserted),
    ];
    insta::assert_snapshot!(all(&cases, &signature()));
}

#[test]
fn images_go_with_the_html() {
    let cases = [
        ("plain shows none", mail(PLAIN, "Guten Tag,\n\nanbei der Plan.\n"), Inserted),
        ("html is wrapped", mail("Content-Type: text/html; charset=utf-8", HTML), Rewritten),
        ("alternative", alternative(), Inserted),
        ("a related takes it", related(), Inserted),
        ("mixed", mixed(), Inserted),
        ("related around an alternative", outlook_related(), Inserted),
        ("Apple's mixed in an alternative", apple_mixed(), Inserted),
    ];
    insta::assert_snapshot!(all(&cases, &with_logo()));
}

#[test]
fn an_image_that_is_there_comes_once() {
    let signature = with_logo();
    let quoted = mail(
        "Content-Type: multipart/related; boundary=rel",
        "--rel\nContent-Type: text/html\n\n<html><body>Ja<div class=\"gmail_quote\">\
         <blockquote>x</blockquote></div></body></html>\n--rel\nContent-Type: image/png\n\
         Content-ID: <0123456789@signature.mailmill>\n\nx\n--rel--\n",
    );
    insta::assert_snapshot!(all(&[("an answer to our mail", quoted, Inserted)], &signature));
}

#[test]
fn line_feeds_and_missing_headers() {
    let lf = |text: &str| text.as_bytes().to_vec();
    let cases = [
        ("line feeds", lf("From: a@b.example\nSubject: x\n\nHallo\n"), Inserted),
        ("an empty body", lf("From: a@b.example\r\nSubject: x\r\n\r\n"), Inserted),
        ("no empty line", lf("From: a@b.example\r\nSubject: x\r\n"), Inserted),
        (
            "blank lines at the end",
            lf("From: a@b.example\r\nSubject: x\r\n\r\nHallo\r\n\r\n\r\n"),
            Inserted,
        ),
    ];
    insta::assert_snapshot!(all(&cases, &ascii()));
}

//! Where a person says where it goes, and what counts as signed.

use mailmill::mail::Message;
use mailmill::mail::signature::{Signing, sign};

use super::{mail, signature};

const TEXT: &str = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit";
const HTML: &str = "Content-Type: text/html; charset=utf-8";

fn signed(content: &str, body: &str) -> (String, Signing) {
    let message = Message::whole(mail(content, body));
    let (signed, signing) = sign(&message, &signature()).unwrap();
    let (again, second) = sign(&Message::whole(signed.bytes().clone()), &signature()).unwrap();
    assert!(matches!(second, Signing::Already { .. }), "{second}");
    assert_eq!(again.bytes(), signed.bytes());
    let text = String::from_utf8(signed.bytes().to_vec()).unwrap();
    (text.split_once("\r\n\r\n").unwrap().1.replace("\r\n", "\n"), signing)
}

#[test]
fn a_placeholder_wins() {
    let (text, _) = signed(TEXT, "Ja.\n\n{{ signature }}\n\nPS: Bis bald\n\n> {{signature}}\n");
    assert_eq!(
        text,
        "Ja.\n\nSmart City Quartier\nAnna Muster\nBüro Süd, Straße 1\n\nPS: Bis bald\n\n> {{signature}}\n"
    );
    let (html, _) = signed(HTML, "<p>Ja.</p>{{signature}}<p>PS</p>\n");
    assert_eq!(
        html,
        "<p>Ja.</p><div data-mailmill-signature=\"smartcity\" style=\"margin:1em 0\">\n<p>Smart City Quartier<br>\nAnna Muster<br>\n\
         B&#252;ro S&#252;d, Stra&#223;e 1</p>\n</div><p>PS</p>\n"
    );
    let (quoted, _) = signed(
        "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable",
        "Ja {{ signature }} =3D Gru=C3=9F\n",
    );
    assert_eq!(
        quoted,
        "Ja=20\nSmart City Quartier\nAnna Muster\nB=C3=BCro S=C3=BCd, Stra=C3=9Fe 1\n =3D Gru=C3=9F\n"
    );
}

#[test]
fn only_the_newest_text_counts_as_signed() {
    let old = "> Smart City Quartier\n> Anna Muster\n> Büro Süd, Straße 1\n";
    let (text, signing) = signed(TEXT, &format!("Ja.\n\nAm 1.1. schrieb Anna:\n{old}"));
    assert!(matches!(signing, Signing::Signed { .. }));
    assert!(text.starts_with("Ja.\n\nSmart City Quartier\n"), "{text}");
    let original = "Smart City Quartier\nAnna Muster\nBüro Süd, Straße 1\n";
    let (_, signing) = signed(TEXT, &format!("Ja.\n\n-----Original Message-----\n{original}"));
    assert!(matches!(signing, Signing::Signed { .. }));
    let html = "<p>Ja.</p><div class=\"gmail_quote\"><div>Am 1.1. schrieb Anna:</div><blockquote>\
                <div data-mailmill-signature=\"smartcity\">x</div></blockquote></div>\n";
    let (text, signing) = signed(HTML, html);
    assert!(matches!(signing, Signing::Signed { .. }));
    assert_eq!(text.matches("data-mailmill-signature").count(), 2);
}

#[test]
fn one_that_a_person_typed_is_one() {
    let (_, signing) =
        signed(TEXT, "Ja.\n\n  Smart City   Quartier\nAnna Muster \n\nBüro Süd, Straße 1\n");
    assert!(matches!(signing, Signing::Already { .. }));
    let (_, signing) = signed(
        HTML,
        "<p>Ja</p><table><tr><td>Smart City Quartier</td></tr><tr><td>Anna Muster</td></tr>\
                                     <tr><td>B&uuml;ro S&uuml;d, Straße 1</td></tr></table>\n",
    );
    assert!(matches!(signing, Signing::Already { .. }));
    let (_, signing) =
        signed(HTML, "<p>Ja</p><div data-mailmill-signature=\"other\">Other</div>\n");
    assert!(matches!(signing, Signing::Already { .. }), "another of ours");
}

#[test]
fn an_image_alone_goes_into_the_html_alone() {
    let image = super::Signature { text: String::new(), ..super::with_logo() };
    let image = super::Signature {
        html: "<img src=\"cid:0123456789@signature.mailmill\">".into(),
        ..image
    };
    let both =
        "--b\nContent-Type: text/plain\n\nJa\n--b\nContent-Type: text/html\n\n<p>Ja</p>\n--b--\n";
    let message = Message::whole(mail("Content-Type: multipart/alternative; boundary=b", both));
    let (signed, signing) = sign(&message, &image).unwrap();
    assert!(matches!(signing, Signing::Signed { .. }));
    assert_eq!(signed.text(100).unwrap(), "Ja");
    assert_eq!(signed.attachments().unwrap().len(), 1);
    let (again, signing) = sign(&Message::whole(signed.bytes().clone()), &image).unwrap();
    assert!(matches!(signing, Signing::Already { .. }));
    assert_eq!(again.bytes(), signed.bytes());
    let plain = Message::whole(mail(TEXT, "Ja\n"));
    assert!(sign(&plain, &image).unwrap().1.to_string().contains("gives no text"));
}

#[test]
fn a_template_may_have_its_own_separator() {
    let own = super::Signature { text: "-- \nAnna\n".into(), ..signature() };
    let message = Message::whole(mail(TEXT, "Ja.\n"));
    let (signed, _) = sign(&message, &own).unwrap();
    let text = String::from_utf8(signed.bytes().to_vec()).unwrap();
    assert!(text.ends_with("Ja.\r\n\r\n-- \r\nAnna\r\n"), "{text}");
    let reply = Message::whole(mail(TEXT, "Ja.\n\n> x\n"));
    let (signed, _) = sign(&reply, &own).unwrap();
    let text = String::from_utf8(signed.bytes().to_vec()).unwrap();
    assert!(text.ends_with("Ja.\r\n\r\nAnna\r\n\r\n> x\r\n"), "{text}");
}

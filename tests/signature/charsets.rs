//! Charsets and transfer encodings: a part is written anew only where it must be.

use super::Change::{Inserted, Rewritten};
use super::{all, ascii, mail, signature};

/// A message whose body is these bytes.
fn bytes(content: &str, body: &[u8]) -> Vec<u8> {
    [&mail(content, "")[..], body].concat()
}

fn plain(charset: &str, encoding: &str) -> String {
    format!("Content-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: {encoding}")
}

#[test]
fn text_in_charsets_that_hold_it() {
    let cases = [
        ("iso-8859-1", bytes(&plain("ISO-8859-1", "8bit"), b"Gr\xfc\xdfe\r\n"), Inserted),
        (
            "windows-1252",
            bytes(&plain("\"windows-1252\"", "8bit"), b"Gr\xfc\xdfe \x96\r\n"),
            Inserted,
        ),
        ("iso-8859-15", bytes(&plain("iso-8859-15", "8bit"), b"5 \xa4\r\n"), Inserted),
        (
            "utf-8 in quoted-printable",
            mail(&plain("utf-8", "quoted-printable"), "Gr=C3=BC=C3=9Fe =\nund mehr=20\n"),
            Inserted,
        ),
        (
            "latin-1 in quoted-printable",
            mail(&plain("iso-8859-1", "quoted-printable"), "Gr=FC=DFe\n"),
            Inserted,
        ),
        ("soft break at the end", mail(&plain("utf-8", "quoted-printable"), "Hallo =\n"), Inserted),
        ("base64", mail(&plain("utf-8", "base64"), "R3LDvMOfZQ0K\n"), Rewritten),
        (
            "8 bits without a word of them",
            bytes("Content-Type: text/plain; charset=utf-8", "Grüße\r\n".as_bytes()),
            Inserted,
        ),
    ];
    insta::assert_snapshot!(all(&cases, &signature()));
}

#[test]
fn text_that_has_to_be_written_anew() {
    let flowed = "Content-Type: text/plain; charset=us-ascii; format=flowed; delsp=yes";
    let cases = [
        ("us-ascii becomes utf-8", mail(flowed, "Hallo\n"), Rewritten),
        ("no content type", mail("X-Mailer: old", "Hallo\n"), Rewritten),
        (
            "7bit utf-8 becomes quoted-printable",
            mail(&plain("utf-8", "7bit"), "Hallo = x\n"),
            Rewritten,
        ),
        ("koi8-r has no umlaut", bytes(&plain("koi8-r", "8bit"), b"\xf0\xf2\xe9\r\n"), Rewritten),
        ("koi8-r in base64", mail(&plain("koi8-r", "base64"), "8PLpDQo=\n"), Rewritten),
        ("iso-2022-jp", bytes(&plain("iso-2022-jp", "7bit"), b"\x1b$B$3\x1b(B\r\n"), Rewritten),
        ("utf-16 in base64", mail(&plain("utf-16le", "base64"), "SABpAA0ACgA=\n"), Rewritten),
    ];
    insta::assert_snapshot!(all(&cases, &signature()));
}

#[test]
fn what_ascii_needs() {
    let cases = [
        (
            "iso-2022-jp takes ascii",
            bytes(&plain("iso-2022-jp", "7bit"), b"\x1b$B$3\x1b(B\r\n"),
            Inserted,
        ),
        (
            "gb18030 takes ascii",
            bytes(&plain("gb18030", "8bit"), b"\xc4\xe3\xba\xc3\r\n"),
            Inserted,
        ),
        ("utf-7 does not", mail(&plain("utf-7", "7bit"), "Gr+APwA3w-e\n"), Rewritten),
        (
            "html in windows-1251",
            bytes(
                "Content-Type: text/html; charset=windows-1251\r\nContent-Transfer-Encoding: 8bit",
                b"<p>\xcf\xf0</p></body>\r\n",
            ),
            Inserted,
        ),
        (
            "html in base64",
            mail(
                "Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64",
                "PHA+SGFsbG88L3A+PC9ib2R5Pg0K\n",
            ),
            Rewritten,
        ),
    ];
    insta::assert_snapshot!(all(&cases, &ascii()));
}

#[test]
fn flowed_text() {
    let flowed =
        "Content-Type: text/plain; charset=utf-8; format=flowed\nContent-Transfer-Encoding: 8bit";
    let delsp = flowed.replace("flowed", "flowed; delsp=yes");
    let mut stuffed = signature();
    stuffed.text = "From Süd to Nord\n  eingerückt".into();
    let cases = [
        ("flowed", mail(flowed, "Ein Absatz, der \nweiter geht.\n"), Inserted),
        ("delsp", mail(&delsp, "Ein Absatz, der weit \ner geht.\n"), Inserted),
        (
            "a quote in flowed text",
            mail(flowed, "Ja.\n\nAm 12.03.26 um 10:11 schrieb Petra \nWeber:\n> Geht \n> das?\n"),
            Inserted,
        ),
    ];
    let told = [all(&cases, &signature()), all(&cases[..1], &stuffed)];
    insta::assert_snapshot!(told.join("\n"));
}

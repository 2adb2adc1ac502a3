//! Replies as mail programs write them: the signature stands above what is quoted, wherever the
//! newest text does.

use super::Change::Inserted;
use super::{all, mail, signature};

const TEXT: &str = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit";
const HTML: &str = "Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: 8bit";

fn text(body: &str) -> Vec<u8> {
    mail(TEXT, body)
}

fn html(body: &str) -> Vec<u8> {
    mail(HTML, body)
}

/// A few, for tests that change them.
pub(super) fn some() -> Vec<Vec<u8>> {
    vec![
        outlook("#E1E1E1", GERMAN_HEADER),
        text(
            "Das passt.\n\nAm 12.03.26 um 10:11 schrieb Petra Weber:\n> Geht das?\n> \n\n-- \nAnna\n",
        ),
        text(
            "Das passt.\n\n-----Ursprüngliche Nachricht-----\nVon: Petra Weber\nGesendet: x\n\nGeht das?\n",
        ),
        html(
            "<p>Das passt.</p><div class=\"gmail_quote\"><div>Am 1.1. schrieb Petra:</div><blockquote>Geht das?</blockquote></div>\n",
        ),
        mail(
            "Content-Type: multipart/alternative; boundary=b",
            "--b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n\
             Gr=C3=BC=C3=9Fe =\nund so\n\n> x=20\n--b\nContent-Type: text/html; charset=iso-8859-1\n\
             Content-Transfer-Encoding: quoted-printable\n\n<body><p>Gr=FC=DFe</p><blockquote type=3D\"cite\">x</bl=\n\
             ockquote></body>\n--b--\n",
        ),
    ]
}

/// Outlook for Windows: Word's HTML, the quoted header block under a line.
fn outlook(rule: &str, header: &str) -> Vec<u8> {
    html(&format!(
        "<html xmlns:o=\"urn:schemas-microsoft-com:office:office\"><head><!--[if mso]><p>Von: x</p><![endif]-->\n\
         <style><!-- p.MsoNormal {{margin:0cm;}} --></style></head><body lang=\"DE\">\n\
         <div class=\"WordSection1\">\n<p class=\"MsoNormal\">Guten Tag Frau Weber,<o:p></o:p></p>\n\
         <p class=\"MsoNormal\">das passt.<o:p></o:p></p>\n<p class=\"MsoNormal\"><o:p>&nbsp;</o:p></p>\n\
         <div>\n<div style=\"border:none;border-top:solid {rule} 1.0pt;padding:3.0pt 0cm 0cm 0cm\">\n\
         <p class=\"MsoNormal\">{header}<o:p></o:p></p>\n</div>\n</div>\n\
         <p class=\"MsoNormal\">Geht das?<o:p></o:p></p>\n</div>\n</body></html>\n"
    ))
}

const GERMAN_HEADER: &str = "<b>Von:</b> Petra Weber &lt;weber@example.net&gt; <br>\n\
    <b>Gesendet:</b> Donnerstag, 12. März 2026 10:11<br>\n<b>An:</b> Anna Muster<br>\n\
    <b>Betreff:</b> Lageplan";
const ENGLISH_HEADER: &str = "<b>From:</b> Petra Weber &lt;weber@example.net&gt; <br>\n\
    <b>Sent:</b> Thursday, March 12, 2026 10:11 AM<br>\n<b>To:</b> Anna Muster<br>\n\
    <b>Subject:</b> Site plan";

#[test]
fn outlook_in_german_and_english() {
    let web = |header: &str| {
        html(&format!(
            "<html><body dir=\"ltr\">\n<div class=\"elementToProof\">Das passt.</div>\n\
             <div id=\"appendonsend\"></div>\n<hr style=\"display:inline-block;width:98%\" tabindex=\"-1\">\n\
             <div id=\"divRplyFwdMsg\" dir=\"ltr\"><font face=\"Calibri, sans-serif\">{header}</font>\n\
             <div>&nbsp;</div></div>\n<div>Geht das?</div>\n</body></html>\n"
        ))
    };
    let mobile = "<html><body><div dir=\"auto\">Passt.</div>\n<div id=\"ms-outlook-mobile-signature\">Outlook für Android</div>\n\
                  <hr style=\"display:inline-block;width:98%\">\n<div id=\"divRplyFwdMsg\"><b>Von:</b> x</div>\n\
                  <div>Alt</div></body></html>\n";
    let block = |words: [&str; 4]| {
        let [from, sent, to, subject] = words;
        text(&format!(
            "Das passt.\n\n{from}: Petra Weber <weber@example.net>\n{sent}: 12. März 2026 10:11\n{to}: Anna Muster\n\
             {subject}: Lageplan\n\nGeht das?\n"
        ))
    };
    let cases = [
        ("Outlook, HTML, German", outlook("#E1E1E1", GERMAN_HEADER), Inserted),
        ("Outlook, HTML, English", outlook("#B5C4DF", ENGLISH_HEADER), Inserted),
        ("Outlook on the web, German", web(GERMAN_HEADER), Inserted),
        ("Outlook on the web, English", web(ENGLISH_HEADER), Inserted),
        ("Outlook on a telephone", html(mobile), Inserted),
        (
            "Outlook, text, German",
            text(
                "Das passt.\n\n-----Ursprüngliche Nachricht-----\nVon: Petra Weber\nGesendet: x\n\nGeht das?\n",
            ),
            Inserted,
        ),
        (
            "Outlook, text, English",
            text("Fine.\n\n-----Original Message-----\nFrom: Petra Weber\nSent: x\n\nOk?\n"),
            Inserted,
        ),
        (
            "Outlook, text without a rule, German",
            block(["Von", "Gesendet", "An", "Betreff"]),
            Inserted,
        ),
        (
            "Outlook, text without a rule, English",
            block(["From", "Sent", "To", "Subject"]),
            Inserted,
        ),
        (
            "Outlook on the web, text",
            text(
                "Das passt.\n________________________________\nVon: Petra Weber\nGesendet: x\nAn: y\nBetreff: z\n\nGeht das?\n",
            ),
            Inserted,
        ),
        (
            "a header block in HTML without any mark",
            html(
                "<html><body><p>Das passt.</p><p><b>Von:</b> Petra<br><b>Gesendet:</b> heute<br><b>An:</b> mich<br><b>Betreff:</b> x</p><p>Geht das?</p></body></html>\n",
            ),
            Inserted,
        ),
        (
            "a titled rule in HTML, in entities",
            html(
                "<html><body><p>Das passt.</p>\n<p>-----Urspr&uuml;ngliche Nachricht-----<br>Von: Petra</p></body></html>\n",
            ),
            Inserted,
        ),
    ];
    insta::assert_snapshot!(all(&cases, &signature()));
}

#[test]
fn gmail_in_german_and_english() {
    let gmail = |attribution: &str| {
        let plain = attribution.replace("&lt;", "<").replace("&gt;", ">");
        mail(
            "Content-Type: multipart/alternative; boundary=\"000\"",
            &format!(
                "--000\nContent-Type: text/plain; charset=\"UTF-8\"\nContent-Transfer-Encoding: 8bit\n\n\
                 Das passt.\n\n{plain}\n\n> Geht das?\n>\n--000\n\
                 Content-Type: text/html; charset=\"UTF-8\"\nContent-Transfer-Encoding: 8bit\n\n\
                 <div dir=\"ltr\">Das passt.</div><br><div class=\"gmail_quote gmail_quote_container\">\
                 <div dir=\"ltr\" class=\"gmail_attr\">{attribution}<br></div>\
                 <blockquote class=\"gmail_quote\" style=\"margin:0px\">Geht das?</blockquote></div>\n\n--000--\n"
            ),
        )
    };
    let forwarded = "<div dir=\"ltr\">Zur Info<br><br><div class=\"gmail_quote\"><div dir=\"ltr\" class=\"gmail_attr\">\
                     ---------- Forwarded message ---------<br>Von: <strong>Petra</strong><br>Date: Do.<br>Subject: x<br>\
                     To: Anna<br></div>Alt<br><blockquote>Älter</blockquote>Mehr Altes</div></div>\n";
    let between = "<div dir=\"ltr\"><div class=\"gmail_quote\"><div class=\"gmail_attr\">Am Do. schrieb Petra:<br></div>\
                   <blockquote class=\"gmail_quote\">Geht das?</blockquote><div>Ja.</div>\
                   <blockquote class=\"gmail_quote\">Und das?</blockquote><div>Nein.</div></div></div>\n";
    let cases = [
        (
            "Gmail, German",
            gmail(
                "Am Do., 12. März 2026 um 10:11 Uhr schrieb Petra Weber &lt;weber@example.net&gt;:",
            ),
            Inserted,
        ),
        (
            "Gmail, English",
            gmail("On Thu, Mar 12, 2026 at 10:11 AM Petra Weber &lt;weber@example.net&gt; wrote:"),
            Inserted,
        ),
        (
            "Gmail, wrapped attribution",
            text(
                "Das passt.\n\nAm Do., 12. März 2026 um 10:11 Uhr schrieb Petra Weber <\nweber@example.net>:\n\n> Geht das?\n",
            ),
            Inserted,
        ),
        ("Gmail, forwarded", html(forwarded), Inserted),
        ("Gmail, answers between", html(between), Inserted),
        (
            "Gmail, forwarded as text",
            text(
                "Zur Info\n\n---------- Forwarded message ---------\nVon: Petra\nDate: Do.\nSubject: x\n\nAlt\n",
            ),
            Inserted,
        ),
    ];
    insta::assert_snapshot!(all(&cases, &signature()));
}

#[test]
fn thunderbird_in_german_and_english() {
    let above = |attribution: &str| {
        html(&format!(
            "<!DOCTYPE html>\n<html>\n  <head>\n    <meta http-equiv=\"Content-Type\" content=\"text/html; charset=UTF-8\">\n\
             </head>\n  <body>\n    <p>Das passt.</p>\n    <div class=\"moz-signature\">-- <br>Anna</div>\n\
             <div class=\"moz-cite-prefix\">{attribution}<br>\n    </div>\n\
             <blockquote type=\"cite\" cite=\"mid:x@example.net\">\n      <p>Geht das?</p>\n    </blockquote>\n  </body>\n</html>\n"
        ))
    };
    let below = "<html><body><div class=\"moz-cite-prefix\">Am 12.03.26 um 10:11 schrieb Petra:<br></div>\n\
                 <blockquote type=\"cite\" cite=\"mid:x\"><p>Geht das?</p></blockquote>\n<p>Das passt.</p>\n\
                 <div class=\"moz-signature\">-- <br>Anna</div></body></html>\n";
    let signature_below = "<html><body><p>Das passt.</p><div class=\"moz-cite-prefix\">Am 12.03.26 um 10:11 schrieb Petra:<br></div>\n\
                 <blockquote type=\"cite\" cite=\"mid:x\"><p>Geht das?</p></blockquote>\n\
                 <div class=\"moz-signature\">-- <br>Anna</div></body></html>\n";
    let forwarded = "<html><body><p>Zur Info</p><div class=\"moz-forward-container\"><br>-------- Weitergeleitete Nachricht --------\n\
                     <table class=\"moz-email-headers-table\"><tr><th>Betreff: </th><td>x</td></tr></table><p>Alt</p></div></body></html>\n";
    let cases = [
        ("Thunderbird, German", above("Am 12.03.26 um 10:11 schrieb Petra Weber:"), Inserted),
        ("Thunderbird, English", above("On 12/03/2026 10:11, Petra Weber wrote:"), Inserted),
        ("Thunderbird, below the quote", html(below), Inserted),
        ("Thunderbird, its signature below the quote", html(signature_below), Inserted),
        ("Thunderbird, forwarded", html(forwarded), Inserted),
        (
            "Thunderbird, text, German",
            text("Das passt.\n\nAm 12.03.26 um 10:11 schrieb Petra Weber:\n> Geht das?\n> \n"),
            Inserted,
        ),
        (
            "Thunderbird, text, English",
            text("Fine.\n\nOn 12/03/2026 10:11, Petra Weber wrote:\n> Ok?\n"),
            Inserted,
        ),
        (
            "Thunderbird, text, below the quote",
            text("Am 12.03.26 um 10:11 schrieb Petra Weber:\n> Geht das?\n\nDas passt.\n"),
            Inserted,
        ),
        (
            "Thunderbird, text, answers between",
            text("Am 12.03.26 schrieb Petra:\n> Geht das?\nJa.\n> Und das?\nNein.\n\n-- \nAnna\n"),
            Inserted,
        ),
        (
            "Thunderbird, text, its signature below the quote",
            text("Das passt.\n\nAm 12.03.26 schrieb Petra:\n> Geht das?\n\n-- \nAnna\n"),
            Inserted,
        ),
        ("Thunderbird, text, its signature", text("Das passt.\n\n-- \nAnna\n"), Inserted),
        (
            "Thunderbird, text, forwarded",
            text(
                "Zur Info\n\n\n-------- Weitergeleitete Nachricht --------\nBetreff: x\nVon: Petra\n\nAlt\n",
            ),
            Inserted,
        ),
    ];
    insta::assert_snapshot!(all(&cases, &signature()));
}

#[test]
fn apple_mail_in_german_and_english() {
    let apple = |attribution: &str| {
        html(&format!(
            "<html><head><meta http-equiv=\"content-type\" content=\"text/html; charset=utf-8\"></head>\
             <body style=\"overflow-wrap: break-word;\">Das passt.<br id=\"lineBreakAtBeginningOfMessage\">\
             <div><br><blockquote type=\"cite\"><div>{attribution}</div><br class=\"Apple-interchange-newline\">\
             <div>Geht das?</div></blockquote></div><br></body></html>\n"
        ))
    };
    let telephone = "<html><body dir=\"auto\">Das passt.<div><br></div><div dir=\"ltr\">Von meinem iPhone gesendet</div>\
                     <div dir=\"ltr\"><br><blockquote type=\"cite\">Am 12.03.2026 um 10:11 schrieb Petra Weber &lt;weber@example.net&gt;:<br><br></blockquote></div>\
                     <blockquote type=\"cite\"><div dir=\"ltr\">\u{feff}Geht das?</div></blockquote></body></html>\n";
    let forwarded = "<html><body>Zur Info<br><div><br><blockquote type=\"cite\"><div>Anfang der weitergeleiteten Nachricht:</div>\
                     <div>Von: Petra</div><div>Betreff: x</div><div>Alt</div></blockquote></div></body></html>\n";
    let cases = [
        (
            "Apple Mail, German",
            apple("Am 12.03.2026 um 10:11 schrieb Petra Weber &lt;weber@example.net&gt;:"),
            Inserted,
        ),
        (
            "Apple Mail, English",
            apple("On 12. Mar 2026, at 10:11, Petra Weber &lt;weber@example.net&gt; wrote:"),
            Inserted,
        ),
        ("Apple Mail on a telephone", html(telephone), Inserted),
        ("Apple Mail, forwarded", html(forwarded), Inserted),
        (
            "Apple Mail, text, German",
            text(
                "Das passt.\n\n> Am 12.03.2026 um 10:11 schrieb Petra Weber <weber@example.net>:\n> \n> Geht das?\n\n",
            ),
            Inserted,
        ),
        (
            "Apple Mail, text, English",
            text(
                "Fine.\n\n> On 12. Mar 2026, at 10:11, Petra Weber <weber@example.net> wrote:\n> \n> Ok?\n",
            ),
            Inserted,
        ),
        (
            "Apple Mail, text, forwarded",
            text(
                "Zur Info\n\nAnfang der weitergeleiteten Nachricht:\n\nVon: Petra\nBetreff: x\n\nAlt\n",
            ),
            Inserted,
        ),
    ];
    insta::assert_snapshot!(all(&cases, &signature()));
}

#[test]
fn other_programs_and_nothing_of_ones_own() {
    let cases = [
        (
            "Roundcube",
            html(
                "<html><body><p>Das passt.</p>\n<p id=\"reply-intro\">Am 12.03.2026 10:11, schrieb Petra:</p>\n<blockquote type=\"cite\">Geht das?</blockquote></body></html>\n",
            ),
            Inserted,
        ),
        (
            "GMX",
            html(
                "<html><body><div>Das passt.</div>\n<div><div name=\"quote\" style=\"margin:10px\"><div><b>Gesendet:</b> Do<br><b>Von:</b> Petra<br><b>An:</b> x</div><div>Geht das?</div></div></div></body></html>\n",
            ),
            Inserted,
        ),
        (
            "an attribution above a bare blockquote",
            html(
                "<p>Das passt.</p>\n<p>Petra Weber schrieb am 12.03.2026:</p>\n<blockquote>Geht das?</blockquote>\n",
            ),
            Inserted,
        ),
        (
            "a blockquote that is none",
            html("<p>Goethe:</p><blockquote>Edel sei der Mensch</blockquote><p>Gruß</p>\n"),
            Inserted,
        ),
        (
            "forwarded without a word, text",
            text("-----Original Message-----\nFrom: x\n\nAlt\n"),
            Inserted,
        ),
        (
            "forwarded without a word, blank above",
            text("\n\n-------- Forwarded message --------\nFrom: x\n"),
            Inserted,
        ),
        (
            "forwarded without a word, HTML",
            html("<html><body><div class=\"moz-forward-container\">Alt</div></body></html>\n"),
            Inserted,
        ),
        ("cited text right below", text("Ja.\n> Geht das?\n"), Inserted),
    ];
    insta::assert_snapshot!(all(&cases, &signature()));
}

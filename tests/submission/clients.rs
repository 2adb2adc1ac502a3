//! The programs that people use: swaks, Python's smtplib, openssl.

use std::process::{Command, Output, Stdio};

use super::{Office, PASSWORD, certificate};

/// Sends by swaks: the exit code and what was said.
fn swaks(office: &Office, port: u16, more: &[&str]) -> (i32, String) {
    let server = format!("127.0.0.1:{port}");
    let output = Command::new("swaks")
        .args(["--server", &server, "--auth-user", "anna", "--auth-password", PASSWORD])
        .args(["--from", "anna@example.com", "--to", "carl@example.org"])
        .args(more)
        .current_dir(office.mill.path(""))
        .output()
        .expect("swaks is missing: `tests/run` installs it");
    told(&output)
}

fn told(output: &Output) -> (i32, String) {
    let out = [&output.stdout[..], &output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&out).into_owned())
}

fn python(office: &Office, script: &str) -> String {
    let mut python = Command::new("python3")
        .arg("-")
        .args([office.port().to_string(), office.ports[1].to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut python.stdin.take().unwrap(), script.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    let (code, out) = told(&output);
    assert_eq!(code, 0, "{out}");
    out
}

#[test]
fn swaks_delivers_by_each_mechanism_and_protection() {
    let office = Office::new();
    let [port, tls_port] = office.ports;
    for (port, how) in [
        (port, &["--auth", "PLAIN"][..]),
        (port, &["--auth", "LOGIN", "-tls"]),
        (tls_port, &["--auth", "PLAIN", "--tls-on-connect"]),
    ] {
        let (code, said) = swaks(&office, port, how);
        assert_eq!(code, 0, "{said}");
    }
    let with: Vec<String> = office.queue().into_iter().map(|(_, message)| message).collect();
    let protocols = ["with ESMTPA id", "with ESMTPSA id", "with ESMTPSA id"];
    assert_eq!(with.len(), 3);
    for (message, protocol) in with.iter().zip(protocols) {
        assert!(
            message.contains(protocol) && message.contains("This is a test mailing"),
            "{message}"
        );
    }
}

#[test]
fn swaks_is_refused_with_a_wrong_password_and_as_somebody_else() {
    let office = Office::new();
    let (code, said) = swaks(&office, office.port(), &["--auth-password", "wrong horse"]);
    assert!(code != 0 && said.contains("535 5.7.8"), "{said}");
    let (code, said) = swaks(&office, office.port(), &["--from", "boss@example.net"]);
    assert!(
        code != 0 && said.contains("550 5.7.60 anna may not send as boss@example.net"),
        "{said}"
    );
    assert!(office.queue().is_empty());
}

#[test]
fn smtplib_delivers_with_everything_it_can() {
    let office = Office::new();
    python(
        &office,
        &r#"
import smtplib, ssl, sys
from email.message import EmailMessage
context = ssl._create_unverified_context()
m = EmailMessage()
m["From"] = "Anna Weiß <anna@example.com>"
m["To"] = "carl@example.org"
m["Bcc"] = "secret@example.org"
m["Disposition-Notification-To"] = "anna@example.com"
m["Subject"] = "Grüße"
m.set_content("Zeile\n.punkt\n..zwei\n")
with smtplib.SMTP("127.0.0.1", int(sys.argv[1])) as s:
    s.starttls(context=context)
    s.login("anna", "PASSWORD")
    assert s.send_message(m) == {}
    s.sendmail("anna@example.com", ["carl@example.org"], b"From: anna@example.com\r\n\r\n\xc3\xa4\r\n",
               ["BODY=8BITMIME", "RET=HDRS", "ENVID=abc"], ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;Carl@example.org"])
with smtplib.SMTP_SSL("127.0.0.1", int(sys.argv[2]), context=context) as s:
    s.login("anna", "PASSWORD")
    s.sendmail("anna@example.com", ["jürgen@example.org"], "From: anna@example.com\n\nx\n", ["SMTPUTF8"])
"#
        .replace("PASSWORD", PASSWORD),
    );
    let queue = office.queue();
    let (known, message) = &queue[0];
    let to: Vec<_> = known["recipients"].as_array().unwrap().iter().collect();
    // smtplib takes Bcc into the envelope and out of the header itself.
    assert_eq!(
        (to.len(), &known["user"], &known["account"]),
        (2, &"anna".into(), &"office".into())
    );
    assert!(
        !message.contains("secret@") && !message.contains("Disposition-Notification"),
        "{message}"
    );
    assert!(message.contains("\r\n.punkt\r\n..zwei\r\n"), "{message}");
    assert!(message.contains("\r\nX-User: anna\r\n") || message.starts_with("X-User: anna\r\n"));
    let envelope = &queue[1].0;
    assert_eq!((&envelope["ret"], &envelope["envid"]), (&"headers".into(), &"abc".into()));
    assert_eq!(envelope["body"], "eight_bit_mime");
    let recipient = &envelope["recipients"][0];
    assert_eq!(recipient["orcpt"], "rfc822;Carl@example.org");
    assert_eq!(recipient["notify"]["on"]["success"], true);
    assert_eq!(queue[2].0["charset"], "utf8");
    assert!(queue[2].1.contains("with UTF8SMTPSA id"), "{}", queue[2].1);
}

#[test]
fn a_renewed_certificate_is_shown_without_a_restart() {
    let office = Office::new();
    let shown = || {
        let server = format!("127.0.0.1:{}", office.ports[1]);
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &server])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        told(&output).1
    };
    assert!(shown().contains("CN = mx.example.com") || shown().contains("CN=mx.example.com"));
    certificate(&office.mill, "new.example.com");
    let now = shown();
    assert!(now.contains("CN = new.example.com") || now.contains("CN=new.example.com"), "{now}");
    office.mill.write("cert.pem", "no certificate");
    assert!(shown().contains("new.example.com"), "the one before stays in use");
}

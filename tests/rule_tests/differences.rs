//! What a person and a program are told of a case that comes out otherwise, and the exit codes.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{INVOICE, case, mill};
use crate::support::mill::Mill;

/// A rule that says a bit of everything, and one that fails.
const BUSY: &str = "fn inbound(mail) {
    mail.link(\"T-1\", \"subject\");
    mail.tag(\"kind\", \"invoice\");
    mail.add_flag(\"\\\\Flagged\");
    mail.copy_to(\"Copies\");
    mail.move_to(\"Invoices\");
    mail.state.set(\"last\", `${mail.state.get(\"last\")}${mail.now}`);
    if mail.text.contains(\"Hello\") { mail.stop(); }
}
";

const PIPELINE: &str = r#"
[accounts.office]
maildir = "maildir"
inbound = "sort"
[pipelines.sort]
steps = [{ script = "broken", on_error = "skip" }, { script = "busy" }, { script = "sort" }]
"#;

fn busy(tests: &str) -> Mill {
    let mill = Mill::new(PIPELINE);
    mill.write("scripts/broken.rhai", "fn inbound(mail) {\n    throw \"on purpose\";\n}\n");
    mill.write("scripts/busy.rhai", BUSY);
    mill.write("scripts/sort.rhai", super::SORT);
    mill.write("busy.test.toml", tests);
    mill
}

#[test]
fn each_kind_of_difference_is_shown() {
    let tests = [
        case("a step failed", "project = 'T-1'"),
        case("no such error", "error = 'table'"),
        case("error fits, actions do not", "error = 'on purpose', actions = [
  { action = 'link', project = 'T-1' },
  { action = 'tag', key = 'kind', value = 'order' },
  { action = 'add_flag' },
  { action = 'move_to', mailbox = 'Invoices', step = 'sort' },
  { action = 'state_set' },
  { action = 'stop', at = 'busy.rhai:8' },
]"),
        case("missing and unwanted", "error = 'on purpose', contains = [{ action = 'copy_to' }, { action = 'copy_to' }], lacks = [{ action = 'move_to' }, { action = 'hold' }]"),
        case("values", "error = 'on purpose', tags = { kind = 'order', \"odd key\" = 'x' }, project = '', evidence = 'account', verdict = 'continue', path = ['busy', 'sort'], read_body = false"),
    ]
    .concat();
    // TOML 1.0 keeps an inline table on one line; the parser takes 1.1.
    assert_snapshot!(busy(&tests).expect(1, &["test"]));
}

#[test]
fn what_is_given_reaches_the_rules() {
    let tests = format!(
        "[[case]]\nname = \"memory and clock\"\nstep = \"busy\"\n{INVOICE}\
         now = \"2026-03-02T10:00:00+01:00\"\nstate.busy.last = \"once, \"\nstate.other.last = \"no\"\n\
         expect.contains = [{{ action = \"state_set\", value = \"once, 2026-03-02T09:00:00Z\" }}]\n\
         expect.path = [\"busy\"]\nexpect.read_body = true\nexpect.verdict = \"stop\"\n\
         [[case]]\nname = \"what is read\"\nstep = \"read\"\n{INVOICE}account = \"other\"\n\
         mailbox = \"Import\"\nflags = ['\\Seen', \"$x\"]\nreceived = 2026-01-01T00:00:00Z\n\
         now = 2026-01-02T00:00:00Z\nwith = {{ n = 7 }}\n\
         earlier = {{ project = \"T-1\", tags = {{ a = \"b\" }} }}\n\
         tables.accounts.other = {{ address = \"o@example.com\" }}\n\
         tables.novel.k = {{ v = \"w\" }}\n\
         expect.actions = [{{ action = \"log\", text = 'other Import [\"\\\\Seen\", \"$x\"] 86400 7 T-1 earlier b o@example.com w' }}]\n\
         [[case]]\nname = \"on the way out\"\nstep = \"read\"\n{INVOICE}direction = \"outbound\"\n\
         user = \"anna\"\nexpect.verdict = \"reject\"\n\
         expect.actions = [{{ action = \"reject\", reason = \"not as anna\" }}]\n"
    );
    let mill = busy(&tests);
    let read = "fn inbound(mail) {\n    let row = mail.table(\"accounts\").get(mail.account);\n    \
                let name = \"novel\";\n    \
                mail.log(`${mail.account} ${mail.mailbox} ${mail.flags} ${mail.now - mail.received} \
                ${mail.config.n} ${mail.project} ${mail.links[0].evidence} ${mail.tags.a} \
                ${row.address} ${mail.table(name).get(\"k\").v}`);\n}\n\
                fn outbound(mail) { mail.reject(\"not as \" + mail.user); }\n";
    mill.write("scripts/read.rhai", read);
    let told = mill.call(&["test"]);
    let text = String::from_utf8_lossy(&told.stdout).replace("\\\\", "\\");
    assert_eq!(told.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&told.stderr));
}

#[test]
fn programs_get_a_line_a_message() {
    let mill = mill(&format!(
        "[[case]]\nname = \"all of them\"\ngate = true\nmessage = \"../mail\"\n\
         expect.contains = [{{ action = \"move_to\", mailbox = \"Invoices\" }}]\n{}",
        case("inline", "actions = []")
    ));
    mill.write("mail/1.eml", "Subject: Invoice\n\nHello.\n");
    mill.write("mail/2.eml", "Subject: None\n\nHello.\n");
    mill.write("mail/notes.txt", "no message");
    let told = mill.expect(1, &["test", "--json"]);
    let lines: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let short = |line: &Value| json!([line["case"], line["message"], line["passed"], line["gate"]]);
    let expected = [
        json!(["all of them", "../mail/1.eml", true, true]),
        json!(["all of them", "../mail/2.eml", false, true]),
        json!(["inline", null, false, false]),
    ];
    assert_eq!(lines.iter().map(short).collect::<Vec<_>>(), expected);
    assert_eq!(lines[0]["v"], 1);
    assert_eq!(lines[0]["at"], "scripts/sort.test.toml:2");
    assert_eq!(lines[0]["differences"], json!([]));
    assert_eq!(
        lines[1]["differences"],
        json!([{ "of": "contains", "came": [],
            "expected": [{ "action": "move_to", "mailbox": "Invoices" }] }])
    );
    let came = &lines[2]["differences"][0]["came"];
    assert_eq!(came[1]["at"], "sort.rhai:4", "{came}");
    assert_eq!(lines[2]["decision"]["actions"], *came, "the decision is that of `try`");
}

#[test]
fn the_filter_takes_cases_by_name_and_by_file() {
    let mill =
        mill(&[case("right", "verdict = 'continue'"), case("wrong", "verdict = 'stop'")].concat());
    mill.write("other.test.toml", case("right, too", "verdict = 'continue'"));
    let sum = |args: &[&str], code| mill.expect(code, args).lines().last().unwrap().to_owned();
    let right = "1 case in 1 file, 1 message: all as expected";
    assert_eq!(
        sum(&["test", "--filter", "right"], 0),
        right.replace("1 case in 1 file, 1 message", "2 cases in 2 files, 2 messages")
    );
    assert_eq!(sum(&["test", "--filter", "other.test"], 0), right);
    assert_eq!(sum(&["test", "other.test.toml"], 0), right);
    assert_eq!(sum(&["test", "."], 0), right);
    let wrong = "2 cases in 1 file, 2 messages: 1 not as expected (- expected, + came)";
    assert_eq!(sum(&["test", "scripts"], 1), wrong);
    assert_eq!(
        sum(&["test", "--filter", "wrong"], 1),
        wrong.replace("2 cases in 1 file, 2 messages", "1 case in 1 file, 1 message")
    );
}

#[test]
fn to_test_nothing_is_a_wrong_call() {
    let mill = mill(&case("right", "verdict = 'continue'"));
    let told = |args: &[&str]| {
        let output = mill.call(args);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), b"".as_slice()));
        String::from_utf8(output.stderr).unwrap()
    };
    let none = told(&["test", "--filter", "rigth"]);
    assert!(none.contains("of 1 case none has \"rigth\" in its name"), "{none}");
    assert!(told(&["test", "scrips"]).contains("there is no file or folder scrips"));
    assert!(told(&["test", "plugins"]).contains("no file ends with .test.toml"));
}

#[test]
fn a_message_that_goes_away_is_told_and_nothing_steers_the_terminal() {
    let mill = mill("[[case]]\nname = \"evil\"\nmessage = \"x.eml\"\nexpect.actions = []\n");
    mill.write("scripts/x.eml", "Subject: Invoice \u{1b}]52;c\u{7}\n\nx\n");
    mill.write(
        "scripts/sort.rhai",
        "fn inbound(mail) {\n    mail.log(mail.subject);\n    mail.tag(\"a\", \"\u{202e}\");\n}\n",
    );
    let told = mill.expect(1, &["test"]);
    assert!(!told.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{told:?}");
    assert!(told.contains("+ { action = \"log\""), "{told}");
}

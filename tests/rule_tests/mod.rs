//! `mailmill test`: the user's own tests of rules, their differences, their faults, and the gate
//! before a reload. The shipped rules pass theirs, and a broken rule does not.

mod differences;
mod faults;
mod gate;
mod shipped;

use crate::support::mill::Mill;

const CONFIG: &str = r#"
[accounts.office]
address = "office@example.com"
maildir = "maildir"
inbound = "sort"

[pipelines.sort]
steps = [{ script = "sort" }]
"#;

const INVOICE: &str =
    "message = \"\"\"\nFrom: a@supplier.example\nSubject: Invoice 1\n\nHello.\n\"\"\"\n";

const SORT: &str = "fn inbound(mail) {
    if mail.subject.contains(\"Invoice\") {
        mail.add_flag(\"\\\\Flagged\");
        mail.move_to(\"Invoices\");
    }
}
";

/// A mill with the rule `sort` and these tests of it.
fn mill(tests: &str) -> Mill {
    let mill = Mill::new(CONFIG);
    mill.write("scripts/sort.rhai", SORT);
    mill.write("scripts/sort.test.toml", tests);
    mill
}

/// A case of the invoice with this expectation.
fn case(name: &str, expect: &str) -> String {
    format!("[[case]]\nname = \"{name}\"\n{INVOICE}expect = {{ {expect} }}\n\n")
}

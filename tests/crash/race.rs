//! A delivery into a mailbox that another account watches is not met there as new mail, however soon
//! that account looks.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::mill::{Mill, PATIENCE};

#[test]
fn a_delivery_is_not_new_mail_to_the_account_that_watches_its_target() {
    let mill = Mill::new(
        "[accounts.a]\nmaildir = \"a\"\ninbound = \"hand-on\"\n\
         [accounts.b]\nmaildir = \"b\"\ninbound = \"flag\"\npoll = \"1s\"\n\
         [targets.b]\naccount = \"b\"\nmailbox = \"INBOX\"\n\
         [pipelines.hand-on]\nsteps = [{ script = \"hand-on\" }]\n\
         [pipelines.flag]\nsteps = [{ script = \"flag\" }]\n",
    );
    mill.write("scripts/hand-on.rhai", "fn inbound(mail) { mail.deliver_to(\"b\"); }");
    mill.write("scripts/flag.rhai", "fn inbound(mail) { mail.add_flag(\"\\\\Flagged\"); }");
    std::fs::create_dir_all(mill.path("b/cur")).unwrap();
    for number in 0..300 {
        let text = format!("Subject: {number}\nMessage-ID: <{number}@example.org>\n\nHello.\n");
        mill.deliver("a", &number.to_string(), text);
    }
    let running = mill.start();
    let until = Instant::now() + PATIENCE;
    while String::from_utf8(mill.call(&["status", "--json"]).stdout)
        .unwrap()
        .matches("\"settled\":300")
        .count()
        == 0
    {
        assert!(Instant::now() < until, "not all of it was handed on");
        std::thread::sleep(Duration::from_millis(50));
    }
    running.terminate();
    mill.once();
    let flagged: Vec<Value> = std::fs::read_dir(mill.path("b/cur"))
        .unwrap()
        .map(|file| file.unwrap().file_name().to_string_lossy().into_owned().into())
        .collect();
    let all = std::fs::read_dir(mill.path("b/new")).unwrap().count() + flagged.len();
    assert_eq!((all, flagged.len()), (300, 0));
}

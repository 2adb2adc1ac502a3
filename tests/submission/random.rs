//! Dialogues that no client would have, by the thousand: what must hold of each stands in
//! `tests/support/talk.rs`, which the fuzz target `dialogue` uses as well.

use std::fs;

use crate::support::mill::root;
use crate::support::talk::talk;

const WORDS: [&str; 40] = [
    "EHLO me\r\n",
    "HELO me\r\n",
    "EHLO me\r\nAUTH PLAIN AGFubmEAeA==\r\n",
    "AUTH PLAIN AGFubmEAeA==\r\n",
    "AUTH PLAIN AGJlcnQAeA==\r\n",
    "AUTH LOGIN\r\nYW5uYQ==\r\neA==\r\n",
    "AUTH LOGIN\r\n",
    "AUTH PLAIN\r\n",
    "YW5uYQ==\r\n",
    "*\r\n",
    "=\r\n",
    "STARTTLS\r\n",
    "MAIL FROM:<a@b.example>\r\n",
    "MAIL FROM:<> SIZE=99 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=a+2Bb\r\n",
    "MAIL FROM:<a@b.example> SIZE=99999\r\n",
    "MAIL FROM:<",
    "RCPT TO:<c@d.example>\r\n",
    "RCPT TO:<\"c d\"@e.example> NOTIFY=NEVER ORCPT=rfc822;x+20y\r\n",
    "RCPT TO:<\u{fc}@d.example>\r\n",
    "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n",
    "DATA\r\n",
    "Subject: x\r\n\r\nHello.\r\n.\r\n",
    ".\r\n",
    "\r\n.\r\n",
    "..\r\n",
    "\r\n",
    "\n.\n",
    "\n.\r\n",
    "\r.\r",
    "\r",
    "\n",
    "\0",
    ".",
    " ",
    "RSET\r\n",
    "NOOP x\r\n",
    "QUIT\r\n",
    "BDAT 5 LAST\r\n",
    "VRFY x\r\nHELP\r\n",
    "a line of a message that is somewhat longer than the others, and ends as it should\r\n",
];

/// Numbers that are the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % most as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }
}

#[test]
fn random_dialogues_keep_the_rules() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for _ in 0..6_000 {
        let moods = if dice.below(2) == 0 { 0 } else { dice.byte() };
        let mut input = vec![dice.byte(), dice.byte() >> dice.below(8), moods];
        if dice.below(4) > 0 {
            input.extend_from_slice(WORDS[2].as_bytes());
        }
        for _ in 0..dice.below(50) {
            match dice.below(40) {
                0 => input.push(dice.byte()),
                1 => input.extend(vec![b'x'; dice.below(3_000)]),
                2 => input.extend(WORDS[dice.below(WORDS.len())].repeat(20).bytes()),
                _ => input.extend_from_slice(WORDS[dice.below(WORDS.len())].as_bytes()),
            }
        }
        talk(&input);
    }
}

#[test]
fn the_seeds_of_the_fuzz_target_keep_the_rules_however_they_are_damaged() {
    let mut dice = Dice(0xd1b5_4a32_d192_ed03);
    let folder = root().join("tests/fuzz/seeds/dialogue");
    for file in fs::read_dir(folder).unwrap() {
        let seed = fs::read(file.unwrap().path()).unwrap();
        talk(&seed);
        for _ in 0..300 {
            let mut damaged = seed.clone();
            for _ in 0..=dice.below(4) {
                let at = dice.below(damaged.len());
                match dice.below(3) {
                    0 => damaged[at] = dice.byte(),
                    1 => drop(damaged.remove(at)),
                    _ => damaged.insert(at, dice.byte()),
                }
            }
            talk(&damaged);
        }
    }
}

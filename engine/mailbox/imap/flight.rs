//! Several commands under way at once (RFC 9051 section 5.5), so that their round trips do not add
//! up.
//!
//! Only commands with UIDs go here, which no answer to another of them makes ambiguous. What is
//! under way is bounded, so that neither side ever waits for the other to read. A server may end
//! commands in any order: each answer is told by its tag, and a COPYUID by the UIDs it names.

use std::collections::{BTreeSet, VecDeque};

use crate::error::Result;
use crate::fault_point::{Point, reach_command};
use crate::mail::Uid;
use crate::mailbox::{Alteration, Altered, Landed, Tell};

use super::alter::{flag_item, take_landed};
use super::command::{Command, Piece};
use super::fetch::named;
use super::random;
use super::response::{Code, Reply, Said, Status};
use super::session::{Lost, Session, not_sent};
use super::set::{NamedSet, named_sets};

/// Commands under way.
const MOST: usize = 32;

/// Bytes of commands under way, unless it is one alone: less than the buffers of two sockets hold.
const MOST_BYTES: usize = 60 * 1024;

/// One command: an alteration, or as much of it as one line may name.
struct Flyer<'a> {
    index: usize,
    what: String,
    uids: Vec<Uid>,
    command: Command<'a>,
}

/// A command that was sent.
struct Flying {
    tag: String,
    verb: &'static str,
    bytes: usize,
    index: usize,
    what: String,
    uids: BTreeSet<Uid>,
    /// COPYUID codes that came before the tagged answer.
    codes: Vec<Code>,
}

impl Session {
    /// Makes the changes, each by one command for as many messages as a line can name.
    pub(super) async fn fly(&mut self, alterations: &[Alteration], tell: Tell<'_>) -> Result<()> {
        self.make_ready(&self.here("change messages")?).await?;
        let wires = self.wires(alterations, tell)?;
        let mut waiting = self.flyers(alterations, &wires)?;
        let mut flying: Vec<Flying> = Vec::new();
        let mut back_off = None;
        while !waiting.is_empty() || !flying.is_empty() {
            self.launch(&mut waiting, &mut flying, tell).await?;
            let Some((flight, said)) = self.land(&mut flying).await? else { continue };
            let outcome = self.conclude(&flight.what, said.clone());
            if !flying.is_empty() {
                self.begin_unfinished();
            }
            let asked = self.refusal.take_if(|refusal| refusal.back_off.is_some());
            if asked.is_some() {
                back_off = asked;
                waiting.clear();
            }
            tell(flight.ended(outcome, &said));
        }
        // A server that wants to be left alone is heard, whatever it said since.
        self.refusal = back_off.or(self.refusal.take());
        Ok(())
    }

    /// The targets as this server names them. What it cannot name is told as refused.
    fn wires(&self, alterations: &[Alteration], tell: Tell<'_>) -> Result<Vec<Option<String>>> {
        let mut wires = Vec::with_capacity(alterations.len());
        for (index, alteration) in alterations.iter().enumerate() {
            let what = self.here(&described(alteration, alteration.uids()))?;
            let wire =
                alteration.target().map_or(Ok(String::new()), |to| self.wire_name(&what, to));
            wires.push(match wire {
                Ok(wire) => Some(wire),
                Err(error) => {
                    let uids = alteration.uids().to_vec();
                    tell(Altered { index, uids, outcome: Err(error) });
                    None
                }
            });
        }
        Ok(wires)
    }

    fn flyers<'a>(
        &self,
        alterations: &'a [Alteration],
        wires: &'a [Option<String>],
    ) -> Result<VecDeque<Flyer<'a>>> {
        let mut flyers = VecDeque::new();
        for (index, (alteration, wire)) in alterations.iter().zip(wires).enumerate() {
            let Some(wire) = wire else { continue };
            for NamedSet { text, uids } in named_sets(alteration.uids().iter().copied()) {
                let what = self.here(&described(alteration, &uids))?;
                let command = command(alteration, &text, wire.as_bytes());
                flyers.push_back(Flyer { index, what, uids, command });
            }
        }
        Ok(flyers)
    }

    /// Sends what may be under way besides what is.
    async fn launch(
        &mut self,
        waiting: &mut VecDeque<Flyer<'_>>,
        flying: &mut Vec<Flying>,
        tell: Tell<'_>,
    ) -> Result<()> {
        let before = flying.len();
        let mut bytes: usize = flying.iter().map(|flight| flight.bytes).sum();
        while let Some(next) = waiting.front() {
            let size = next.command.size();
            let room = flying.len() < MOST && bytes + size < MOST_BYTES;
            if !flying.is_empty() && (!room || next.command.waits(self.literal_mode())) {
                break;
            }
            let Some(flyer) = waiting.pop_front() else { break };
            let what = flyer.what.clone();
            match self.send(flyer).await {
                Ok(Sent::Flying(flight)) => flying.push(flight),
                Ok(Sent::Refused(refused, said)) => {
                    let outcome = self.conclude(&what, said.clone());
                    tell(refused.ended(outcome, &said));
                }
                Err(lost) => return Err(self.lost(&what, lost)),
            }
            bytes += size;
        }
        let flushed = self.flush().await;
        flying[before..].iter().for_each(|flight| reach_command(Point::Sent, flight.verb));
        flushed.map_err(|why| self.lost("change messages", Lost::Broken(why)))
    }

    async fn send(&mut self, flyer: Flyer<'_>) -> Result<Sent, Lost> {
        self.begin_unfinished();
        let Flyer { index, what, uids, command } = flyer;
        let (tag, verb, bytes) = (random::token(), command.verb, command.size());
        reach_command(Point::Unsent, verb);
        let uids = uids.into_iter().collect();
        let pieces = command.pieces(&tag, self.literal_mode());
        let flight = Flying { tag, verb, bytes, index, what, uids, codes: Vec::new() };
        for piece in pieces {
            match piece {
                Piece::Send(line) => self.write(&line).await?,
                Piece::SendBorrowed(literal) => self.write(literal).await?,
                Piece::SendContent(content, size) => self.write_content(content, size).await?,
                Piece::AwaitGoAhead => {
                    if let Some(said) = self.await_go_ahead(&flight.tag, &mut |_| Ok(())).await? {
                        return Ok(Sent::Refused(flight, said));
                    }
                }
            }
        }
        Ok(Sent::Flying(flight))
    }

    /// The next command that ends; `None` where none is under way.
    async fn land(&mut self, flying: &mut Vec<Flying>) -> Result<Option<(Flying, Said)>> {
        let Some(first) = flying.first() else { return Ok(None) };
        let what = first.what.clone();
        match self.await_any(flying).await {
            Ok(landed) => Ok(Some(landed)),
            Err(lost) => Err(self.lost(&what, lost)),
        }
    }

    async fn await_any(&mut self, flying: &mut Vec<Flying>) -> Result<(Flying, Said), Lost> {
        let mut pace = self.pace();
        loop {
            match self.next(&mut pace).await? {
                Reply::Done { tag, said } => {
                    let at = flying.iter().position(|flight| flight.tag == tag);
                    let at = at.ok_or_else(not_sent)?;
                    reach_command(Point::Answered, flying[at].verb);
                    return Ok((flying.remove(at), said));
                }
                reply => {
                    self.note(&reply)?;
                    take_code(flying, &reply);
                }
            }
        }
    }
}

/// What became of the attempt to send a command.
enum Sent {
    Flying(Flying),
    /// The server refused it before it had all of it.
    Refused(Flying, Said),
}

impl Flying {
    fn ended(self, outcome: Result<Said>, said: &Said) -> Altered {
        let outcome = outcome.map(|_| {
            let mut landed = Landed::default();
            for code in self.codes.iter().chain(&said.code) {
                take_landed(&mut landed, code, &self.uids);
            }
            landed
        });
        Altered { index: self.index, uids: self.uids.into_iter().collect(), outcome }
    }
}

/// MOVE tells its COPYUID before its tagged answer (RFC 6851 section 4.3).
fn take_code(flying: &mut [Flying], reply: &Reply) {
    let Reply::Status(Said { status: Status::Ok, code: Some(code), .. }) = reply else { return };
    let Code::CopyUid { from, .. } = code else { return };
    let Some(first) = from.first().map(|range| Uid(*range.start())) else { return };
    if let Some(flight) = flying.iter_mut().find(|flight| flight.uids.contains(&first)) {
        flight.codes.push(code.clone());
    }
}

fn described(alteration: &Alteration, uids: &[Uid]) -> String {
    let named = named(uids);
    match alteration {
        Alteration::Flags { change, flags, .. } => {
            format!("store {} of {named}", flag_item(*change, flags))
        }
        Alteration::Copy { target, .. } => format!("copy {named} to {target}"),
        Alteration::Move { target, .. } => format!("move {named} to {target}"),
    }
}

fn command<'a>(alteration: &Alteration, set: &str, wire: &'a [u8]) -> Command<'a> {
    match alteration {
        Alteration::Flags { change, flags, .. } => {
            Command::new("UID STORE").words(set).words(&flag_item(*change, flags))
        }
        Alteration::Copy { .. } => Command::new("UID COPY").words(set).string(wire),
        Alteration::Move { .. } => Command::new("UID MOVE").words(set).string(wire),
    }
}

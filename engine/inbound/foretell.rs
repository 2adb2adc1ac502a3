//! Decides messages ahead of their turn, on all worker threads at once, each as if the messages between
//! wrote nothing that it reads. When its turn comes, a decision that still holds is taken and another is
//! made anew: what is decided is the same as one by one in UID order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::try_join_all;

use super::Line;
use super::decide::{Desk, Item, Made, SLICE};
use super::overlay::Watched;
use super::recognise::Known;
use crate::error::Result;

/// The least messages that are worth a thread of their own.
const LEAST: usize = 16;

/// What was found out of a message ahead of its turn.
pub(super) struct Ahead {
    /// `None` where nothing is to be decided.
    pub(super) known: Option<Known>,
    /// `None` asks for the body, or was not needed.
    pub(super) made: Option<Made>,
    /// What that was decided by.
    pub(super) memory: Arc<Watched>,
}

impl Line {
    /// Decides as many of these messages ahead as there is time for. Few are left for their turn.
    pub(super) async fn foretell(
        &self,
        mut items: VecDeque<Item>,
        desk: &Desk,
    ) -> Result<VecDeque<Item>> {
        let most = items.len() / LEAST;
        let threads = self.workers.threads().min(most);
        if threads < 2 || !self.appetite.may_foretell() {
            return Ok(items);
        }
        let share = items.len().div_ceil(threads);
        let mut jobs = Vec::new();
        while !items.is_empty() {
            let mut chunk: Vec<Item> = items.drain(..share.min(items.len())).collect();
            let (line, desk) = (self.clone(), desk.clone());
            jobs.push(self.workers.run(move || {
                line.foretell_each(&desk, &mut chunk);
                chunk
            }));
        }
        Ok(try_join_all(jobs).await?.into_iter().flatten().collect())
    }

    fn foretell_each(&self, desk: &Desk, items: &mut [Item]) {
        let began = Instant::now();
        for item in items.iter_mut() {
            if began.elapsed() > SLICE {
                break;
            }
            if item.ahead.is_none() && !item.awaits_body() {
                // An error is met again in the message's turn.
                item.ahead = self.ahead(desk, item).ok();
            }
        }
    }

    fn ahead(&self, desk: &Desk, item: &Item) -> Result<Ahead> {
        let memory = desk.memory.watched();
        let known = self.recognise(desk, item)?;
        let made = match &known {
            Some(_) => self.make(item, memory.clone()),
            None => None,
        };
        Ok(Ahead { known, made, memory })
    }
}

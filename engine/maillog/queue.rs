//! The lines between those who say something and the one thread that writes.
//!
//! Whoever reads the log may be slow, stuck or gone; mail does not wait for it. So a line is put
//! into a queue with bounds and written by a thread of its own. When the queue is full, lines are
//! dropped and counted until half of it is written, so that the gap is told once and not between
//! every two lines.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Lines that wait at most: all that the rules can say of a whole batch of messages, so that a reader
/// who does read loses nothing.
const MOST_LINES: usize = 40_000;

/// Bytes of lines that wait at most.
const MOST_BYTES: usize = 32 << 20;

/// Bytes that are written at once, from the first line over it on.
const WRITTEN_AT_ONCE: usize = 32 << 10;

/// Makes the line that tells how many were dropped.
type Gap = Box<dyn Fn(u64) -> String + Send + Sync>;

/// The end into which lines are put. When it is dropped, its thread writes what waits and ends.
pub(super) struct Queue(Arc<Shared>);

struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    gap: Gap,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<String>,
    bytes: usize,
    dropped: u64,
    /// The thread is writing what it took.
    busy: bool,
    /// Nothing more will come.
    closed: bool,
    /// Nobody reads, or nobody writes: lines are dropped from here on.
    broken: bool,
}

impl Queue {
    /// A queue whose lines are written into `sink`. Where the thread cannot be started nothing is
    /// written.
    pub(super) fn new(sink: Box<dyn Write + Send>, gap: Gap) -> Self {
        let waiting = Mutex::new(Waiting::default());
        let shared = Arc::new(Shared { waiting, changed: Condvar::new(), gap });
        let writer = shared.clone();
        let thread = std::thread::Builder::new().name("log".into());
        if thread.spawn(move || writer.write_all(sink)).is_err() {
            shared.waiting().broken = true;
        }
        Self(shared)
    }

    /// Puts a line, without its end, into the queue. Never waits for the reader.
    pub(super) fn put(&self, line: String) {
        let mut waiting = self.0.waiting();
        if waiting.broken {
            return;
        }
        if !waiting.has_room(line.len()) {
            waiting.dropped += 1;
            return;
        }
        self.0.tell_gap(&mut waiting);
        waiting.push(line);
        drop(waiting);
        self.0.changed.notify_all();
    }

    /// Waits until all lines are written, at most this long.
    pub(super) fn flush(&self, at_most: Duration) {
        let until = Instant::now() + at_most;
        let mut waiting = self.0.waiting();
        while !waiting.broken && (waiting.busy || !waiting.lines.is_empty() || waiting.dropped > 0)
        {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let woken = self.0.changed.wait_timeout(waiting, left);
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.0.waiting().closed = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread: takes what waits and writes it, until nothing comes or nobody reads.
    fn write_all(&self, mut sink: Box<dyn Write + Send>) {
        while let Some(bytes) = self.take() {
            let written = sink.write_all(&bytes).and_then(|()| sink.flush());
            let mut waiting = self.waiting();
            waiting.busy = false;
            waiting.broken = written.is_err();
            if waiting.broken {
                *waiting = Waiting { broken: true, ..Waiting::default() };
            }
            drop(waiting);
            self.changed.notify_all();
            if written.is_err() {
                return;
            }
        }
    }

    /// The next lines; waits for them. `None` at the end.
    fn take(&self) -> Option<Vec<u8>> {
        let mut waiting = self.waiting();
        loop {
            if waiting.lines.is_empty() {
                self.tell_gap(&mut waiting);
            }
            if !waiting.lines.is_empty() {
                waiting.busy = true;
                return Some(waiting.pop());
            }
            if waiting.closed {
                return None;
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Puts the line about what was dropped where the gap is: before whatever comes next.
    fn tell_gap(&self, waiting: &mut Waiting) {
        if waiting.dropped > 0 {
            let dropped = std::mem::take(&mut waiting.dropped);
            waiting.push((self.gap)(dropped));
        }
    }
}

impl Waiting {
    fn has_room(&self, bytes: usize) -> bool {
        let (lines, most) = match self.dropped {
            0 => (MOST_LINES, MOST_BYTES),
            _ => (MOST_LINES / 2, MOST_BYTES / 2),
        };
        // A line alone has room, whatever its length.
        self.lines.is_empty() || (self.lines.len() < lines && self.bytes + bytes <= most)
    }

    fn push(&mut self, line: String) {
        self.bytes += line.len();
        self.lines.push_back(line);
    }

    fn pop(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(line) = self.lines.pop_front() {
            self.bytes -= line.len();
            bytes.extend_from_slice(line.as_bytes());
            bytes.push(b'\n');
            if bytes.len() >= WRITTEN_AT_ONCE {
                break;
            }
        }
        bytes
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::{Duration, MOST_LINES, Queue, Write};

    const LONG: Duration = Duration::from_secs(60);

    /// A reader that reads nothing until it is told to.
    struct Stuck {
        go: Receiver<()>,
        read: Sender<Vec<u8>>,
        flows: bool,
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if !self.flows {
                // Whoever tells it to go has gone: read on.
                let _ = self.go.recv();
                self.flows = true;
            }
            self.read.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn stuck() -> (Queue, Sender<()>, Receiver<Vec<u8>>) {
        let ((go, wait), (read, bytes)) = (channel(), channel());
        let sink = Stuck { go: wait, read, flows: false };
        let gap = |dropped: u64| format!("{dropped} dropped");
        (Queue::new(Box::new(sink), Box::new(gap)), go, bytes)
    }

    fn lines(bytes: &Receiver<Vec<u8>>) -> Vec<String> {
        let all = bytes.try_iter().flatten().collect();
        String::from_utf8(all).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_reader_that_is_stuck_costs_lines_and_no_time() {
        let (queue, go, bytes) = stuck();
        let said = 3 * MOST_LINES;
        (0..said).for_each(|number| queue.put(number.to_string()));
        queue.flush(Duration::from_millis(10));
        assert_eq!(lines(&bytes).len(), 0);
        go.send(()).unwrap();
        queue.flush(LONG);
        queue.put("last".into());
        queue.flush(LONG);
        let read = lines(&bytes);
        let gaps: Vec<_> = read.iter().filter(|line| line.ends_with(" dropped")).collect();
        assert_eq!(gaps.len(), 1, "{gaps:?}");
        let dropped: usize = gaps[0].split(' ').next().unwrap().parse().unwrap();
        assert_eq!(read.len() - 2 + dropped, said);
        // What the thread had taken before it was stuck is beyond the queue's own bound.
        assert!((MOST_LINES..=2 * MOST_LINES).contains(&(said - dropped)), "{dropped}");
        assert_eq!((read[0].as_str(), read.last().unwrap().as_str()), ("0", "last"));
    }

    #[test]
    fn a_reader_that_is_gone_is_not_waited_for() {
        let (queue, go, bytes) = stuck();
        drop((go, bytes));
        (0..10).for_each(|number| queue.put(number.to_string()));
        queue.flush(LONG);
        queue.put("more".into());
        queue.flush(LONG);
        assert!(queue.0.waiting().lines.is_empty());
    }

    #[test]
    fn what_waits_when_the_last_one_leaves_is_written() {
        let (queue, go, bytes) = stuck();
        queue.put("only".into());
        drop(queue);
        drop(go);
        assert_eq!(bytes.recv_timeout(LONG).unwrap(), b"only\n");
    }
}

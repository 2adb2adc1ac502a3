//! `[queue]`: how long mail is tried, and how often.

use std::time::Duration;

use super::QueueTimes;
use super::quantity;
use super::reader::{Reader, Shape};

static QUEUE: Shape = Shape {
    keys: &[
        ("retry", "[\"1m\", \"5m\", \"15m\", \"30m\", \"1h\"]"),
        ("expire", "\"5d\""),
        ("delay_notice", "\"4h\""),
    ],
    later: &[],
    example: "{ expire = \"5d\" }",
};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads `[queue]`.
pub(super) fn read(root: &Reader<'_>) -> QueueTimes {
    let usual = QueueTimes::default();
    let at = root.key_at("queue");
    let reader = root
        .value("queue")
        .and_then(|value| Reader::table(root.page, "[queue]", (at, value), &QUEUE));
    let Some(reader) = reader else { return usual };
    let retry = retry(&reader);
    QueueTimes {
        retry: if retry.is_empty() { usual.retry } else { retry },
        expire: reader.duration("expire", SECOND..=DAY * 30, usual.expire),
        delay_notice: reader.duration("delay_notice", SECOND..=DAY * 30, usual.delay_notice),
    }
}

fn retry(queue: &Reader<'_>) -> Vec<Duration> {
    let mut pauses = Vec::new();
    for text in queue.texts("retry") {
        match quantity::duration(text.value, SECOND / 10..=DAY) {
            Ok(pause) => pauses.push(pause),
            Err(why) => {
                queue.page.fault(
                    text.at,
                    format!("an element of `retry` {why}"),
                    queue.write("retry"),
                );
            }
        }
    }
    pauses
}

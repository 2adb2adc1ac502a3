//! Measures, on demand: how the store's files grow by rewriting, and how long it takes to open.

use std::path::Path;
use std::time::Instant;

use mailmill::store::{State, Store, compact};

use super::{MessageRecord, cursor_to, record, with_state, write};

const MEASURE: &str = "MAILMILL_MEASURE_STORE";

fn size(folder: &Path) -> u64 {
    std::fs::metadata(folder.join("store/db")).unwrap().len() >> 10
}

/// As the engine writes a message: planned, marked, settled with the cursor; in batches of 500.
fn batch(store: &Store, first: u64) {
    for state in [State::Planned, State::Planned, State::Settled] {
        let records = (first..first + 500).map(|id| {
            let from = format!("{state} {}", "Anna Muster <anna@example.com>".repeat(10));
            write(MessageRecord { from, ..with_state(id, state) })
        });
        let cursor = cursor_to(u32::try_from(first).unwrap());
        store.commit(&records.chain([cursor]).collect::<Vec<_>>()).unwrap();
    }
}

/// Not a test by itself: a measurement that is asked for by naming a folder.
#[test]
fn growth_and_opening_are_measured_on_demand() {
    let Some(folder) = std::env::var_os(MEASURE) else { return };
    let folder = Path::new(&folder);
    let store = Store::open(folder).unwrap();
    for round in 0..400_u64 {
        batch(&store, 1 + round * 500);
        if round % 20 == 19 {
            let removed = store.prune(10_000).unwrap();
            let written = (round + 1) * 1_500;
            println!("{written} writes, {removed} pruned: {} KiB", size(folder));
        }
    }
    let survey = store.survey();
    println!("live {} KiB of {} KiB", survey.bytes_live >> 10, survey.bytes_on_disk >> 10);
    drop(store);
    println!("compacted: {:?}", compact(folder).unwrap());
    let store = Store::open(folder).unwrap();
    for first in (200_001..290_001).step_by(500) {
        store
            .commit(&(first..first + 500).map(|id| write(record(id))).collect::<Vec<_>>())
            .unwrap();
    }
    drop(store);
    for _ in 0..3 {
        let started = Instant::now();
        let store = Store::open(folder).unwrap();
        println!("opened in {:?}, {} KiB", started.elapsed(), size(folder));
        println!("live {} KiB", store.survey().bytes_live >> 10);
    }
}

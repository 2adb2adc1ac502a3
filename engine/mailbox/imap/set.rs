//! Sets of UIDs on the wire: ranges, and no command line longer than servers take.

use crate::mail::Uid;

use super::response::UidRange;

/// Dovecot's line limit is 64 KiB; less what stands around the set.
const LONGEST: usize = 48 * 1024;

/// A set with the UIDs it names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct NamedSet {
    pub(super) text: String,
    pub(super) uids: Vec<Uid>,
}

/// The sets that together name these UIDs, in ascending order. UID 0 names nothing.
pub(super) fn sets(uids: impl IntoIterator<Item = Uid>) -> Vec<String> {
    named_sets(uids).into_iter().map(|set| set.text).collect()
}

/// As [`sets`], each with what it names.
pub(super) fn named_sets(uids: impl IntoIterator<Item = Uid>) -> Vec<NamedSet> {
    let mut sets = Vec::new();
    let mut set = NamedSet::default();
    for range in ranges(uids) {
        let part = shown(&range);
        if set.text.len() + 1 + part.len() > LONGEST {
            sets.push(std::mem::take(&mut set));
        }
        if !set.text.is_empty() {
            set.text.push(',');
        }
        set.text.push_str(&part);
        set.uids.extend(range.map(Uid));
    }
    if !set.text.is_empty() {
        sets.push(set);
    }
    sets
}

fn shown(range: &UidRange) -> String {
    let (first, last) = (range.start(), range.end());
    if first == last { first.to_string() } else { format!("{first}:{last}") }
}

fn ranges(uids: impl IntoIterator<Item = Uid>) -> Vec<UidRange> {
    let mut numbers: Vec<u32> = uids.into_iter().map(|uid| uid.0).filter(|uid| *uid > 0).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let mut ranges: Vec<UidRange> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some(last) if last.end().checked_add(1) == Some(number) => {
                *last = *last.start()..=number;
            }
            _ => ranges.push(number..=number),
        }
    }
    ranges
}

/// Pairs the UIDs of a COPYUID code; empty where the two sides do not fit each other or are longer
/// than `most`.
pub(super) fn pairs(from: &[UidRange], to: &[UidRange], most: usize) -> Vec<(Uid, Uid)> {
    if count(from) != count(to) || count(from) > most as u64 {
        return Vec::new();
    }
    let from = from.iter().flat_map(Clone::clone).map(Uid);
    from.zip(to.iter().flat_map(Clone::clone).map(Uid)).collect()
}

fn count(ranges: &[UidRange]) -> u64 {
    ranges.iter().map(|range| u64::from(range.end().abs_diff(*range.start())) + 1).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_compressed_and_sorted() {
        let uids: Vec<Uid> = [9, 1, 3, 2, 2, 0, 7].map(Uid).into();
        assert_eq!(sets(uids), ["1:3,7,9"]);
        assert!(sets([]).is_empty());
        assert_eq!(sets([Uid(u32::MAX), Uid(u32::MAX - 1)]), ["4294967294:4294967295"]);
    }

    #[test]
    fn long_sets_are_split_and_name_every_uid_once() {
        let uids: Vec<Uid> = (1..40_000).map(|n| Uid(n * 2 + 1_000_000)).collect();
        let sets = sets(uids.iter().copied());
        assert!(sets.len() > 1 && sets.iter().all(|set| set.len() <= LONGEST));
        let named: Vec<Uid> = sets
            .iter()
            .flat_map(|set| set.split(','))
            .map(|uid| Uid(uid.parse().unwrap()))
            .collect();
        assert_eq!(named, uids);
    }

    #[test]
    fn copyuid_pairs_only_what_fits() {
        assert_eq!(pairs(&[1..=2, 5..=5], &[7..=9], 3).last(), Some(&(Uid(5), Uid(9))));
        assert!(pairs(&[1..=2], &[7..=9], 3).is_empty());
        assert!(pairs(&[1..=u32::MAX], &[1..=u32::MAX], 3).is_empty());
    }
}

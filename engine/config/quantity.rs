//! Durations and sizes as people write them: `4m`, `1h30m`, `150MiB`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::page::quoted;

/// Reads `90s`, `4m`, `1h30m`, `2d`.
///
/// # Errors
/// A clause that follows the key's name.
pub(super) fn duration(text: &str, range: RangeInclusive<Duration>) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|_| format!("is no duration: {}; units are ms, s, m, h, d", quoted(text)))?;
    if range.contains(&duration) {
        return Ok(duration);
    }
    let show = |bound: &Duration| humantime::format_duration(*bound).to_string();
    let (least, most) = (show(range.start()), show(range.end()));
    Err(format!("is out of range: {}; it may be {least} to {most}", quoted(text)))
}

/// Reads `150MiB`, `20 MB`, or bytes.
///
/// # Errors
/// A clause that follows the key's name.
pub(super) fn size(text: &str, range: RangeInclusive<u64>) -> Result<u64, String> {
    let size = parse_size(text).ok_or_else(|| {
        format!("is no size: {}; units are KiB, MiB, GiB, KB, MB, GB", quoted(text))
    })?;
    if range.contains(&size) {
        return Ok(size);
    }
    let (least, most) = (show_size(*range.start()), show_size(*range.end()));
    Err(format!("is out of range: {}; it may be {least} to {most}", quoted(text)))
}

fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn show_size(bytes: u64) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 30) => format!("{}GiB", bytes >> 30),
        _ if bytes.is_multiple_of(1 << 20) => format!("{}MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{}KiB", bytes >> 10),
        _ => bytes.to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::{duration, size};

    #[test]
    fn durations_are_read_and_kept_in_range() {
        let range = Duration::from_secs(1)..=Duration::from_secs(86_400);
        let read = |text| duration(text, range.clone());
        assert_eq!(read("90s").unwrap(), Duration::from_secs(90));
        assert_eq!(read("1h30m").unwrap(), Duration::from_secs(5_400));
        assert_eq!(read("1d").unwrap(), Duration::from_secs(86_400));
        assert!(read("2d").unwrap_err().contains("it may be 1s to 1day"));
        assert!(read("0s").is_err());
        for wrong in ["", "90", "s", "-1s", "1x", "99999999999999999999s", "1,5h"] {
            assert!(read(wrong).unwrap_err().contains("is no duration"), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_read_and_kept_in_range() {
        let read = |text| size(text, 1_024..=(2 << 30));
        assert_eq!(read("150MiB").unwrap(), 150 << 20);
        assert_eq!(read("20 MB").unwrap(), 20_000_000);
        assert_eq!(read("4096").unwrap(), 4_096);
        assert!(read("3GiB").unwrap_err().contains("it may be 1KiB to 2GiB"));
        assert!(read("1").is_err());
        for wrong in
            ["", "MiB", "-5", "1.5MiB", "5 mib", "99999999999999999999", "9999999999999GiB"]
        {
            assert!(read(wrong).unwrap_err().contains("is no size"), "{wrong}");
        }
    }
}

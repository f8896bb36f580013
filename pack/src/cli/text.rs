//! Numbers and names as people read them.

use std::path::Path;

use pack::visible::{shows, visible};

const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];

/// Bytes, exactly and in the unit that fits.
pub(super) fn size(bytes: u64) -> String {
    match UNITS.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{bytes} bytes ({:.1} {name})", bytes as f64 / unit as f64),
        None => format!("{bytes} bytes"),
    }
}

/// Bytes in the unit that fits, to one decimal place.
pub(super) fn short(bytes: u64) -> String {
    match UNITS.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) if bytes.is_multiple_of(unit) => format!("{} {name}", bytes / unit),
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
        None => format!("{bytes} B"),
    }
}

/// How much `part` is of `whole`.
pub(super) fn percent(part: u64, whole: u64) -> String {
    format!("{:.1} %", 100.0 * part as f64 / whole.max(1) as f64)
}

/// A file's name as a line may have it.
pub(super) fn name(path: &Path) -> String {
    visible(&path.display().to_string())
}

/// JSON with those characters of its strings escaped that do not show: names in a pack must not steer a terminal, or turn the
/// order of its text.
pub(super) fn json_visible(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        // Its lines end, too, and serde_json has escaped all else below.
        if c < '\x7f' || shows(c) {
            out.push(c);
        } else {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_unit_that_fits() {
        assert_eq!(size(0), "0 bytes");
        assert_eq!(size(1536), "1536 bytes (1.5 KiB)");
        assert_eq!(size(57_600_000), "57600000 bytes (54.9 MiB)");
        assert_eq!((short(5), short(2 << 20), short(1536)), ("5 B".into(), "2 MiB".into(), "1.5 KiB".into()));
        assert_eq!(percent(1, 4), "25.0 %");
        assert_eq!(percent(0, 0), "0.0 %");
    }
}

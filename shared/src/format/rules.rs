//! The rules that fields of all parts keep: each gives the error that names the part.

use super::error::{FormatError, Part};
use super::wire::StringEntry;
use super::{MAX_NAME_LEN, MAX_PACK_LEN};
use crate::memory::FileRange;

/// The text that `entry` names: 1 to [`MAX_NAME_LEN`] bytes of UTF-8 without a NUL.
pub(super) fn string(strings: &[u8], entry: StringEntry, part: Part) -> Result<&str, FormatError> {
    let (offset, len) = (entry.offset.get(), entry.len.get());
    bound(part, "text length", 1, MAX_NAME_LEN.into(), len.into())?;
    bound(part, "text end", 0, strings.len() as u64, u64::from(offset) + u64::from(len))?;
    let bytes = &strings[offset as usize..][..len as usize];
    core::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).ok_or(FormatError::Text { part })
}

/// The name that `entry` names: [`string`] without control characters.
pub(super) fn name(strings: &[u8], entry: StringEntry, part: Part) -> Result<&str, FormatError> {
    let name = string(strings, entry, part)?;
    if name.contains(char::is_control) { Err(FormatError::Name { part }) } else { Ok(name) }
}

/// A range of the pack, which nothing yet says to lie within it.
pub(super) fn stored_range(offset: u64, len: u64, part: Part) -> Result<FileRange, FormatError> {
    bound(part, "stored length", 0, MAX_PACK_LEN, len)?;
    bound(part, "stored offset", 0, MAX_PACK_LEN, offset)?;
    FileRange::new(offset, len).map_err(|_| FormatError::Order { part })
}

pub(super) fn no_flags(part: Part, flags: u32, known: u32) -> Result<(), FormatError> {
    match flags & !known {
        0 => Ok(()),
        unknown => Err(FormatError::Flags { part, found: unknown.into() }),
    }
}

pub(super) fn reserved(part: Part, bytes: &[u8]) -> Result<(), FormatError> {
    if bytes.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(FormatError::Reserved { part }) }
}

pub(super) fn bound(part: Part, field: &'static str, min: u64, max: u64, found: u64) -> Result<(), FormatError> {
    if (min..=max).contains(&found) { Ok(()) } else { Err(FormatError::Bound { part, field, min, max, found }) }
}

pub(super) fn equal(part: Part, field: &'static str, expected: u64, found: u64) -> Result<(), FormatError> {
    if expected == found { Ok(()) } else { Err(FormatError::Mismatch { part, field, expected, found }) }
}

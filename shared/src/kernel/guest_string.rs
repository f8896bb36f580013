//! The section `__xen_guest`: `NAME=VALUE` or `NAME`, separated by commas, to a NUL (libelf's
//! `elf_xen_parse_guest_info`).

use super::bytes::before_nul;
use super::metadata::{Metadata, Pae, name_of, set, set_virt};
use crate::memory::Virt;

/// The most bytes of `__xen_guest` that are looked at. The longest string known is about 200 bytes.
pub(super) const MAX_GUEST_STRING: u64 = 4096;
/// The longest name, and the longest value, that libelf takes in one piece.
const MAX_NAME: usize = 31;
const MAX_VALUE: usize = 127;
/// Shift from a page-frame number to an address.
const PAGE_SHIFT: u32 = 12;

/// Takes all that the string says into `metadata`.
///
/// HYPERCALL_PAGE is a frame number, counted from VIRT_BASE if there is one, in whichever order the two stand.
pub(super) fn parse(section: &[u8], metadata: &mut Metadata) {
    let mut rest = before_nul(section);
    while !rest.is_empty() {
        let (name, value) = next(&mut rest);
        if !take(name, value, metadata) {
            break;
        }
    }
    if let (Some(base), Some(page)) = (metadata.virt_base, metadata.hypercall_page) {
        metadata.hypercall_page = Some(Virt(page.0.wrapping_add(base.0)));
    }
}

/// Takes the next entry off `rest`: its name and value. What is longer than libelf's buffers goes on as the next
/// entry's name.
fn next<'a>(rest: &mut &'a [u8]) -> (&'a [u8], &'a [u8]) {
    let (name, separator) = piece(rest, MAX_NAME, b",=");
    let (value, _) = if separator == Some(b'=') { piece(rest, MAX_VALUE, b",") } else { (&[][..], None) };
    (name, value)
}

/// Takes at most `max` bytes off `rest`, up to one of `separators`, and that one with them.
fn piece<'a>(rest: &mut &'a [u8], max: usize, separators: &[u8]) -> (&'a [u8], Option<u8>) {
    let whole = *rest;
    let window = whole.get(..max).unwrap_or(whole);
    let end = window.iter().position(|byte| separators.contains(byte));
    let len = end.unwrap_or(window.len());
    *rest = whole.get(len + usize::from(end.is_some())..).unwrap_or_default();
    (&window[..len], end.and_then(|at| window.get(at).copied()))
}

/// Takes one entry. False if the rest of the string is not to be looked at: libelf drops the error of an unknown
/// required feature, but stops there.
fn take(name: &[u8], value: &[u8], metadata: &mut Metadata) -> bool {
    match name {
        b"LOADER" => metadata.loader = name_of(value),
        b"GUEST_OS" => metadata.guest_os = name_of(value),
        b"GUEST_VER" => metadata.guest_version = name_of(value),
        b"XEN_VER" => metadata.xen_version = name_of(value),
        b"PAE" if value == b"yes[extended-cr3]" => metadata.pae = Pae::ExtendedCr3,
        b"PAE" if value.starts_with(b"yes") => metadata.pae = Pae::Yes,
        b"BSD_SYMTAB" => metadata.bsd_symtab = true,
        b"VIRT_BASE" => metadata.virt_base = set_virt(number(value)),
        b"VIRT_ENTRY" => metadata.virt_entry = set_virt(number(value)),
        b"ELF_PADDR_OFFSET" => metadata.paddr_offset = set(number(value)),
        b"HYPERCALL_PAGE" => metadata.hypercall_page = set_virt(number(value) << PAGE_SHIFT),
        b"FEATURES" => {
            let complete = metadata.features.add(value);
            metadata.features.unknown = None;
            return complete;
        }
        _ => {}
    }
    true
}

/// The number that `strtoull` reads with base 0: blanks, a sign, `0x` for hexadecimal, a leading `0` for octal. It ends
/// where the digits end; what does not fit is all ones.
fn number(text: &[u8]) -> u64 {
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).count();
    let text = text.get(blanks..).unwrap_or_default();
    let (negative, text) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let (radix, digits) = match text {
        [b'0', b'x' | b'X', rest @ ..] if rest.first().is_some_and(u8::is_ascii_hexdigit) => (16, rest),
        [b'0', ..] => (8, text),
        _ => (10, text),
    };
    let digits = digits.iter().map_while(|byte| char::from(*byte).to_digit(radix));
    let value = digits
        .map(u64::from)
        .try_fold(0u64, |value, digit| value.checked_mul(u64::from(radix)).and_then(|value| value.checked_add(digit)));
    match value {
        Some(value) if negative => value.wrapping_neg(),
        Some(value) => value,
        None => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(string: &str) -> Metadata {
        let mut metadata = Metadata::default();
        parse(string.as_bytes(), &mut metadata);
        metadata
    }

    #[test]
    fn numbers_are_read_as_strtoull_reads_them() {
        for (text, expected) in [
            ("0xC0000000", 0xc000_0000),
            ("0x", 0),
            ("010", 8),
            ("10", 10),
            (" +7x", 7),
            ("-1", u64::MAX),
            ("0xffffffffffffffffff", u64::MAX),
            ("", 0),
            ("z", 0),
        ] {
            assert_eq!(number(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn the_hypercall_page_counts_from_virt_base_in_either_order() {
        let page = Some(Virt(0xc000_2000));
        assert_eq!(read("VIRT_BASE=0xC0000000,HYPERCALL_PAGE=0x2").hypercall_page, page);
        assert_eq!(read("HYPERCALL_PAGE=0x2,VIRT_BASE=0xC0000000").hypercall_page, page);
        assert_eq!(read("HYPERCALL_PAGE=0x2").hypercall_page, Some(Virt(0x2000)));
    }

    #[test]
    fn an_unknown_required_feature_ends_the_string() {
        let metadata = read("VIRT_BASE=1,FEATURES=dom0|!nonsense|pae_pgdir_above_4gb,VIRT_ENTRY=2");
        assert_eq!((metadata.virt_base, metadata.virt_entry), (Some(Virt(1)), None));
        assert_eq!((metadata.features.supported, metadata.features.unknown), (1 << 11, None));
    }

    #[test]
    fn names_and_values_are_cut_where_libelf_cuts_them() {
        let long: std::string::String = core::iter::repeat_n('x', 31).chain("VIRT_BASE=5".chars()).collect();
        assert_eq!(read(&long).virt_base, Some(Virt(5)));
        let long: std::string::String =
            "OTHER=".chars().chain(core::iter::repeat_n('x', 127)).chain("VIRT_BASE=6".chars()).collect();
        assert_eq!(read(&long).virt_base, Some(Virt(6)));
        assert_eq!(read("VIRT_BASE=5\0VIRT_BASE=6").virt_base, Some(Virt(5)));
        assert!(read("BSD_SYMTAB=no").bsd_symtab);
    }
}

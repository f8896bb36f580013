//! Kernels that cannot be cut so that stage0 could read them from their frames: `pack` says so, and makes no pack.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a step that fails is a test that fails")]

#[allow(dead_code, reason = "each test uses a part of it")]
mod common;

use common::place::Place;

/// Bytes of the headers of an ELF64 file, of which there is one for a program.
const HEADERS: usize = 64 + 56;
/// Bytes of a note.
const NOTE: usize = 20;

/// A kernel without Xen's notes, so that all sections of notes are looked at: `cut` of them one behind the other, then one more in the
/// middle of `len` bytes.
fn kernel(cut: usize, len: usize) -> Vec<u8> {
    let mut filling = vec![0; len];
    let note: Vec<u8> = [4_u32, 4, 1, u32::from_le_bytes(*b"GNU\0"), 0].iter().flat_map(|n| n.to_le_bytes()).collect();
    let places = (0..cut).map(|n| n * NOTE).chain([len / 2]).collect::<Vec<_>>();
    places.iter().for_each(|at| filling[*at..at + NOTE].copy_from_slice(&note));
    let (sections_at, base) = (HEADERS + len, 16 << 20);
    let code_at = sections_at + 64 * (places.len() + 1);
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    let half = |n: usize| (n as u16).to_le_bytes();
    let word = |n: usize| (n as u32).to_le_bytes();
    let long = |n: usize| (n as u64).to_le_bytes();
    file.extend([2, 62].into_iter().flat_map(half));
    file.extend(word(1));
    file.extend([base, 64, sections_at].into_iter().flat_map(long));
    file.extend(word(0));
    file.extend([64, 56, 1, 64, places.len() + 1, 0].into_iter().flat_map(half));
    file.extend([1, 7].into_iter().flat_map(word));
    file.extend([code_at, base, base, 1, 1, 4].into_iter().flat_map(long));
    file.extend(filling);
    file.extend([0; 64]);
    for at in places {
        file.extend([0, 7].into_iter().flat_map(word));
        file.extend([0, 0, HEADERS + at, NOTE, 0, 4, 0].into_iter().flat_map(long));
    }
    file.push(0xf4);
    file
}

#[test]
fn a_note_in_the_middle_of_too_much_is_told_when_packing() {
    let place = Place::new();
    for n in 0..10 {
        let len = 300_000 + n * 70_000;
        place.file("many", &kernel(64, len));
        let said = place.refuses(&["many", "-o", "image", "--level", "1"]);
        let at = HEADERS + len / 2;
        assert!(said.starts_with("many: frames are cut wrongly: file range "), "{said}");
        assert!(said.contains(&format!("{at:#x}")), "{at:#x}: {said}");
        assert!(said.ends_with("found larger: strip the kernel of its sections"), "{said}");
        // There are places for so many cuts.
        place.file("few", &kernel(60, len));
        place.succeeds(&["few", "-o", "image", "--level", "1"]);
    }
}

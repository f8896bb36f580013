//! What a kernel says of itself: notes in a program header, notes in a section, and `__xen_guest`.

use harness::corpus::{Description, Notes, Place};
use shared::kernel::Decisions;

use crate::input::Input;
use crate::{kernel, seeds};

/// The lengths of two groups of notes, two bytes each; these notes; and the text of `__xen_guest`, if anything is left.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let lens = [input.u16(), input.u16()];
    let [segment, section] = lens.map(|len| input.bytes(usize::from(len % 4096)).to_vec());
    let guest = Some(input.rest().to_vec()).filter(|text| !text.is_empty() && text.len() < 8192);
    let group = |place, bytes: Vec<u8>| Notes { place, bytes, cut: 0 };
    let mut notes = vec![group(Place::Segment, segment), group(Place::Section, section)];
    notes.retain(|notes| !notes.bytes.is_empty());
    let description = Description {
        loads: vec![kernel::load(0x10_0000)],
        notes,
        guest,
        symbols: Some((24, 8)),
        ..Description::default()
    };
    kernel::read(&description.elf(), &Decisions::default());
}

/// What the kernels of the corpus say.
pub fn seeds() -> Vec<Vec<u8>> {
    let of = |description: Description| {
        let mut groups = [Vec::new(), Vec::new()];
        for notes in description.notes {
            groups[usize::from(notes.place != Place::Segment)].extend(notes.bytes);
        }
        let lens = groups.each_ref().map(|notes| u16::try_from(notes.len()).unwrap_or(0).to_le_bytes());
        [lens.concat(), groups.concat(), description.guest.unwrap_or_default()].concat()
    };
    seeds::descriptions().into_iter().map(of).collect()
}

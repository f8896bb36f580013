//! stage0's own page tables: itself with exact permissions, physical memory through the window, the trampoline 1:1.

use shared::memory::{GIB, PAGE_SIZE, Phys, PhysRange, TABLES_LEN, Virt};
use x86::bits64::paging::{PAddr, PDEntry, PDFlags, PDPTEntry, PDPTFlags, PML4Entry, PML4Flags, PTEntry, PTFlags};

use super::memory::pointer;
use crate::entry::{WINDOW, image_layout};
use crate::platform::{VIRT_BASE, no_execute};

/// Entries of a table.
const ENTRIES: usize = 512;
/// Bytes that an entry of the second level maps.
const LARGE: u64 = 2 << 20;

/// The tables, in the order of their pages.
#[repr(C)]
struct Tables {
    top: [PML4Entry; ENTRIES],
    window: [PDPTEntry; ENTRIES],
    window_gib: [[PDEntry; ENTRIES]; 4],
    image_512gib: [PDPTEntry; ENTRIES],
    image_gib: [PDEntry; ENTRIES],
    image: [[PTEntry; ENTRIES]; 2],
    trampoline_512gib: [PDPTEntry; ENTRIES],
    trampoline_gib: [PDEntry; ENTRIES],
    trampoline: [PTEntry; ENTRIES],
}

const _: () = assert!(size_of::<Tables>() as u64 == TABLES_LEN);

/// Writes tables at `place`, for an image that will lie at `image`, and a trampoline.
///
/// # Safety
/// The window shows `place`, [`TABLES_LEN`] bytes on a page boundary, and nobody else uses it.
pub(super) unsafe fn write(place: PhysRange, image: Phys, trampoline: Phys) {
    let tables: *mut Tables = pointer(place.start()).cast();
    // SAFETY: promised by the caller; zero bytes are entries that are not present.
    let tables = unsafe {
        tables.write_bytes(0, 1);
        &mut *tables
    };
    let at = |offset: usize| PAddr(place.start().0 + offset as u64);
    let table = PML4Flags::P | PML4Flags::RW;
    let (third, second) = (PDPTFlags::P | PDPTFlags::RW, PDFlags::P | PDFlags::RW);
    let offset = core::mem::offset_of!(Tables, window_gib);
    let large = second | PDFlags::PS | PDFlags::from_bits_truncate(no_execute());

    tables.top[slot(WINDOW.0, 39)] = PML4Entry::new(at(core::mem::offset_of!(Tables, window)), table);
    for (n, gib) in tables.window_gib.iter_mut().enumerate() {
        tables.window[n] = PDPTEntry::new(at(offset + n * size_of::<[PDEntry; ENTRIES]>()), third);
        for (m, entry) in gib.iter_mut().enumerate() {
            let page = PAddr(n as u64 * GIB + m as u64 * LARGE);
            *entry = PDEntry::new(page, large);
        }
    }

    tables.top[slot(VIRT_BASE, 39)] = PML4Entry::new(at(core::mem::offset_of!(Tables, image_512gib)), table);
    let image_gib = at(core::mem::offset_of!(Tables, image_gib));
    tables.image_512gib[slot(VIRT_BASE, 30)] = PDPTEntry::new(image_gib, third);
    for n in 0..tables.image.len() {
        let part = core::mem::offset_of!(Tables, image) + n * size_of::<[PTEntry; ENTRIES]>();
        tables.image_gib[n] = PDEntry::new(at(part), second);
    }
    write_image(&mut tables.image, image);

    let page = trampoline.0;
    tables.top[slot(page, 39)] = PML4Entry::new(at(core::mem::offset_of!(Tables, trampoline_512gib)), table);
    let trampoline_gib = at(core::mem::offset_of!(Tables, trampoline_gib));
    tables.trampoline_512gib[slot(page, 30)] = PDPTEntry::new(trampoline_gib, third);
    tables.trampoline_gib[slot(page, 21)] = PDEntry::new(at(core::mem::offset_of!(Tables, trampoline)), second);
    tables.trampoline[slot(page, 12)] = PTEntry::new(PAddr(page), PTFlags::P);
}

/// Maps each page of the image: code is executed, constants are read, the rest is written, and the stack has a guard.
fn write_image(tables: &mut [[PTEntry; ENTRIES]; 2], place: Phys) {
    let layout = image_layout();
    let (image, data) = (layout.image, PTFlags::P | PTFlags::from_bits_truncate(no_execute()));
    for n in 0..image.len() / PAGE_SIZE {
        let at = Virt(image.start().0 + n * PAGE_SIZE);
        let flags = if at == layout.stack_guard {
            continue;
        } else if layout.written.contains(at) {
            data | PTFlags::RW
        } else if at >= layout.written.end() && at < layout.text_end {
            PTFlags::P
        } else {
            data
        };
        let table = ((at.0 - VIRT_BASE) / LARGE) as usize;
        // The linker script asserts that the image ends below what two tables map.
        tables[table][slot(at.0, 12)] = PTEntry::new(PAddr(place.0 + n * PAGE_SIZE), flags);
    }
}

/// The entry for `at` in a table whose entries each map 2^`shift` bytes.
const fn slot(at: u64, shift: u32) -> usize {
    (at >> shift) as usize % ENTRIES
}

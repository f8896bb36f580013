//! What EBX points to, and all that hangs from it.

use probe::{MODULE_MAGIC, ModuleHeader};
use shared::memory::{GIB, PAGE_SIZE};
use shared::xen::{HvmMemmapEntry, HvmModlistEntry, HvmStartInfo, START_INFO_MAGIC};
use zerocopy::FromBytes;

use crate::entry::State;
use crate::kernel::Kernel;
use crate::memory::{bytes, first_nonzero, read};
use crate::report::{check, info, skip};

/// XEN_HVM_MEMMAP_TYPE_RAM.
const RAM: u32 = 1;
/// The page tables that Linux enters with map the first GiB; the structures have to lie there.
const REACHABLE: u64 = GIB;
/// Most entries that Linux takes from the map.
const MOST_ENTRIES: u64 = 128;
/// Longest command line that is looked at: what QEMU's own PVH ROM has room for.
const LONGEST: u64 = 4096;
/// A module's start is a `u32` for Linux.
const MODULE_LIMIT: u64 = 4 * GIB;
/// Where the first MiB's devices are.
const ISA_HOLE: (u64, u64) = (0xa_0000, 0x10_0000);

/// All of it.
pub(crate) fn check_all(state: &State, kernel: &Kernel) {
    let address = u64::from(state.start_info);
    info("start_info.address", format_args!("{address:#x}"));
    let Some(start_info) = read::<HvmStartInfo>(address) else {
        check(false, "start_info", format_args!("beyond what can be read"));
        return;
    };
    let found = start_info.magic.get();
    // With paging on, all bases are 0: what EBX points to is the same only if they were before.
    check(found == START_INFO_MAGIC, "start_info.magic", format_args!("{found:#x}"));
    let version = start_info.version.get();
    check(version <= 1, "start_info.version", format_args!("{version}"));
    info("start_info.flags", format_args!("{:#x}", start_info.flags));
    let place = Place { start_info: &start_info, kernel };
    place.check(
        "start_info",
        address,
        if version == 0 { HvmStartInfo::VERSION_0_LEN } else { size_of::<HvmStartInfo>() } as u64,
    );
    check_command_line(&place, start_info.cmdline_paddr.get());
    check_rsdp(start_info.rsdp_paddr.get());
    check_map(&place);
    place.check_kernel();
    check_modules(&place);
}

/// Tells where things may lie.
struct Place<'a> {
    start_info: &'a HvmStartInfo,
    kernel: &'a Kernel,
}

impl Place<'_> {
    /// The memory map; empty where there is none.
    fn map(&self) -> impl Iterator<Item = HvmMemmapEntry> + '_ {
        let entries =
            if self.start_info.version.get() == 0 { 0 } else { u64::from(self.start_info.memmap_entries.get()) };
        let size = size_of::<HvmMemmapEntry>() as u64;
        (0..entries.min(MOST_ENTRIES)).map_while(move |number| read(self.start_info.memmap_paddr.get() + number * size))
    }

    /// Whether one RAM entry holds the whole range.
    fn is_ram(&self, start: u64, end: u64) -> bool {
        self.map().any(|entry| {
            let entry_end = entry.addr.get().saturating_add(entry.size.get());
            entry.kind.get() == RAM && entry.addr.get() <= start && end <= entry_end
        })
    }

    fn meets_kernel(&self, start: u64, end: u64) -> bool {
        let (kernel_start, kernel_end) = self.kernel.hull();
        start < kernel_end && kernel_start < end
    }

    /// A structure has to lie where Linux's entry reaches it, in RAM, and not in the kernel.
    fn check(&self, name: &str, start: u64, len: u64) {
        let end = start.saturating_add(len);
        let low = end <= REACHABLE;
        let ram = self.map().next().is_none() || self.is_ram(start, end);
        let outside = !self.meets_kernel(start, end);
        check(
            low && ram && outside,
            format_args!("{name}.place"),
            format_args!("below 1 GiB {low}, in RAM {ram}, outside the kernel {outside}"),
        );
    }

    /// The kernel itself has to lie in RAM.
    fn check_kernel(&self) {
        if self.map().next().is_none() {
            return skip("kernel.place", "there is no memory map");
        }
        let segments = || self.kernel.segments();
        let inside = segments().filter(|s| self.is_ram(s.paddr, s.paddr.saturating_add(s.memory_size))).count();
        check(inside == segments().count(), "kernel.place", format_args!("{inside} segments in RAM"));
    }
}

/// The text from `address` up to its NUL.
fn text(address: u64) -> Option<&'static str> {
    let len = (0..LONGEST).find(|len| bytes(address + len, 1) == Some(&[0]))?;
    str::from_utf8(bytes(address, len)?).ok()
}

fn check_command_line(place: &Place<'_>, address: u64) {
    if address == 0 {
        return info("cmdline", format_args!("absent"));
    }
    match text(address) {
        Some(text) => {
            place.check("cmdline", address, text.len() as u64 + 1);
            check(true, "cmdline", format_args!("{} bytes \"{text}\"", text.len()));
        }
        None => {
            check(false, "cmdline", format_args!("no text that ends within {LONGEST} bytes at {address:#x}"));
        }
    }
}

/// The ACPI root pointer, which firmware or builder owns (ACPI specification, 5.2.5.3).
fn check_rsdp(address: u64) {
    if address == 0 {
        return info("rsdp", format_args!("absent"));
    }
    let found: Option<[u8; 20]> = read(address);
    let valid = found.is_some_and(|rsdp| {
        rsdp.starts_with(b"RSD PTR ") && rsdp.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)) == 0
    });
    check(valid, "rsdp", format_args!("{address:#x}"));
}

fn check_map(place: &Place<'_>) {
    if place.start_info.version.get() == 0 {
        return skip("memmap", "start_info version 0 has none");
    }
    let entries = u64::from(place.start_info.memmap_entries.get());
    check((1..=MOST_ENTRIES).contains(&entries), "memmap", format_args!("{entries} entries"));
    place.check("memmap", place.start_info.memmap_paddr.get(), entries * size_of::<HvmMemmapEntry>() as u64);
    for (number, entry) in place.map().enumerate() {
        let end = entry.addr.get().wrapping_add(entry.size.get());
        info(format_args!("memmap[{number}]"), format_args!("{:#x}..{end:#x} type {}", entry.addr, entry.kind));
    }
}

fn check_modules(place: &Place<'_>) {
    let count = place.start_info.nr_modules.get();
    info("modules", format_args!("{count}"));
    if count == 0 {
        return;
    }
    let list = place.start_info.modlist_paddr.get();
    let size = size_of::<HvmModlistEntry>() as u64;
    place.check("modlist", list, u64::from(count) * size);
    for number in 0..count {
        match read(list + u64::from(number) * size) {
            Some(module) => check_module(place, number, &module),
            None => return check(false, "modlist", format_args!("beyond what can be read")),
        }
    }
}

fn check_module(place: &Place<'_>, number: u32, module: &HvmModlistEntry) {
    let (start, size) = (module.paddr.get(), module.size.get());
    let end = start.saturating_add(size);
    info(format_args!("module[{number}].address"), format_args!("{start:#x}"));
    let aligned = start % PAGE_SIZE == 0;
    let low = end <= MODULE_LIMIT;
    let outside = !place.meets_kernel(start, end) && (end <= ISA_HOLE.0 || start >= ISA_HOLE.1);
    check(
        aligned && low && outside,
        format_args!("module[{number}].place"),
        format_args!("page aligned {aligned}, below 4 GiB {low}, outside kernel and ISA hole {outside}"),
    );
    let Some(content) = bytes(start, size) else {
        return check(false, "module", format_args!("beyond what can be read"));
    };
    info(format_args!("module[{number}].content"), format_args!("{size} bytes, hash {:#018x}", probe::hash(content)));
    check_description(number, content);
    // mstrap promises zeros here; builders do not, and Xen's dom0 builder puts the module's command line here.
    let tail = format_args!("module[{number}].tail");
    match first_nonzero(end, end.next_multiple_of(PAGE_SIZE)) {
        Ok(None) => info(tail, format_args!("zero up to the page's end")),
        Ok(Some(_)) => info(tail, format_args!("not zero")),
        Err(()) => check(false, tail, format_args!("beyond what can be read")),
    }
    match text(module.cmdline_paddr.get()) {
        Some(text) => info(format_args!("module[{number}].cmdline"), format_args!("\"{text}\"")),
        None => info(format_args!("module[{number}].cmdline"), format_args!("absent")),
    }
}

/// Modules that the tests make say themselves what is in them.
fn check_description(number: u32, content: &[u8]) {
    let name = format_args!("module[{number}].description");
    match ModuleHeader::read_from_prefix(content) {
        Ok((header, rest)) if header.magic == MODULE_MAGIC => {
            let whole = header.size == content.len() as u64;
            let same = header.hash == probe::hash(rest);
            check(whole && same, name, format_args!("size as written {whole}, content as written {same}"));
        }
        _ => skip(name, "not a module of ours"),
    }
}

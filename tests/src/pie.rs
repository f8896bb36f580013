//! Static PIEs by a linker of our own, and what is to become of them.
//!
//! Each prints [`Pie::line`] where it finds it by its first relocation, and ends QEMU.

use std::ops::Range;

use fastrand::Rng;

use crate::probe;

/// How relocations are said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// DT_RELA.
    Rela,
    /// DT_REL.
    Rel,
    /// DT_RELR.
    Relr,
}

/// A static PIE.
#[derive(Debug, Clone)]
pub struct Pie {
    /// The file.
    pub elf: Vec<u8>,
    /// Bytes of an address.
    pub word: usize,
    /// How its relocations are said.
    pub form: Form,
    /// What its place is a multiple of.
    pub align: u64,
    /// What lies at its place, as the file has it.
    pub low: u64,
    /// `p_vaddr`, bytes in the file, bytes of memory.
    pub segments: Vec<(u64, Range<usize>, u64)>,
    /// Addresses, and the numbers that the bias is added to.
    pub relocations: Vec<(u64, u64)>,
    /// Where the relocations are in the file.
    pub table: Range<usize>,
    /// Where the dynamic table is in the file.
    pub dynamic: Range<usize>,
    /// Where PT_DYNAMIC's program header is in the file.
    pub dynamic_header: usize,
}

/// What is entered, up to the distance of the pointer to the line: the place of the pop is what all is counted from.
///
/// ```text
///     call next
/// next: pop ebx
///     mov esi, [ebx + distance]
/// ```
const FIND: [&[u8]; 2] = [b"\xe8\0\0\0\0\x5b\x8b\xb3", b"\xe8\0\0\0\0\x5b\x48\x8b\xb3"];
/// How far behind the entry the pop is.
const POP: u64 = 5;
/// What is behind the distance: prints up to a NUL on COM1 and port 0xE9, ends QEMU by isa-debug-exit, and stops.
///
/// ```text
/// next: lodsb
///     test al, al
///     jz end
///     mov dx, 0x3f8
///     out dx, al
///     out 0xe9, al
///     jmp next
/// end: mov al, EXIT_OK
///     out 0xf4, al
///     cli
///     hlt
/// ```
const PRINT: &[u8] = b"\xac\x84\xc0\x74\x09\x66\xba\xf8\x03\xee\xe6\xe9\xeb\xf2\xb0\x28\xe6\xf4\xfa\xf4";
const _: () = assert!(PRINT[15] == probe::EXIT_OK);

/// PT_LOAD, PT_DYNAMIC (ELF gABI).
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;

/// Tags of a table's address, of its length, and of its entries' (ELF gABI).
const fn tags(form: Form) -> [u64; 3] {
    match form {
        Form::Rela => [7, 8, 9],
        Form::Rel => [17, 18, 19],
        Form::Relr => [36, 35, 37],
    }
}

impl Pie {
    /// One of `count` relocations, all else at random.
    pub fn generate(rng: &mut Rng, is_64: bool, form: Form, count: usize) -> Self {
        let word = if is_64 { 8 } else { 4 };
        let high = if is_64 { 0xffff_ffff_8000_0000 } else { 0xc000_0000 };
        let base = [0, 0x1000, 0x20_0000, 0x1234_5000, high][rng.usize(..5)];
        let gap = |rng: &mut Rng| rng.u64(0..3) << 12;
        // Where things are at: code, tables, data with the dynamic table first.
        let code_at = base + rng.u64(0..0x80) * 16;
        let line = line(is_64, form, count);
        let (find, distance) = (FIND[usize::from(is_64)], 4);
        let text_at = code_at + (find.len() + distance + PRINT.len()) as u64;
        let mut code = [find, &[0; 4], PRINT, line.as_bytes(), b"\n\0", &vec![0xf4; rng.usize(..300)]].concat();
        let table_at = (code_at + code.len() as u64).next_multiple_of(4096) + gap(rng) + rng.u64(0..0x100) * 8;
        let slots: Vec<u64> = (0..count as u64 * 2).filter(|_| rng.bool()).collect();
        let sub = |rng: &mut Rng| if form == Form::Relr { 0 } else { rng.u64(0..word) };
        let relative: Vec<u64> = slots.iter().map(|slot| slot * 2 * word + sub(rng)).collect();
        let number = |n: usize, rng: &mut Rng| if n == 0 { text_at } else { base.wrapping_add(rng.u64(0..0x10_0000)) };
        let numbers: Vec<u64> = (0..relative.len()).map(|n| number(n, rng)).collect();
        let entry_len = match form {
            Form::Rela => 3 * word,
            Form::Rel => 2 * word,
            Form::Relr => word,
        };
        // Until it is known where the data is, for 0; entries that say nothing are of one length with others.
        let nones = if form == Form::Relr { 0 } else { rng.usize(0..4) };
        let table_len = match form {
            Form::Relr => relr(&relative, word).len() as u64 * word,
            _ => (relative.len() + nones) as u64 * entry_len,
        };
        let data_at = (table_at + table_len).next_multiple_of(4096) + gap(rng) + rng.u64(0..0x100) * 8;
        let extra = rng.u64(0..4);
        let dynamic_len = (4 + extra) * 2 * word;
        let first = data_at + dynamic_len;
        let pointer = first + relative.first().unwrap_or(&0);
        code[find.len()..][..distance].copy_from_slice(&((pointer - code_at - POP) as u32).to_le_bytes());
        let mut relocations: Vec<(u64, u64)> = relative.iter().map(|at| first + at).zip(numbers).collect();
        let mut table = Vec::new();
        if form == Form::Relr {
            table = relr(&relocations.iter().map(|relocation| relocation.0).collect::<Vec<_>>(), word);
            table.truncate((table_len / word) as usize);
        } else {
            rng.shuffle(&mut relocations);
            let kinds = (0..nones).map(|_| (0, 0, 0)).chain(relocations.iter().map(|(at, number)| (*at, 8, *number)));
            let mut entries: Vec<(u64, u64, u64)> = kinds.collect();
            rng.shuffle(&mut entries);
            for (at, kind, number) in entries {
                table.extend([at, kind]);
                table.extend((form == Form::Rela).then_some(number));
            }
        }
        let table = words(&table, word);
        let [at_tag, len_tag, entry_tag] = tags(form);
        let mut dynamic: Vec<[u64; 2]> =
            vec![[at_tag, table_at], [len_tag, table.len() as u64], [entry_tag, entry_len]];
        dynamic.extend((0..extra).map(|n| [[21, 0], [0x6fff_fffb, 0x0800_0001], [30, 8], [4, base]][n as usize]));
        rng.shuffle(&mut dynamic);
        dynamic.push([0, 0]);
        let mut data = words(&dynamic.concat(), word);
        data.resize((dynamic_len + count as u64 * 4 * word + 2 * word) as usize, 0);
        for byte in &mut data[dynamic_len as usize..] {
            *byte = rng.u8(..);
        }
        for (at, number) in relocations.iter().filter(|_| form != Form::Rela) {
            let at = (at - data_at) as usize;
            data[at..at + word as usize].copy_from_slice(&number.to_le_bytes()[..word as usize]);
        }
        let align = if rng.u8(..4) == 0 { 4 << 20 } else { 0x1000 };
        let bss = rng.u64(0..0x3000);
        let parts = [(code_at, code, 5, 0), (table_at, table, 4, 0), (data_at, data, 6, bss)];
        let made = link(word, code_at, align, &parts, dynamic_len);
        let align = align.max(2 << 20);
        Self { form, align, low: base & !(align - 1), relocations, ..made }
    }

    /// What it prints, if it has a relocation.
    pub fn line(&self, count: usize) -> String {
        line(self.word == 8, self.form, count)
    }

    /// The bytes of a number of the file's.
    pub fn number_mut(&mut self, at: usize) -> &mut [u8] {
        &mut self.elf[at..at + self.word]
    }

    /// Sets the value of a tag of the dynamic table: its table's address, length and entries' length go by 0 to 2.
    pub fn set(&mut self, which: usize, value: u64) {
        let (tag, word) = (tags(self.form)[which], self.word);
        let mut places = self.dynamic.clone().step_by(2 * word);
        if let Some(at) = places.find(|at| number(&self.elf[*at..at + word]) == tag) {
            self.number_mut(at + word).copy_from_slice(&value.to_le_bytes()[..word]);
        }
    }

    /// The memory of each segment when it lies `bias` above the file's addresses: where, and the bytes.
    pub fn memory(&self, bias: u64) -> Vec<(u64, Vec<u8>)> {
        let mut memory: Vec<(u64, Vec<u8>)> = Vec::new();
        for (at, file, len) in &self.segments {
            let mut bytes = self.elf[file.clone()].to_vec();
            bytes.resize(*len as usize, 0);
            for (target, number) in &self.relocations {
                let Some(skip) = target.checked_sub(*at).filter(|skip| *skip < *len) else { continue };
                let number = number.wrapping_add(bias).to_le_bytes();
                bytes[skip as usize..][..self.word].copy_from_slice(&number[..self.word]);
            }
            memory.push((*at, bytes));
        }
        memory
    }
}

/// The relocations of any file: each address, and the number that the bias is added to if it is not at the address. As far as
/// they are right: a file with others is refused.
pub fn relocations(elf: &[u8], dynamic: Range<usize>, segments: &[(u64, Range<usize>)]) -> Vec<(u64, Option<u64>)> {
    let word = if elf[4] == 2 { 8 } else { 4 };
    let list = |bytes: &[u8]| bytes.chunks_exact(word).map(number).collect::<Vec<u64>>();
    let tags = list(&elf[dynamic]);
    let tags: Vec<&[u64]> = tags.chunks_exact(2).take_while(|pair| pair[0] != 0).collect();
    let value = |tag| tags.iter().rev().find(|pair| pair[0] == tag).map_or(0, |pair| pair[1]);
    let table = |at: u64, len: u64| {
        let holds = |(start, file): &&(u64, Range<usize>)| at >= *start && at - start + len <= file.len() as u64;
        let (start, file) = segments.iter().find(holds).filter(|_| len != 0)?;
        let first = file.start + (at - start) as usize;
        Some(list(&elf[first..first + len as usize]))
    };
    let mut found = Vec::new();
    let plt_is_rel = tags.iter().any(|pair| **pair == [20, 17]);
    for (at, len, with_number) in [(7, 8, true), (17, 18, false)] {
        let entries = table(value(at), value(len)).unwrap_or_default();
        let whole = entries.chunks_exact(if with_number { 3 } else { 2 });
        let whole = whole.filter(|entry| entry[1] & 0xff != 0);
        found.extend(whole.map(|entry| (entry[0], with_number.then(|| entry[2]))));
    }
    let mut next = 0;
    for entry in table(value(36), value(35)).unwrap_or_default() {
        let step = word as u64;
        if entry % 2 == 0 {
            found.push((entry, None));
            next = entry + step;
        } else {
            found.extend((1..8 * step).filter(|bit| entry >> bit & 1 == 1).map(|bit| (next + (bit - 1) * step, None)));
            next = next.wrapping_add((8 * step - 1) * step);
        }
    }
    let entries = table(value(23), value(2)).unwrap_or_default();
    let whole = entries.chunks_exact(if plt_is_rel { 2 } else { 3 }).filter(|entry| entry[1] & 0xff != 0);
    found.extend(whole.map(|entry| (entry[0], (!plt_is_rel).then(|| entry[2]))));
    found
}

fn line(is_64: bool, form: Form, count: usize) -> String {
    format!("a PIE of {} bits, of {count} at most by {form:?}", if is_64 { 64 } else { 32 })
}

/// A little-endian number.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn words(numbers: &[u64], word: u64) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes().into_iter().take(word as usize)).collect()
}

/// Addresses as DT_RELR has them: the lowest, then bitmaps for as long as each has a bit that is set.
fn relr(addresses: &[u64], word: u64) -> Vec<u64> {
    let (mut out, mut rest) = (Vec::new(), addresses);
    while let Some((first, more)) = rest.split_first() {
        out.push(*first);
        rest = more;
        let mut from = first + word;
        loop {
            let bits = 8 * word - 1;
            let here = rest.iter().take_while(|at| **at < from + bits * word).count();
            if here == 0 {
                break;
            }
            out.push(rest[..here].iter().fold(1, |bitmap, at| bitmap | 1 << ((at - from) / word + 1)));
            rest = &rest[here..];
            from += bits * word;
        }
    }
    out
}

/// A segment's address, bytes, flags, and bytes of zero behind.
type Part = (u64, Vec<u8>, u32, u64);

/// The file of these segments, the last of which begins with the dynamic table, and the one before is the table.
fn link(word: u64, entry: u64, align: u64, parts: &[Part; 3], dynamic_len: u64) -> Pie {
    let is_64 = word == 8;
    let (header, program): (u64, u64) = if is_64 { (64, 56) } else { (52, 32) };
    let mut elf = b"\x7fELF".to_vec();
    elf.extend([1 + u8::from(is_64), 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    elf.extend([3u16, if is_64 { 62 } else { 3 }].iter().flat_map(|half| half.to_le_bytes()));
    elf.extend(1u32.to_le_bytes());
    elf.extend(words(&[entry, header, 0], word));
    elf.extend([0; 4]);
    let halves = [header as u16, program as u16, parts.len() as u16 + 1, 0, 0, 0];
    elf.extend(halves.iter().flat_map(|half| half.to_le_bytes()));
    let mut add = |kind: u32, flags: u32, offset: u64, at: u64, len: u64, memory_len: u64, align: u64| {
        elf.extend(kind.to_le_bytes());
        let numbers = words(&[offset, at, at, len, memory_len], word);
        if is_64 {
            elf.extend(flags.to_le_bytes());
            elf.extend(numbers);
        } else {
            elf.extend(numbers);
            elf.extend(flags.to_le_bytes());
        }
        elf.extend(words(&[align], word));
    };
    let mut offset = header + program * (parts.len() as u64 + 1);
    let mut segments = Vec::new();
    for (at, bytes, flags, zeros) in parts {
        offset = offset.next_multiple_of(4096) + at % 4096;
        let (len, memory_len) = (bytes.len() as u64, bytes.len() as u64 + zeros);
        add(PT_LOAD, *flags, offset, *at, len, memory_len, align);
        segments.push((*at, offset as usize..(offset + len) as usize, memory_len));
        offset += len;
    }
    let data = &segments[2];
    let dynamic = data.1.start..data.1.start + dynamic_len as usize;
    add(PT_DYNAMIC, 6, dynamic.start as u64, data.0, dynamic_len, dynamic_len, word);
    for ((_, file, _), (_, bytes, ..)) in segments.iter().zip(parts) {
        elf.resize(file.start, 0);
        elf.extend(bytes);
    }
    let (table, dynamic_header) = (segments[1].1.clone(), (header + 3 * program) as usize);
    let (form, low, relocations) = (Form::Rela, 0, Vec::new());
    Pie { elf, word: word as usize, form, align, low, segments, relocations, table, dynamic, dynamic_header }
}

//! Reads a description. A line is a keyword and its values; `#` begins a comment.
//!
//! ```text
//! class 32|64    machine N    type N    entry N
//! load PADDR VADDR FILE-LENGTH MEMORY-LENGTH RWX [at OFFSET] [align N]
//! notes segment|section|zero        begins a group of notes
//! note NAME TYPE VALUE              TYPE: a name of Xen's, or a number; VALUE: "text" (with its NUL), 'text' (without),
//!                                   u8:N u16:N u32:N,N,.. u64:N
//! cut N                             the program header of the last group of notes is N bytes short
//! guest "TEXT"                      the section __xen_guest, with a NUL
//! symbols N N                       lengths of the symbol table and its strings
//! section NAME                      an empty section
//! decide virt-base N | entry physical|virtual | map segments | protocol pvh|pv|direct
//! ```

use shared::kernel::{Class, EntryRule, Mapping, Protocol};
use shared::memory::Virt;

use super::{Description, Load, NOTE_NAMES, Notes, Place, add_note};

/// Reads a description; the error names the line.
pub(super) fn description(text: &str) -> Result<Description, String> {
    let about: Vec<&str> = text.lines().map_while(|line| line.strip_prefix('#')).map(str::trim).collect();
    let mut description = Description { about: about.join(" "), ..Description::default() };
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            read_line(&mut description, line).ok_or_else(|| format!("line {}: {line}", number + 1))?;
        }
    }
    Ok(description)
}

fn read_line(description: &mut Description, line: &str) -> Option<()> {
    let (keyword, rest) = line.split_once(' ')?;
    let rest = rest.trim();
    match keyword {
        "class" => description.class = if rest == "32" { Class::Elf32 } else { Class::Elf64 },
        "machine" => description.machine = u16::try_from(number(rest)?).ok()?,
        "type" => description.kind = u16::try_from(number(rest)?).ok()?,
        "entry" => description.entry = number(rest)?,
        "load" => description.loads.push(load(rest)?),
        "notes" => description.notes.push(Notes { place: place(rest)?, bytes: Vec::new(), cut: 0 }),
        "note" => note(description, rest)?,
        "cut" => description.notes.last_mut()?.cut = number(rest)?,
        "guest" => description.guest = Some(value(rest)?),
        "symbols" => {
            let (symbols, strings) = rest.split_once(' ')?;
            description.symbols = Some((number(symbols)?, number(strings)?));
        }
        "section" => description.sections.push(rest.to_owned()),
        "decide" => decide(description, rest)?,
        _ => return None,
    }
    Some(())
}

fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn place(text: &str) -> Option<Place> {
    match text {
        "segment" => Some(Place::Segment),
        "section" => Some(Place::Section),
        "zero" => Some(Place::SegmentAtZero),
        _ => None,
    }
}

fn load(text: &str) -> Option<Load> {
    let mut words = text.split_whitespace();
    let mut next = || number(words.next()?);
    let (paddr, vaddr, file_len, memory_len) = (next()?, next()?, next()?, next()?);
    let access = words.next()?;
    let bit = |letter, value| if access.contains(letter) { value } else { 0 };
    let flags = bit('R', 4) | bit('W', 2) | bit('X', 1);
    let mut load = Load { paddr, vaddr, file_len, memory_len, flags, offset: None, align: 4096 };
    while let Some(word) = words.next() {
        match word {
            "at" => load.offset = Some(number(words.next()?)?),
            "align" => load.align = number(words.next()?)?,
            _ => return None,
        }
    }
    Some(load)
}

fn note(description: &mut Description, text: &str) -> Option<()> {
    let (name, rest) = text.split_once(' ')?;
    let (kind, rest) = rest.split_once(' ')?;
    let kind = match NOTE_NAMES.iter().find(|known| known.0 == kind) {
        Some((_, kind)) => *kind,
        None => u32::try_from(number(kind)?).ok()?,
    };
    let name: Vec<u8> = name.bytes().chain([0]).collect();
    add_note(&mut description.notes.last_mut()?.bytes, &name, kind, &value(rest.trim())?);
    Some(())
}

fn value(text: &str) -> Option<Vec<u8>> {
    if let Some(text) = text.strip_prefix('"') {
        return Some(text.strip_suffix('"')?.replace("\\0", "\0").bytes().chain([0]).collect());
    }
    if let Some(text) = text.strip_prefix('\'') {
        return Some(text.strip_suffix('\'')?.bytes().collect());
    }
    let (width, numbers) = text.split_once(':')?;
    let width = match width {
        "u8" => 1,
        "u16" => 2,
        "u32" => 4,
        "u64" => 8,
        _ => return None,
    };
    let mut bytes = Vec::new();
    for text in numbers.split(',') {
        bytes.extend(&number(text)?.to_le_bytes()[..width]);
    }
    Some(bytes)
}

fn decide(description: &mut Description, text: &str) -> Option<()> {
    let (what, value) = text.split_once(' ')?;
    let decisions = &mut description.decisions;
    match (what, value) {
        ("virt-base", value) => decisions.virt_base = Some(Virt(number(value)?)),
        ("entry", "physical") => decisions.entry = EntryRule::Physical,
        ("entry", "virtual") => decisions.entry = EntryRule::Virtual,
        ("map", "segments") => decisions.mapping = Mapping::Segments,
        ("protocol", "pvh") => decisions.protocol = Some(Protocol::Pvh),
        ("protocol", "pv") => decisions.protocol = Some(Protocol::Pv),
        ("protocol", "direct") => decisions.protocol = Some(Protocol::Direct),
        _ => return None,
    }
    Some(())
}

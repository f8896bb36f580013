//! Makes the image of what the linker made: the body, which is code and constants, is put compressed behind what the entries
//! need. stage0/stage0.ld says where everything is.

use object::elf::{ET_EXEC, FileHeader64, PT_LOAD, ProgramHeader64, SymbolSection};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::{LittleEndian, pod};

/// How hard the packer tries, of 9: higher levels gain a hundred bytes and take minutes.
const LEVEL: u8 = 4;

type Header = FileHeader64<LittleEndian>;
type Segment = ProgramHeader64<LittleEndian>;

/// The image's file.
pub(crate) fn packed(linked: &[u8]) -> Result<Vec<u8>, String> {
    let (mut header, mut segments) = read(linked).ok_or("the linker made no file of stage0.ld's form")?;
    let [first, .., body] = segments.as_mut_slice() else { return Err("stage0 has no body".to_owned()) };
    let bytes = body.data(LittleEndian, linked).map_err(|()| "stage0's body is cut off")?;
    let config = upkr::Config::default();
    let packed = upkr::pack(bytes, LEVEL, &config, None);
    if upkr::unpack(&packed, &config, bytes.len()).ok().as_deref() != Some(bytes) {
        return Err("stage0's body is not unpacked to what was packed".to_owned());
    }

    let mut image = first.data(LittleEndian, linked).map_err(|()| "stage0's file is cut off")?.to_vec();
    image.extend(packed);
    let len = image.len();
    let most = room(linked, &header, first).ok_or("stage0 has no .bss behind its file")?;
    if len as u64 > most {
        return Err(format!("stage0's file has {len} bytes, expected at most {most}"));
    }
    let e = LittleEndian;
    first.p_filesz.set(e, len as u64);
    first.p_memsz.set(e, body.p_vaddr.get(e) + body.p_memsz.get(e) - first.p_vaddr.get(e));
    segments.pop();
    header.e_phnum.set(e, segments.len() as u16);
    header.e_shoff.set(e, 0);
    header.e_shnum.set(e, 0);
    header.e_shstrndx.set(e, SymbolSection(0));
    let mut heads = [pod::bytes_of(&header), pod::bytes_of_slice(&segments)].concat();
    // The body's is gone.
    heads.resize(heads.len() + size_of::<Segment>(), 0);
    image[..heads.len()].copy_from_slice(&heads);
    Ok(image)
}

/// The heads: program headers follow the file's, the first segment begins with both and the last one is the body.
fn read(linked: &[u8]) -> Option<(Header, Vec<Segment>)> {
    let header = *Header::parse(linked).ok()?;
    let segments = header.program_headers(LittleEndian, linked).ok()?.to_vec();
    let is_load = |segment: &Segment| segment.p_type(LittleEndian) == PT_LOAD;
    let fits = header.e_type(LittleEndian) == ET_EXEC
        && header.e_phoff(LittleEndian) == size_of::<Header>() as u64
        && segments.first().is_some_and(|first| is_load(first) && first.p_offset(LittleEndian) == 0)
        && segments.last().is_some_and(is_load);
    fits.then_some((header, segments))
}

/// Most bytes that the file may have: what stage0.ld keeps for it in memory, in front of what is written.
fn room(linked: &[u8], header: &Header, first: &Segment) -> Option<u64> {
    let sections = header.sections(LittleEndian, linked).ok()?;
    let (_, bss) = sections.section_by_name(LittleEndian, b".bss")?;
    bss.sh_addr(LittleEndian).checked_sub(first.p_vaddr(LittleEndian))
}

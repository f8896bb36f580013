//! Decoders compiled as stage0 is, and run as a process of Linux: `decoders NAME FILE TIMES`. FILE holds frames, each the lengths
//! of its stored bytes and its content (four bytes each), and these. The program decodes all of them TIMES times and
//! prints how many nanoseconds of its processor the quickest time took. It fails if a frame decodes to something else. With
//! zero for TIMES it decodes them once and does nothing besides, so that its instructions can be counted.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
extern crate alloc;
#[cfg(target_os = "none")]
mod decoders;
#[cfg(target_os = "none")]
mod heap;
#[cfg(target_os = "none")]
mod linux;

/// Where a process begins: its arguments are on the stack.
#[cfg(target_os = "none")]
fn main(arguments: [&'static core::ffi::CStr; 3]) -> Result<u64, &'static str> {
    let [name, file, times] = arguments;
    let times: u32 = times.to_str().ok().and_then(|text| text.parse().ok()).ok_or("expected a number of times")?;
    let decoder = decoders::find(name.to_bytes())?;
    let frames = linux::map(file).ok_or("cannot read the frames")?;
    let content = linux::memory(4 << 20).ok_or("there is no memory")?;
    let mut best = u64::MAX;
    for _ in 0..times.max(1) {
        let mut used = 0;
        let mut rest: &[u8] = frames;
        while let Some((lens, frame)) = rest.split_first_chunk::<8>() {
            let [stored, len] =
                [0, 4].map(|at| u32::from_le_bytes([lens[at], lens[at + 1], lens[at + 2], lens[at + 3]]) as usize);
            let (stored, frame) = frame.split_at_checked(stored).ok_or("a frame is not whole")?;
            let (expected, frame) = frame.split_at_checked(len).ok_or("a frame is not whole")?;
            rest = frame;
            let content = content.get_mut(..len).ok_or("a frame is too large")?;
            let start = linux::processor_time();
            let decoded = decoder(stored, content);
            used += linux::processor_time() - start;
            heap::clear();
            if times == 0 {
                continue;
            }
            if !decoded || content != expected {
                return Err("a frame decodes to something else");
            }
            content.fill(0);
        }
        best = best.min(used);
    }
    Ok(best)
}

/// The program only runs as what the guest is compiled to.
#[cfg(not(target_os = "none"))]
fn main() {}

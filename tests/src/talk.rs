//! Talking to a guest that `pack run` runs: a Linux whose first program listens, and says what it heard.

use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::trial::{Trouble, check};
use crate::{Board, cache, initrd, kernels, tools};

/// What the guest is told.
const WORDS: &str = "good morning";
const VCPUS: &str = "2";
const MEMORY_MIB: u64 = 320;

/// Runs a Linux by `pack run --tier TIER`, talks to it, and checks what it says of that, of its memory and of its processors, and
/// that its end is a status of 0.
///
/// # Errors
/// A part cannot be had, or it is not so.
pub fn talk(tier: &str, console: &str) -> Result<(), Trouble> {
    let kernel = kernels::with(&["CONFIG_PVH", "CONFIG_XEN_PV"])?;
    let folder = cache::target().join("talk");
    fs::create_dir_all(&folder)?;
    let ramdisk = folder.join(format!("{tier}.cpio"));
    fs::write(&ramdisk, initrd::talking()?)?;
    let mut pack = Command::new(tools::pack()?);
    pack.args(["run", "--tier", tier, "--timeout", "400", "--vcpus", VCPUS])
        .arg("--memory")
        .arg(format!("{MEMORY_MIB}M"));
    pack.arg("--initrd")
        .arg(&ramdisk)
        .arg("--cmdline")
        .arg(format!("{console} quiet panic=-1 {}", Board::Pc.linux_words()))
        .arg(&kernel.vmlinuz);
    let mut child = pack.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
    let (mut input, mut output) = (child.stdin.take().ok_or("no input")?, child.stdout.take().ok_or("no output")?);
    let (mut said, mut told, mut bytes) = (String::new(), false, [0; 4096]);
    while let Ok(count @ 1..) = output.read(&mut bytes) {
        said.push_str(&String::from_utf8_lossy(&bytes[..count]));
        if !told && said.contains("mstrap-guest: listening") {
            writeln!(input, "{WORDS}")?;
            told = true;
        }
    }
    let status = child.wait()?;
    check(status.success(), format!("{status}\n{said}"))?;
    let heard = said.lines().find_map(|line| line.trim().strip_prefix("mstrap-guest: heard "));
    let (words, numbers) =
        heard.and_then(|line| line.rsplit_once(" on ")).ok_or_else(|| format!("not heard: {said}"))?;
    check(words == WORDS, format!("heard {words:?}"))?;
    let (vcpus, memory) = numbers.split_once(" in ").ok_or("no memory")?;
    let kib: u64 = memory.trim_end_matches(" KiB").parse().map_err(|_| format!("memory {memory:?}"))?;
    // The kernel keeps a part for itself.
    let expected = (MEMORY_MIB - 100) << 10..MEMORY_MIB << 10;
    check(vcpus == VCPUS && expected.contains(&kib), format!("{vcpus} processors, {kib} KiB\n{said}"))
}

//! What decoding costs: stage0's decoders and others, compiled as stage0 is and run as a process, beside libzstd on the host. Of each
//! kernel's frames as `pack` makes them: nanoseconds of the processor for a byte of content, the best of some times, and, where there is
//! valgrind, instructions. Fails if a decoder of ours is slower than it may be. A word selects kernels by a part of their release.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use harness::{cache, kernels};
use pack::build::Request;
use pack::compress::Settings;
use pack::image::Image;
use pack::open;
use shared::format::Codec;

/// How often all is decoded.
const TIMES: u32 = 9;
/// How many kernels, each of another compression.
const KERNELS: usize = 3;
/// Nanoseconds for a byte of content at most, zstd at level 19.
const MOST: f64 = 1.2;
/// Of libzstd's time at most.
const MOST_OF_LIBZSTD: f64 = 1.1;

/// Codecs and levels, and what decodes frames of them.
const SUBJECTS: [(Codec, i32, &[&str]); 3] = [
    (Codec::Zstd, 19, &["zstd-bmi2", "zstd", "zrip", "ruzstd"]),
    (Codec::Zstd, 15, &["zstd-bmi2", "zstd", "zrip", "ruzstd"]),
    (Codec::Lz4, 0, &["lz4", "lz4_flex"]),
];

/// Frames as the program `decoders` reads them.
struct Frames {
    file: PathBuf,
    frames: Vec<(Vec<u8>, Vec<u8>)>,
    /// Bytes of content.
    len: usize,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    // `cargo test` runs benchmarks' binaries too, without this word.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let words: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    let program = program()?;
    let mut table =
        String::from("| kernel | frames | decoder | ns for a byte | instructions, millions |\n|---|---|---|---|---|\n");
    let mut slow = Vec::new();
    for kernel in kernels::of_different_compressions(KERNELS)? {
        if !words.is_empty() && !words.iter().any(|word| kernel.release.contains(word.as_str())) {
            continue;
        }
        let elf = open::open(&kernel.vmlinuz)?.elf;
        for (codec, level, decoders) in SUBJECTS {
            let frames = Frames::of(&kernel.release, &elf, codec, level)?;
            let name = format!("{} {level}", codec.name());
            let mut row = |decoder: &str, nanoseconds: u64, count: Option<u64>| {
                let each = nanoseconds as f64 / frames.len as f64;
                let count = count.map_or("-".to_owned(), |count| format!("{:.1}", count as f64 / 1e6));
                let line = format!("| {} | {name} | {decoder} | {each:.3} | {count} |\n", kernel.release);
                print!("{line}");
                _ = table.write_str(&line);
                each
            };
            let libzstd = match codec {
                Codec::Zstd => row("libzstd, on the host", frames.libzstd()?, None),
                _ => f64::INFINITY,
            };
            let nothing = instructions(&program, "none", &frames.file)?;
            for decoder in decoders {
                let nanoseconds = output(Command::new(&program).arg(decoder).arg(&frames.file).arg(TIMES.to_string()))?;
                let nanoseconds = nanoseconds.trim().parse().context("the program prints a number")?;
                let count = instructions(&program, decoder, &frames.file)?;
                let each = row(decoder, nanoseconds, count.zip(nothing).map(|(count, nothing)| count - nothing));
                if *decoder == "zstd-bmi2" && level == 19 && (each > MOST || each > MOST_OF_LIBZSTD * libzstd) {
                    slow.push(format!("{}, {name}: {each:.3} ns, libzstd {libzstd:.3}", kernel.release));
                }
            }
        }
    }
    let folder = cache::target().join("bench");
    fs::write(folder.join("decoders.md"), table)?;
    ensure!(
        slow.is_empty(),
        "slower than {MOST} ns for a byte, or than {MOST_OF_LIBZSTD} times libzstd:\n{}",
        slow.join("\n")
    );
    Ok(())
}

impl Frames {
    /// The kernel's frames.
    fn of(release: &str, elf: &[u8], codec: Codec, level: i32) -> Result<Self> {
        let settings = Settings { codec, level, ..Settings::default() };
        let pack = Request { settings, ..Request::new(release, elf.to_vec()) }.build(&|_| {})?.pack;
        let image = Image::parse(&pack)?;
        let (mut bytes, mut frames, mut len) = (Vec::new(), Vec::new(), 0);
        for frame in image.manifest.frames().filter(|frame| frame.codec == codec) {
            let stored = image.stored(frame.stored);
            let (start, end) = (usize::try_from(frame.content.offset())?, usize::try_from(frame.content.end())?);
            let content = elf.get(start..end).context("a frame of the kernel")?;
            for part in [stored, content] {
                bytes.extend_from_slice(&u32::try_from(part.len())?.to_le_bytes());
            }
            bytes.extend_from_slice(stored);
            bytes.extend_from_slice(content);
            len += content.len();
            frames.push((stored.to_vec(), content.to_vec()));
        }
        let folder = cache::target().join("bench");
        fs::create_dir_all(&folder)?;
        let file = folder.join(format!("{release}-{}-{level}.frames", codec.name()));
        fs::write(&file, bytes)?;
        Ok(Self { file, frames, len })
    }

    /// Nanoseconds in which libzstd decodes all of them, the checksum left out.
    fn libzstd(&self) -> Result<u64> {
        let mut context = zstd::zstd_safe::DCtx::create();
        let ignored = zstd::zstd_safe::DParameter::ForceIgnoreChecksum(true);
        ensure!(context.set_parameter(ignored).is_ok(), "libzstd ignores checksums");
        let mut room = vec![0; 2 << 20];
        let mut best = u64::MAX;
        for _ in 0..TIMES {
            let mut used = 0;
            for (stored, content) in &self.frames {
                let room = room.get_mut(..content.len()).context("room for a frame")?;
                let start = processor_time()?;
                let decoded = context.decompress(room, stored);
                used += processor_time()? - start;
                ensure!(decoded == Ok(content.len()) && room == content, "libzstd decodes a frame");
            }
            best = best.min(used);
        }
        Ok(best)
    }
}

/// Nanoseconds that this thread has had a processor: Linux' Documentation/scheduler/sched-stats.rst.
fn processor_time() -> Result<u64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    text.split(' ').next().context("times of a thread")?.parse().context("a time")
}

/// The program `decoders`, compiled as stage0 is.
fn program() -> Result<PathBuf> {
    let target = cache::target().join("decoders-build");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args([
            "build",
            "--quiet",
            "--locked",
            "--package=decoders",
            "--profile=stage0",
            "--target=x86_64-unknown-none",
        ])
        .arg("--target-dir")
        .arg(&target)
        .current_dir(cache::workspace());
    output(&mut command)?;
    Ok(target.join("x86_64-unknown-none/stage0/decoders"))
}

/// Instructions of decoding all frames once, if there is valgrind.
fn instructions(program: &Path, decoder: &str, frames: &Path) -> Result<Option<u64>> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program).arg(decoder).arg(frames).arg("0");
    let Ok(output) = command.stdin(Stdio::null()).output() else { return Ok(None) };
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{decoder} by valgrind: {text}");
    let line = text.lines().find_map(|line| line.split_once("Collected :")).context("valgrind says how many")?;
    Ok(Some(line.1.trim().parse()?))
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    Ok(text)
}

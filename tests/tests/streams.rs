//! Compressed files of several streams, padded, followed by anything, cut off: what `pack` makes of them, and what the
//! compression's own program does. Not a byte that the program writes is missing.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::thread;

use fastrand::Rng;
use harness::tools;
use harness::trial::{self, Trouble, check};
use pack::open;

/// Kernels that are cut into streams at random.
const DRAWN: usize = 12;

/// A compression, by how its program is started.
struct Program {
    name: &'static str,
    package: &'static str,
    compress: &'static [&'static str],
    /// The other frame that it reads.
    other: Option<&'static [&'static str]>,
    skippable: bool,
    /// What the program reads besides and `pack` refuses, by the beginnings of the cases' names.
    refused: &'static [&'static str],
}

/// The options by which they decompress.
const DECOMPRESS: [&str; 2] = ["-d", "-c"];

const PROGRAMS: [Program; 7] = [
    Program { name: "gzip", package: "gzip", compress: &["-c"], other: None, skippable: false, refused: &[] },
    Program { name: "xz", package: "xz-utils", compress: &["-c"], other: None, skippable: false, refused: &[] },
    Program {
        name: "xz",
        package: "xz-utils",
        compress: &["-c", "--format=lzma"],
        other: None,
        skippable: false,
        // Of a stream that says both its length and where it ends, the decoder takes the length.
        refused: &["a length"],
    },
    Program {
        name: "zstd",
        package: "zstd",
        compress: &["-c", "-q"],
        other: None,
        skippable: true,
        // It reads other compressions too.
        refused: &["gzip behind"],
    },
    Program {
        name: "lz4",
        package: "lz4",
        compress: &["-c", "-q"],
        other: Some(&["-c", "-q", "-l"]),
        skippable: true,
        // Some versions end with status 0 once a frame was good.
        refused: &["garbage", "zeros", "gzip behind", "a cut magic"],
    },
    Program {
        name: "bzip2",
        package: "bzip2",
        compress: &["-c"],
        other: None,
        skippable: false,
        // It ignores what it does not know behind a stream.
        refused: &["garbage", "zeros", "gzip behind"],
    },
    Program {
        name: "lzop",
        package: "lzop",
        compress: &["-c"],
        other: None,
        skippable: false,
        refused: &["garbage", "zeros", "gzip behind", "a cut magic"],
    },
];

fn main() {
    let tests = PROGRAMS.into_iter().map(|program| {
        let format = if program.compress.contains(&"--format=lzma") { "lzma" } else { program.name };
        trial::test(&format!("{format}_is_read_as_its_program_reads_it"), move || compare(&program))
    });
    trial::main(tests.collect());
}

/// What begins as a kernel does.
fn kernel(rng: &mut Rng) -> Vec<u8> {
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    let len = rng.usize(5000..60_000);
    elf.extend((elf.len()..len).map(|_| if rng.bool() { 0 } else { rng.u8(..) }));
    elf
}

/// Its status and its output.
fn run(program: &Program, words: &[&str], input: &[u8]) -> Result<(bool, Vec<u8>), Trouble> {
    let mut command: Command = tools::program(program.name, program.package)?;
    let mut child = command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let (Some(mut stdin), Some(mut stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("no standard input or output".into());
    };
    let mut output = Vec::new();
    thread::scope(|scope| {
        // A program that has seen enough reads no more.
        scope.spawn(move || stdin.write_all(input).is_ok());
        stdout.read_to_end(&mut output)
    })?;
    let status = child.wait()?.code();
    // By its status 2, lzop warns of several streams.
    Ok((status == Some(0) || (status == Some(2) && program.name == "lzop"), output))
}

/// A skippable frame of `len` bytes.
fn skippable(rng: &mut Rng, len: u32) -> Vec<u8> {
    let mut frame = (0x184d_2a50 | rng.u32(..16)).to_le_bytes().to_vec();
    frame.extend(len.to_le_bytes());
    frame.extend((0..len).map(|_| rng.u8(..)));
    frame
}

/// Files with a kernel in them, or what is left of one.
fn cases(program: &Program, rng: &mut Rng) -> Result<Vec<(String, Vec<u8>)>, Trouble> {
    let elf = kernel(rng);
    let stream = |bytes: &[u8]| -> Result<Vec<u8>, Trouble> {
        let (fine, stream) = run(program, program.compress, bytes)?;
        check(fine, "a stream is not compressed")?;
        Ok(stream)
    };
    let at = rng.usize(1..elf.len());
    let (whole, first, second) = (stream(&elf)?, stream(&elf[..at])?, stream(&elf[at..])?);
    let (short, behind, empty) = (stream(&elf[..2])?, stream(&elf[2..])?, stream(&[])?);
    let mut cases = vec![
        ("one".to_owned(), whole.clone()),
        ("two".to_owned(), [&first[..], &second].concat()),
        ("a head in two".to_owned(), [&short[..], &behind].concat()),
        ("empty first".to_owned(), [&empty[..], &whole].concat()),
        ("empty between".to_owned(), [&first[..], &empty, &empty, &second].concat()),
        ("empty last".to_owned(), [&whole[..], &empty].concat()),
        ("only empty ones".to_owned(), empty.repeat(3)),
        ("a cut stream".to_owned(), [&first[..], &second[..rng.usize(first.len().min(20)..second.len())]].concat()),
        ("a cut magic".to_owned(), [&whole[..], &second[..rng.usize(1..4)]].concat()),
        ("gzip behind".to_owned(), [&whole[..], b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0"].concat()),
        ("zeros first".to_owned(), [&[0; 4][..], &whole].concat()),
    ];
    for len in [1, 2, 3, 4, 5, 8, 511, 512] {
        cases.push((format!("zeros, {len}"), [&whole[..], &vec![0; len]].concat()));
        cases.push((format!("zeros between, {len}"), [&first[..], &vec![0; len], &second].concat()));
    }
    for _ in 0..3 {
        let garbage: Vec<u8> = (0..rng.usize(4..100)).map(|_| rng.u8(b'a'..=b'z')).collect();
        cases.push(("garbage".to_owned(), [&whole[..], &garbage].concat()));
        cases.push(("garbage behind zeros".to_owned(), [&whole[..], &[0; 8], &garbage].concat()));
    }
    if program.compress.contains(&"--format=lzma") {
        let len = (elf.len() as u64).to_le_bytes();
        cases.push(("a length and an end mark".to_owned(), [&whole[..5], &len, &whole[13..]].concat()));
    }
    if program.skippable {
        let mut frame = || {
            let len = rng.u32(0..9000);
            skippable(rng, len)
        };
        let frames = [frame(), frame(), frame()];
        cases.push(("skippable, first".to_owned(), [&frames[0][..], &frames[1], &whole].concat()));
        cases.push(("skippable, between".to_owned(), [&first[..], &frames[0], &frames[1], &second].concat()));
        cases.push(("skippable, last".to_owned(), [&whole[..], &frames[2]].concat()));
        cases.push((
            "skippable, everywhere".to_owned(),
            [&frames[0][..], &first, &frames[1], &second, &frames[2]].concat(),
        ));
        cases.push(("skippable, alone".to_owned(), frames.concat()));
        cases.push(("skippable, cut".to_owned(), [&whole[..], &frames[0][..6]].concat()));
    }
    if let Some(words) = program.other {
        let other = |bytes: &[u8]| Ok::<_, Trouble>(run(program, words, bytes)?.1);
        cases.push(("the other frame".to_owned(), other(&elf)?));
        cases.push(("the other frame first".to_owned(), [&other(&elf[..at])?[..], &second].concat()));
        cases.push(("the other frame last".to_owned(), [&first[..], &other(&elf[at..])?].concat()));
        cases.push(("the other frame twice".to_owned(), [other(&elf[..at])?, other(&elf[at..])?].concat()));
    }
    Ok(cases)
}

fn compare(program: &Program) -> Result<(), Trouble> {
    let mut rng = Rng::with_seed(8);
    let (mut read, mut refused) = (0, 0);
    for _ in 0..DRAWN {
        for (name, file) in cases(program, &mut rng)? {
            let (fine, output) = run(program, &DECOMPRESS, &file)?;
            // What is no kernel at all is refused whatever it is in.
            let fine = fine && output.starts_with(b"\x7fELF");
            match open::open_bytes(file) {
                Ok(opened) => {
                    let lost = format!("{name}: {} bytes, the program has {}", opened.elf.len(), output.len());
                    check(opened.elf == output, lost)?;
                    check(fine, format!("{name}: read, and the program refuses it"))?;
                    read += 1;
                }
                Err((_, cause)) => {
                    let stated = program.refused.iter().any(|start| name.starts_with(start));
                    check(!fine || stated, format!("{name}: refused ({cause}), and the program reads it"))?;
                    refused += 1;
                }
            }
        }
    }
    println!("{}: {read} read, {refused} refused", program.name);
    check(read >= DRAWN && refused >= 10 * DRAWN, format!("{read} read, {refused} refused"))
}

//! The page on debugging: its sessions run as it shows them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::probe::{self, Case, Layout};
use harness::trial::{self, Trouble, check};
use harness::{Exit, Machine, cache, debug, stage0, tools};
use object::{Object, ObjectSection};
use shared::format::Manifest;
use shared::memory::MIB;

/// Where the page's kernel lies.
const KERNEL_AT: u64 = 16 * MIB;

fn main() {
    trial::main(vec![
        trial::test("it_starts_what_the_image_starts", starts),
        trial::test("it_has_symbols_and_is_not_packed", symbols),
        trial::test("a_refusal_is_followed_as_the_page_shows_it", || session("refusal", &damaged()?)),
        trial::test("a_byte_is_followed_to_its_line_as_the_page_shows_it", || session("byte", &pack()?)),
    ]);
}

fn pack() -> Result<Vec<u8>, Trouble> {
    Ok(fs::read(Case::new(Layout::at("debugged", KERNEL_AT)).pack()?)?)
}

/// The pack with one bit of its module flipped.
fn damaged() -> Result<Vec<u8>, Trouble> {
    let mut pack = pack()?;
    let manifest = Manifest::parse(&pack, u64::MAX).map_err(|error| error.to_string())?;
    let member = manifest.handed(false).next().ok_or("no module")?;
    let byte = usize::try_from(member.offset()).ok().and_then(|at| pack.get_mut(at)).ok_or("no byte")?;
    *byte ^= 1;
    Ok(pack)
}

/// What both print is the same, but for what timing and places are in it.
fn starts() -> Result<(), Trouble> {
    let case = Case::new(Layout::at("debugged", KERNEL_AT));
    let run = |name: &str, kernel| {
        let machine = Machine::new(name, kernel).initrd(case.pack()?).limit(Duration::from_secs(30)).run()?;
        machine.ended(&Exit::Debug(probe::EXIT_OK))?;
        Ok::<_, Trouble>(machine.serial)
    };
    let (image, debugged) = (run("debug-image", stage0::file()?)?, run("debug-symbols", debug::build()?)?);
    let own = |serial: &str| serial.lines().filter(|line| line.starts_with("stage0: ")).collect::<Vec<_>>().join("\n");
    check(own(&image) == own(&debugged), format!("the image says\n{image}\nwith symbols it says\n{debugged}"))
}

fn symbols() -> Result<(), Trouble> {
    let bytes = fs::read(debug::build()?)?;
    let file = object::File::parse(&*bytes).map_err(|error| error.to_string())?;
    let text = file.section_by_name(".text").ok_or("no code")?;
    check(file.section_by_name(".debug_line").is_some(), "no table of lines")?;
    check(text.size() > 0 && text.data().is_ok_and(|code| code.iter().any(|byte| *byte != 0)), "no code in the file")
}

/// Runs the page's session of that name with this pack, and compares what gdb says.
fn session(name: &str, pack: &[u8]) -> Result<(), Trouble> {
    let page = fs::read_to_string(cache::workspace().join("docs/debugging.md"))?;
    let block = |kind: &str| {
        let fence = format!("```{kind} {name}\n");
        let block = page.split_once(fence.as_str()).and_then(|(_, rest)| rest.split_once("\n```"));
        block.map(|(block, _)| block.to_owned()).ok_or_else(|| format!("no block {fence:?}"))
    };
    let (commands, expected) = (block("gdb")?, block("text")?);
    check(commands.contains(":1234") && expected.lines().count() >= 3, "a session of nothing")?;
    let said = debugged(name, pack, &commands)?;
    let mut rest = said.lines();
    for line in expected.lines() {
        let found = rest.any(|found| is_like(found, line));
        check(found, format!("expected, in this order, {line:?} in:\n{said}"))?;
    }
    Ok(())
}

/// What gdb says while it runs these commands on the pack's start.
fn debugged(name: &str, pack: &[u8], commands: &str) -> Result<String, Trouble> {
    let folder = tempfile::tempdir()?;
    let (socket, script) = (folder.path().join("gdb"), folder.path().join("commands"));
    let mut gdb = tools::program("gdb", "gdb-minimal")?;
    let stage0 = debug::build()?;
    let pack = probe::file(&format!("debug-{name}.pack"), pack)?;
    let machine = Machine::new(format!("debug-{name}"), &stage0).initrd(pack);
    let stub = format!("unix:{},server=on,wait=off", socket.display());
    let mut qemu = debug::waiting(&machine, &folder.path().join("serial"), &stub)?;
    let mut qemu = qemu.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    let answer = waited(&socket).and_then(|()| {
        fs::write(&script, commands.replace(":1234", &socket.display().to_string()))?;
        gdb.args(["-nx", "-batch", "-x"]).arg(&script).arg(&stage0).current_dir(cache::workspace());
        Ok(limited(&gdb).stdin(Stdio::null()).output()?)
    });
    let _ended = qemu.kill();
    qemu.wait()?;
    let answer = answer?;
    let said = [answer.stdout, answer.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    check(answer.status.success(), format!("gdb: {}\n{said}", answer.status))?;
    Ok(said)
}

/// The command, killed after a minute.
fn limited(command: &Command) -> Command {
    let mut limited = Command::new("timeout");
    limited.args(["--signal=KILL", "60"]).arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        limited.current_dir(folder);
    }
    limited
}

/// Waits until QEMU listens.
fn waited(socket: &Path) -> Result<(), Trouble> {
    for _ in 0..500 {
        if socket.exists() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err("QEMU does not listen".into())
}

/// Whether a line of gdb's is as the page has it: numbers may be others, and `...` stands for anything.
fn is_like(found: &str, expected: &str) -> bool {
    let found = numberless(found);
    let mut rest = found.as_str();
    expected.split("...").map(numberless).all(|piece| match rest.find(piece.as_str()) {
        Some(at) => {
            rest = &rest[at + piece.len()..];
            true
        }
        None => false,
    })
}

/// The text with `#` for each number.
fn numberless(text: &str) -> String {
    let mut out = String::new();
    let mut number = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let hex = letter == '0' && letters.peek() == Some(&'x');
        if hex {
            letters.next();
            while letters.peek().is_some_and(char::is_ascii_hexdigit) {
                letters.next();
            }
        }
        if !letter.is_ascii_digit() {
            out.push(letter);
        } else if !number {
            out.push('#');
        }
        number = letter.is_ascii_digit();
    }
    out
}

//! T1: how long a command line may be that a kernel gets by PVH: 2047 bytes for a Linux, of the pack's text and the builder's together.

use std::fs;

use harness::probe::{self, Layout, Lines};
use harness::trial::{self, Trouble, check};
use harness::{Exit, Machine, stage0};
use pack::build::Request;
use shared::memory::MIB;

/// Bytes of the pack's own text and of the builder's words, which a space joins.
const JOINS: [(usize, usize); 12] = [
    (2046, 0),
    (2047, 0),
    (0, 2046),
    (0, 2047),
    (1000, 1046),
    (2045, 1),
    (0, 2048),
    (1000, 1047),
    (2046, 1),
    (2047, 1),
    (2047, 1500),
    (0, 3000),
];
/// The most that a Linux gets.
const MOST: usize = 2047;

fn main() {
    trial::main(vec![
        trial::test("a_linux_gets_2047_bytes_and_no_more", || all("limit-linux", Some("linux"))),
        trial::test("another_kernel_gets_more", || all("limit-other", Some("FreeBSD"))),
    ])
}

/// A text of `len` bytes, of words that are for nobody; it neither begins nor ends with a space.
fn text(len: usize, word: &str) -> String {
    let text = word.repeat(len / word.len() + 1);
    let text = text[..len].trim_end();
    format!("{text:x<len$}")
}

fn all(name: &'static str, guest_os: Option<&'static str>) -> Result<(), Trouble> {
    let kernel = fs::read(probe::build(&Layout { guest_os, ..Layout::at(name, 16 * MIB) })?)?;
    JOINS.into_iter().try_for_each(|(own, builder)| {
        let (own, builder) = (text(own, "own.word=1 "), text(builder, "x.builder "));
        let joined = [own.as_str(), &builder].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
        let mut request = Request::new(name, kernel.clone());
        request.cmdline = (!own.is_empty()).then(|| own.clone());
        request.settings.level = 1;
        let built = request.build(&|_| ()).map_err(|error| error.to_string())?;
        let length = joined.len();
        let pack = probe::file(&format!("{name}-{}-{}.pack", own.len(), builder.len()), &built.pack)?;
        let machine = Machine::new(format!("t1-{name}-{}-{}", own.len(), builder.len()), stage0::file()?);
        let outcome = machine.initrd(pack).append(format!("{builder} stage0.quiet")).debug_console().run()?;
        if guest_os == Some("linux") && length > MOST {
            let error = format!(
                "stage0: error: command line too long: pack's and builder's, expected at most {MOST} bytes, found {length}"
            );
            check(outcome.serial.lines().any(|line| line == error), outcome.failure(&format!("expected: {error}")))?;
            return Ok(outcome.ended(&Exit::Debug(stage0::EXIT_ERROR))?);
        }
        let lines = Lines::of(&outcome.serial);
        check(lines.not_ok().is_empty(), outcome.failure(&format!("{:#?}", lines.not_ok())))?;
        let line = format!("ok cmdline: {length} bytes {joined:?}");
        check(lines.named("cmdline") == Some(&line), outcome.failure(&format!("expected: {line}")))?;
        Ok(outcome.ended(&Exit::Debug(probe::EXIT_OK))?)
    })
}

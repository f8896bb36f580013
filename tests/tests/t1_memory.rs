//! T1: the memory that `pack info` states is the least with which stage0 puts a kernel in place; with a MiB less, it says both
//! numbers.

use std::fs;
use std::path::PathBuf;

use harness::probe::{self, Content, Extra, Layout};
use harness::trial::{self, Trouble, check};
use harness::{Exit, Machine, kernels, linux, stage0};
use pack::build::{Module, Request};
use shared::format::Codec;
use shared::memory::MIB;

/// What stage0 says last before it leaves.
const LAST_LINE: &str = "stage0: kernel: ";

fn main() {
    trial::main(vec![
        trial::test("five_probes", || probes()?.iter().try_for_each(Sized::check)),
        trial::test("two_kernels_of_the_distribution", || distribution()?.iter().try_for_each(Sized::check)),
    ]);
}

/// A pack, and the memory that is stated for it.
struct Sized {
    name: String,
    pack: PathBuf,
    need_mib: u64,
}

impl Sized {
    fn new(name: &str, mut request: Request) -> Result<Self, Trouble> {
        request.settings.level = 1;
        let pack = request.build(&|_| ()).map_err(|error| error.to_string())?.pack;
        let need_mib = linux::need(&pack, "PVH", "QEMU")? / MIB;
        Ok(Self { name: name.to_owned(), pack: probe::file(&format!("need-{name}.pack"), &pack)?, need_mib })
    }

    fn machine(&self, memory_mib: u64) -> Result<Machine, Trouble> {
        let machine = Machine::new(format!("need-{}-{memory_mib}", self.name), stage0::file()?);
        Ok(machine.initrd(&self.pack).memory(memory_mib))
    }

    /// What a kernel does in so little memory is its own affair: it counts that stage0 is done.
    fn check(&self) -> Result<(), Trouble> {
        let need = self.need_mib;
        let enough = self.machine(need)?.until(LAST_LINE).run()?;
        check(enough.serial.contains(LAST_LINE), enough.failure("expected stage0 to get through"))?;
        let less = self.machine(need - 1)?.run()?;
        less.ended(&Exit::Debug(stage0::EXIT_ERROR))?;
        let error = format!("stage0: error: not enough memory: domain, expected {need} MiB, found {} MiB", need - 1);
        println!("{}: {need} MiB", self.name);
        check(less.serial.lines().any(|line| line == error), less.failure(&format!("expected: {error}")))
    }
}

/// Small; over stage0; with much memory that is not in the file; with a module, and with much that nothing makes smaller, in which
/// the pack is what takes the room.
fn probes() -> Result<Vec<Sized>, Trouble> {
    let bss = Extra { paddr: 32 * MIB, file_size: 0, memory_size: 24 * MIB, content: Content::Pages };
    let noise = Extra::whole(20 * MIB, 5 << 20, Content::Noise(1));
    let layouts = [
        (Layout::at("need-small", 16 * MIB), Codec::Zstd, 0),
        (Layout::at("need-over", MIB), Codec::Lz4, 0),
        (Layout::at("need-bss", 16 * MIB).with(bss), Codec::Zstd, 0),
        (Layout::at("need-module", 2 * MIB), Codec::None, 12 << 20),
        (Layout::at("need-noise", 16 * MIB).with(noise), Codec::Zstd, 100),
    ];
    let sized = layouts.map(|(layout, codec, module)| {
        let mut request = Request::new(layout.name, fs::read(probe::build(&layout)?)?);
        request.settings.codec = codec;
        if module > 0 {
            request.modules = vec![Module { name: "module".into(), content: probe::module(module, Content::Noise(2)) }];
        }
        Sized::new(layout.name, request)
    });
    sized.into_iter().collect()
}

fn distribution() -> Result<Vec<Sized>, Trouble> {
    let kernels = kernels::of_different_compressions(2)?.into_iter().map(|kernel| {
        let opened = pack::open::open(&kernel.vmlinuz).map_err(|error| Trouble::Failed(error.to_string()))?;
        let mut request = Request::new(kernel.release.clone(), opened.elf);
        request.settings.codec = Codec::Lz4;
        Sized::new(&kernel.release, request)
    });
    kernels.collect()
}

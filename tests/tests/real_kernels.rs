//! What `pack` makes of real kernels: opened to the ELF file inside, packed, and had back byte for byte.

use std::io::Write;
use std::process::Stdio;
use std::thread;

use harness::kernels::{self, Kernel};
use harness::tools;
use harness::trial::{self, Trouble, check};
use pack::build::Request;
use pack::compress::Settings;
use pack::identity::Identity;
use pack::image::Image;
use pack::info::Info;
use pack::open::{self, Layer, Opened};
use pack::stage0::EMBEDDED;
use shared::format::Codec;

/// Where the virtual addresses of a 64-bit Linux begin (`__START_KERNEL_map`).
const LINUX_BASE: u64 = 0xffff_ffff_8000_0000;

fn main() {
    trial::main(vec![
        trial::test("every_distribution_kernel_opens", every_distribution_kernel_opens),
        trial::test("a_packed_kernel_comes_back_by_every_codec", comes_back),
        trial::test("zstd_itself_decodes_the_frames", zstd_decodes),
        trial::test("info_says_where_each_segment_lies_and_is_mapped", info_of_segments),
    ])
}

fn every_distribution_kernel_opens() -> Result<(), Trouble> {
    let kernels = kernels::all()?;
    check(!kernels.is_empty(), "no kernel at all")?;
    for kernel in kernels {
        let opened = opened(&kernel)?;
        let at = kernel.vmlinuz.display();
        let expected = [Layer::BzImage, Layer::Compressed(kernel.compression)];
        check(opened.layers == expected, format!("{at}: layers {:?}", opened.layers))?;
        let version = opened.linux_version.as_deref();
        check(version == Some(&kernel.release), format!("{at}: version {version:?}"))?;
        let identity = Identity::of(&opened.elf);
        let named = identity.linux_build.is_some() && identity.build_id.is_some();
        check(named && identity.distribution.is_some(), format!("{at}: {identity:?}"))?;
        // The image without its layers says the same of itself.
        let inner = open::open_bytes(opened.elf).map_err(|(_, cause)| cause.to_string())?;
        check(inner.layers.is_empty(), format!("{at}: layers inside the ELF: {:?}", inner.layers))?;
        let version = inner.linux_version.as_deref();
        check(version == Some(&kernel.release), format!("{at}: version in the ELF {version:?}"))?;
    }
    Ok(())
}

fn comes_back() -> Result<(), Trouble> {
    let kernel = any_kernel()?;
    let elf = opened(&kernel)?.elf;
    for codec in [Codec::Zstd, Codec::Lz4, Codec::None] {
        let pack = packed(&elf, codec)?;
        let image = Image::parse(&pack).map_err(|cause| cause.to_string())?;
        let back = image.kernel().map_err(|cause| cause.to_string())?;
        check(back == elf, format!("{}: what comes back is another file", codec.name()))?;
    }
    Ok(())
}

fn zstd_decodes() -> Result<(), Trouble> {
    let kernel = any_kernel()?;
    let elf = opened(&kernel)?.elf;
    let pack = packed(&elf, Codec::Zstd)?;
    let image = Image::parse(&pack).map_err(|cause| cause.to_string())?;
    let stored = image.stored(image.manifest.kernel().stored);
    check(image.manifest.frames().all(|frame| frame.codec == Codec::Zstd), "a frame of another codec")?;
    let decoded = zstd_d(stored)?;
    check(decoded == elf, "what zstd makes of the frames is not the ELF file")
}

/// A Linux is linked where PV maps it, but for its per-CPU segment, which is linked at 0.
fn info_of_segments() -> Result<(), Trouble> {
    let pack = packed(&opened(&any_kernel()?)?.elf, Codec::None)?;
    let image = Image::parse(&pack).map_err(|cause| cause.to_string())?;
    let info = Info::of(&image, EMBEDDED, None).map_err(|cause| cause.to_string())?;
    let protocols = info.kernel.iter().flat_map(|kernel| &kernel.protocols);
    let plans: Vec<_> = protocols.filter_map(|protocol| protocol.plan.as_ref()).collect();
    let [pvh, pv, direct] = plans[..] else { return Err(format!("{} plans", plans.len()).into()) };
    for ((pvh, pv), direct) in pvh.segments.iter().zip(&pv.segments).zip(&direct.segments) {
        let linear = LINUX_BASE + pv.memory.start;
        let found = (pvh.mapped, pv.mapped, direct.mapped);
        check(found == (None, Some(linear), Some(direct.virt)), format!("segment {}: {found:x?}", pv.index))?;
        check(pv.virt == linear || pv.virt == 0, format!("segment {} is linked at {:#x}", pv.index, pv.virt))?;
    }
    check(pv.segments.len() >= 3, format!("{} segments", pv.segments.len()))
}

fn any_kernel() -> Result<Kernel, Trouble> {
    Ok(kernels::with(&["CONFIG_KERNEL_LZ4"]).or_else(|_| kernels::with(&["CONFIG_PVH"]))?)
}

fn opened(kernel: &Kernel) -> Result<Opened, Trouble> {
    open::open(&kernel.vmlinuz).map_err(|error| Trouble::Failed(error.to_string()))
}

fn packed(elf: &[u8], codec: Codec) -> Result<Vec<u8>, Trouble> {
    let settings = Settings { codec, level: 1, ..Settings::default() };
    let request = Request { settings, ..Request::new("vmlinuz", elf.to_vec()) };
    let built = request.build(&|_| {}).map_err(|error| error.to_string())?;
    Ok(built.pack)
}

/// What the program `zstd -d` makes of `stream`.
fn zstd_d(stream: &[u8]) -> Result<Vec<u8>, Trouble> {
    let mut command = tools::zstd()?;
    command.args(["-d", "-c", "-q"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut zstd = command.spawn()?;
    let Some(mut stdin) = zstd.stdin.take() else { return Err("zstd has no standard input".into()) };
    let (written, output) = thread::scope(|scope| {
        let writer = scope.spawn(move || stdin.write_all(stream));
        let output = zstd.wait_with_output();
        (writer.join(), output)
    });
    let output = output?;
    check(output.status.success(), String::from_utf8_lossy(&output.stderr))?;
    written.map_err(|_| Trouble::from("the writing thread panicked"))??;
    Ok(output.stdout)
}

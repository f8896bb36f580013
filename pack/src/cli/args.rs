//! The command line's grammar.

use std::num::ParseIntError;
use std::path::PathBuf;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use pack::compress::{Levels, Settings};
use pack::domain::Kind;
use shared::format::Codec;
use shared::kernel::{EntryRule, Mapping, Protocol};
use shared::memory::Builder;
use shared::trust::MAX_KEYS;

const EXAMPLES: &str = "\
Examples:
  pack vmlinuz -o image.pack --initrd initrd.img --cmdline 'root=/dev/xvda1 ro'
      pack a distribution's kernel and initrd
  pack stage0 -o stage0.elf
      write the loader that starts such an image
  pack info image.pack
      show what is in it, and what the loader will do with it
  pack check image.pack --memory 256M
      would it boot in a domain of that size?
  pack xl image.pack --memory 512M > guest.cfg
      write the domain's file for xl, which names both:
      kernel  = \"/path/stage0.elf\"
      ramdisk = \"/path/image.pack\"

Levels: with zstd, from 18 on packs are smallest; up to 17 they are a fifth larger, and decode in two thirds of
the instructions. With lz4, 12 makes a smaller pack than 1, which is the quickest to make; both start alike.

A kernel file named like a command is reached by its path: pack ./info -o image.pack";

/// Packs a kernel into an image that mstrap's stage0 starts inside a Xen domain.
#[derive(Parser, Debug)]
#[command(
    name = "pack",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true,
    after_help = EXAMPLES
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) make: MakeArgs,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Write the stage0 that this program carries
    Stage0(Stage0Args),
    /// Show what is in a pack, and what stage0 will do with it
    Info(InfoArgs),
    /// Say whether a pack would boot in a domain, and why not
    Check(super::check::CheckArgs),
    /// Print a domain's file for xl
    Xl(super::xl::XlArgs),
    /// Start a pack or a kernel here and now
    Run(super::run::RunArgs),
    /// Make a key to sign packs with, or show its public half
    Key {
        #[command(subcommand)]
        command: super::key::KeyCommand,
    },
    /// Sign a pack that is there
    Sign(super::key::SignArgs),
    /// Print the measurements that stage0 makes when it starts a pack
    Digest(super::digest::DigestArgs),
    /// Take a pack apart
    Extract(super::extract::ExtractArgs),
    /// Show what is not the same in two packs
    Diff(super::diff::DiffArgs),
    /// Write what belongs to this program: stage0, manual pages, completions for shells
    Share(super::share::ShareArgs),
}

#[derive(clap::Args, Debug)]
pub(crate) struct MakeArgs {
    /// The kernel: an ELF file, a bzImage, or one of them compressed
    #[arg(required = true)]
    kernel: Option<PathBuf>,
    /// Where to write the pack
    #[arg(short, long, value_name = "IMAGE", required = true)]
    output: Option<PathBuf>,
    /// A file to hand over as the kernel's initrd
    #[arg(long, value_name = "FILE")]
    pub(crate) initrd: Option<PathBuf>,
    /// The kernel's command line; what the builder gives is added behind it
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) cmdline: Option<String>,
    /// Let stage0 tell the kernel the SHA-256 of all that was started
    #[arg(long)]
    pub(crate) measure: bool,
    /// How the kernel is stored
    #[arg(long, value_enum, default_value_t = CodecArg::Zstd)]
    pub(crate) codec: CodecArg,
    /// How hard the codec tries: zstd 1 to 22, 19 if not given; lz4 1 to 12, 12 if not given
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    level: Option<i32>,
    /// Pass on no word of the builder's command line, but those allowed
    #[arg(long, group = "locked")]
    pub(crate) lock_cmdline: bool,
    /// A word of the builder's command line to pass on nevertheless; `*` in it stands for any visible ASCII characters
    #[arg(long, value_name = "PATTERN", requires = "locked", allow_hyphen_values = true)]
    pub(crate) allow_arg: Vec<String>,
    /// Sign the pack with this private key, and lock it as --lock-cmdline does
    #[arg(long, value_name = "KEY", group = "locked")]
    pub(crate) sign: Option<PathBuf>,
    /// How the kernel is entered; auto is direct for a kernel that says nothing to Xen, else left to it and the domain
    #[arg(long, value_enum, default_value_t = ProtocolArg::Auto)]
    pub(crate) protocol: ProtocolArg,
    /// Where PV maps the kernel; direct always maps each segment where it was linked
    #[arg(long, value_enum, default_value_t = MapArg::Linear)]
    pub(crate) map: MapArg,
    /// The virtual address of physical 0, for a kernel that does not say it
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub(crate) virt_base: Option<u64>,
    /// What the kernel's entry address means, where its notes leave it open
    #[arg(long, value_enum)]
    pub(crate) entry: Option<EntryArg>,
}

impl MakeArgs {
    /// The kernel and the output, which the grammar requires where there is no other command.
    pub(crate) fn files(&self) -> (PathBuf, PathBuf) {
        match (&self.kernel, &self.output) {
            (Some(kernel), Some(output)) => (kernel.clone(), output.clone()),
            _ => usage("a kernel and an output are required"),
        }
    }

    /// How the kernel is compressed.
    pub(crate) fn settings(&self) -> Settings {
        let default = Settings::of(self.codec.into());
        let Some(level) = self.level else { return default };
        match Levels::of(default.codec) {
            Some(Levels { least, most, .. }) if (least..=most).contains(&level) => Settings { level, ..default },
            Some(Levels { least, most, .. }) => {
                usage(&format!("--level {level}: {} has {least} to {most}", default.codec.name()))
            }
            None => usage(&format!("--level {level}: {} has no levels", default.codec.name())),
        }
    }
}

/// Ends the program for an error that the grammar cannot express.
pub(crate) fn usage(message: &str) -> ! {
    Args::command().error(clap::error::ErrorKind::ArgumentConflict, message).exit()
}

#[derive(clap::Args, Debug)]
pub(crate) struct Stage0Args {
    /// Where to write it
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Another stage0 than the one that this program carries
    #[arg(long, value_name = "FILE", env = "PACK_STAGE0")]
    pub(crate) stage0: Option<PathBuf>,
    /// Start only packs that one of these public keys signed; at most four
    #[arg(long, value_name = "PUB", num_args = 1..)]
    trust: Vec<PathBuf>,
}

impl Stage0Args {
    /// The files with the public keys.
    pub(crate) fn trust(&self) -> &[PathBuf] {
        keys(&self.trust)
    }
}

/// As many keys as a stage0 takes.
pub(crate) fn keys(files: &[PathBuf]) -> &[PathBuf] {
    if files.len() > MAX_KEYS {
        usage(&format!("a stage0 takes at most {MAX_KEYS} keys with --trust"))
    }
    files
}

#[derive(clap::Args, Debug)]
pub(crate) struct InfoArgs {
    /// The pack
    pub(crate) image: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// List every frame
    #[arg(long, conflicts_with = "json")]
    pub(crate) frames: bool,
    /// The size of the domain whose memory is drawn [default: a usual one above what is needed]
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    pub(crate) memory: Option<u64>,
    /// Whose habits the domain follows that is drawn
    #[arg(long, value_enum, default_value_t = BuilderArg::Xen, conflicts_with = "json")]
    pub(crate) builder: BuilderArg,
    /// Also draw the domain's memory to a file, in SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CodecArg {
    /// Smallest
    Zstd,
    /// Quickest to decode
    Lz4,
    /// As it is
    None,
}

impl From<CodecArg> for Codec {
    fn from(arg: CodecArg) -> Self {
        match arg {
            CodecArg::Zstd => Self::Zstd,
            CodecArg::Lz4 => Self::Lz4,
            CodecArg::None => Self::None,
        }
    }
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ProtocolArg {
    /// What the kernel and the domain make of it
    Auto,
    /// Xen's PVH: 32-bit, paging off
    Pvh,
    /// As Xen starts a paravirtualised domain
    Pv,
    /// mstrap's own: each segment mapped where it was linked
    Direct,
}

impl From<ProtocolArg> for Option<Protocol> {
    fn from(arg: ProtocolArg) -> Self {
        match arg {
            ProtocolArg::Auto => None,
            ProtocolArg::Pvh => Some(Protocol::Pvh),
            ProtocolArg::Pv => Some(Protocol::Pv),
            ProtocolArg::Direct => Some(Protocol::Direct),
        }
    }
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MapArg {
    /// In a row, from its virtual base on
    Linear,
    /// So, and each segment where it was linked too
    Segments,
}

impl From<MapArg> for Mapping {
    fn from(arg: MapArg) -> Self {
        match arg {
            MapArg::Linear => Self::Linear,
            MapArg::Segments => Self::Segments,
        }
    }
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum EntryArg {
    /// A physical address
    Physical,
    /// A virtual address
    Virtual,
}

impl From<EntryArg> for EntryRule {
    fn from(arg: EntryArg) -> Self {
        match arg {
            EntryArg::Physical => Self::Physical,
            EntryArg::Virtual => Self::Virtual,
        }
    }
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum KindArg {
    /// A virtual machine without emulated devices
    Pvh,
    /// Paravirtualised
    Pv,
}

impl From<KindArg> for Kind {
    fn from(arg: KindArg) -> Self {
        match arg {
            KindArg::Pvh => Self::Pvh,
            KindArg::Pv => Self::Pv,
        }
    }
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BuilderArg {
    /// Xen's toolstack
    Xen,
    /// QEMU
    Qemu,
}

impl From<BuilderArg> for Builder {
    fn from(arg: BuilderArg) -> Self {
        match arg {
            BuilderArg::Xen => Self::Xen,
            BuilderArg::Qemu => Self::Qemu,
        }
    }
}

impl BuilderArg {
    /// Its name, as [`pack::layout::Layout`] has it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Xen => "Xen",
            Self::Qemu => "QEMU",
        }
    }
}

/// A domain's memory, in bytes: whole MiB, of which there may be 16 TiB (what Xen gives a domain at most).
pub(crate) fn memory(text: &str) -> Result<u64, String> {
    const MOST_MIB: u64 = 16 << 20;
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits.parse().map_err(|_| "expected a size, such as 256M or 2G".to_owned())?;
    let mib = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "m" | "mib" => Some(number),
        "g" | "gib" => number.checked_mul(1024),
        _ => return Err("expected M or G behind the number".to_owned()),
    };
    let mib = mib.filter(|mib| (1..=MOST_MIB).contains(mib)).ok_or("expected 1M to 16384G")?;
    Ok(mib << 20)
}

/// An address, in hexadecimal behind `0x`, else in decimal.
fn address(text: &str) -> Result<u64, ParseIntError> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_kernel_and_a_command_are_told_apart() {
        let args = Args::try_parse_from(["pack", "vmlinuz", "-o", "image"]).unwrap();
        assert!(args.command.is_none());
        assert_eq!(args.make.files(), ("vmlinuz".into(), "image".into()));
        let args = Args::try_parse_from(["pack", "./info", "-o", "image"]).unwrap();
        assert_eq!(args.make.files().0, PathBuf::from("./info"));
        let args = Args::try_parse_from(["pack", "info", "image", "--json"]).unwrap();
        assert!(matches!(args.command, Some(Command::Info(InfoArgs { json: true, .. }))));
    }

    #[test]
    fn a_kernels_words_may_begin_as_options_do() {
        let words = ["pack", "vmlinuz", "-o", "image", "--lock-cmdline", "--allow-arg", "-s", "--cmdline", "-v -s"];
        let args = Args::try_parse_from(words).unwrap();
        assert_eq!((args.make.cmdline.as_deref(), &*args.make.allow_arg), (Some("-v -s"), &["-s".to_owned()][..]));
        let args = Args::try_parse_from(["pack", "run", "vmlinuz", "--cmdline", "-v -s"]);
        assert!(matches!(args.unwrap().command, Some(Command::Run(_))));
    }

    #[test]
    fn what_makes_no_sense_is_no_usage() {
        for words in [
            &["pack"][..],
            &["pack", "vmlinuz"],
            &["pack", "-o", "image"],
            &["pack", "vmlinuz", "-o", "image", "--level", "high"],
            &["pack", "vmlinuz", "-o", "image", "--codec", "gzip"],
            &["pack", "vmlinuz", "-o", "image", "--allow-arg", "quiet"],
            &["pack", "vmlinuz", "-o", "image", "--virt-base", "0xx"],
            &["pack", "vmlinuz", "-o", "image", "--sign"],
            &["pack", "key"],
            &["pack", "sign", "image"],
            &["pack", "vmlinuz", "-o", "image", "--protocol", "multiboot"],
            &["pack", "vmlinuz", "-o", "image", "--map", "all"],
            &["pack", "info"],
            &["pack", "stage0"],
        ] {
            assert!(Args::try_parse_from(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn addresses_are_hexadecimal_or_decimal() {
        assert_eq!(address("0xffffffff80000000"), Ok(0xffff_ffff_8000_0000));
        assert_eq!(address("4096"), Ok(4096));
        assert!(address("ffff").is_err());
    }
}

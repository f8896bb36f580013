//! The command line: what the kernel gets, and which words are for stage0.
//!
//! The kernel gets the pack's own text first, then the builder's words. Words are separated by white space that is not
//! within double quotes, as Linux reads them. A word of the builder's that begins with [`PREFIX`] is for stage0 and is
//! taken out; in a pack's own text such a word is an error. From a locked pack the kernel gets only those of the builder's
//! words that the pack allows.
//!
//! A requirement that is mistyped must not be passed on as a word for the kernel. [`PREFIX`], in upper or lower case, is meant
//! for stage0 at the start of a word, and within one behind any character but ASCII letters, digits and `/ . _ - =`. Such a
//! character may be a quote that somebody else has left open, or what another reader takes for white space. A word in which
//! it is meant for stage0, and which is none of stage0's [`Options`] as it stands, is an error. `BOOT_IMAGE=/boot/stage0.elf`
//! is a word for the kernel.

use core::fmt;

use crate::format::Manifest;
use crate::kernel::Protocol;
use crate::visible::Visible;
use crate::xen::pv::MAX_PV_CMDLINE;

/// What a word for stage0 begins with.
pub const PREFIX: &str = "stage0.";

/// Most bytes of a builder's command line: QEMU's buffer is 4096 with its NUL, Linux takes 2048, Xen 1024.
pub const MAX_BUILDER_LEN: usize = 4095;

/// Most bytes of what the kernel gets: a pack's own, a space, and a builder's.
pub const MAX_LEN: usize = crate::format::MAX_CMDLINE_LEN as usize + 1 + MAX_BUILDER_LEN;

/// Most bytes of what a Linux takes by PVH: COMMAND_LINE_SIZE is 2048 with the NUL (Linux, arch/x86/include/asm/setup.h). Of a
/// longer line it would keep a beginning without an end, and stand still.
pub const MAX_LINUX_LEN: usize = 2047;

/// Most bytes of what a kernel gets that is entered by `protocol`.
pub const fn limit(protocol: Protocol, linux: bool) -> usize {
    match protocol {
        Protocol::Pv => MAX_PV_CMDLINE,
        Protocol::Pvh if linux => MAX_LINUX_LEN,
        Protocol::Pvh | Protocol::Direct => MAX_LEN,
    }
}

/// The text that the kernel gets.
pub type KernelCmdline = heapless::String<MAX_LEN>;

/// What a builder asks of stage0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// `stage0.quiet`: print nothing unless something is wrong.
    pub quiet: bool,
    /// `stage0.timing`: print what each phase took.
    pub timing: bool,
    /// `stage0.require=sha256:DIGEST`: start no other pack than the one with this digest.
    pub require: Option<[u8; 32]>,
}

/// Why there is no command line for the kernel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CmdlineError {
    /// A word for stage0 that it does not know. Ignored, it might have been meant to forbid something.
    UnknownOption {
        /// The word, or as much of it as fits.
        word: heapless::String<MAX_SHOWN_LEN>,
    },
    /// A requirement that is none, or a second one that is another.
    Requirement {
        /// The word, or as much of it as fits.
        word: heapless::String<MAX_SHOWN_LEN>,
    },
    /// A pack's own text has a word for stage0.
    OptionInPack {
        /// The word, or as much of it as fits.
        word: heapless::String<MAX_SHOWN_LEN>,
    },
    /// A builder's text beyond its bound.
    BuilderTooLong {
        /// Bytes of it.
        found: usize,
    },
    /// A pack's own text beyond its bound.
    PackTooLong {
        /// Bytes of it.
        found: usize,
    },
    /// More than the protocol passes on.
    TooLong {
        /// Bytes that the protocol passes on.
        limit: usize,
        /// Bytes of the whole.
        found: usize,
    },
}

impl fmt::Display for CmdlineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownOption { word } => write!(
                f,
                "unknown option: builder's command line, expected stage0.quiet, stage0.timing or stage0.require, found {}",
                Visible(word)
            ),
            Self::Requirement { word } => write!(
                f,
                "requirement is wrong: builder's command line, expected sha256: and 64 hexadecimal digits, once, found {}",
                Visible(word)
            ),
            Self::OptionInPack { word } => {
                write!(f, "option for stage0 in a pack: pack's command line, expected none, found {}", Visible(word))
            }
            Self::BuilderTooLong { found } => write!(
                f,
                "command line too long: builder's command line, expected at most {MAX_BUILDER_LEN} bytes, found {found}"
            ),
            Self::PackTooLong { found } => write!(
                f,
                "command line too long: pack's command line, expected at most {} bytes, found {found}",
                crate::format::MAX_CMDLINE_LEN
            ),
            Self::TooLong { limit, found } => {
                write!(f, "command line too long: pack's and builder's, expected at most {limit} bytes, found {found}")
            }
        }
    }
}

impl core::error::Error for CmdlineError {}

/// The words of `text`, in order.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    Words { rest: text }
}

struct Words<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    #[inline(never)]
    fn next(&mut self) -> Option<&'a str> {
        let text = self.rest.trim_ascii_start();
        let mut quoted = false;
        let end = text.bytes().position(|byte| {
            quoted ^= byte == b'"';
            !quoted && byte.is_ascii_whitespace()
        });
        let (word, rest) = text.split_at_checked(end.unwrap_or(text.len()))?;
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }
}

/// Whether `word` is what `pattern` describes: `*` stands for any run of visible ASCII characters, also none; every other
/// character for itself. At what is no visible ASCII character a kernel may split a word that is one here: Linux does at
/// 0x0b and at 0xa0, which many letters have in UTF-8, and its early code at every space, in quotes or not. So a pattern
/// lets through only such of them as it spells out. Takes at most `pattern.len() * word.len()` steps.
pub fn matches(pattern: &str, word: &str) -> bool {
    let (pattern, word) = (pattern.as_bytes(), word.as_bytes());
    let (mut p, mut w) = (0, 0);
    // Where the last star stands, and how much of the word it covers.
    let mut star: Option<(usize, usize)> = None;
    while w < word.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, w));
                p += 1;
            }
            Some(byte) if *byte == word[w] => {
                p += 1;
                w += 1;
            }
            _ => {
                let Some((at, covered)) = star.filter(|(_, covered)| word[*covered].is_ascii_graphic()) else {
                    return false;
                };
                star = Some((at, covered + 1));
                p = at + 1;
                w = covered + 1;
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// What of `word` is meant for stage0, if anything is: from the character before [`PREFIX`], which may be the mistake.
fn meant_for_stage0(word: &str) -> Option<&str> {
    let bytes = word.as_bytes();
    for (at, window) in bytes.windows(PREFIX.len()).enumerate() {
        if !window.eq_ignore_ascii_case(PREFIX.as_bytes()) {
            continue;
        }
        // None at the start. Of a character of several bytes the last one, which is not ASCII.
        let before = bytes.get(at.wrapping_sub(1));
        if before.is_none_or(|byte| !byte.is_ascii_alphanumeric() && !b"/._-=".contains(byte)) {
            return word.get(word.floor_char_boundary(at.saturating_sub(1))..);
        }
    }
    None
}

/// What the builder asks of stage0. Read first, and from a locked pack's builder too.
pub fn options(builder: &str) -> Result<Options, CmdlineError> {
    if builder.len() > MAX_BUILDER_LEN {
        return Err(CmdlineError::BuilderTooLong { found: builder.len() });
    }
    let mut options = Options::default();
    for word in words(builder) {
        let Some(found) = meant_for_stage0(word) else { continue };
        match word.strip_prefix(PREFIX) {
            Some("quiet") => options.quiet = true,
            Some("timing") => options.timing = true,
            Some(option) if option.starts_with("require=") => {
                let digest = option.strip_prefix("require=sha256:").and_then(digest);
                let digest = digest.filter(|digest| options.require.is_none_or(|before| before == *digest));
                options.require = Some(digest.ok_or_else(|| CmdlineError::Requirement { word: shortened(word) })?);
            }
            _ => return Err(CmdlineError::UnknownOption { word: shortened(found) }),
        }
    }
    Ok(options)
}

/// Refuses a pack's own text that may not be one.
pub fn check_pack(text: &str) -> Result<(), CmdlineError> {
    if text.len() as u64 > crate::format::MAX_CMDLINE_LEN {
        return Err(CmdlineError::PackTooLong { found: text.len() });
    }
    match words(text).find_map(meant_for_stage0) {
        Some(word) => Err(CmdlineError::OptionInPack { word: shortened(word) }),
        None => Ok(()),
    }
}

/// The text that the kernel gets: `pack`'s as it stands, then the `builder`'s words, of which a locked pack lets
/// through those that match one of `allowed`. `limit` is the protocol's, in bytes.
pub fn merge<'p>(
    pack: &str,
    builder: &str,
    locked: bool,
    allowed: impl Iterator<Item = &'p str> + Clone,
    limit: usize,
) -> Result<KernelCmdline, CmdlineError> {
    check_pack(pack)?;
    options(builder)?;
    let mut text = KernelCmdline::new();
    // The bounds checked above are those that the text's capacity is made of.
    let mut add = |part: &str| text.push_str(part).map_err(|_| CmdlineError::TooLong { limit, found: part.len() });
    add(pack)?;
    let mut separator = if pack.is_empty() { "" } else { " " };
    for word in words(builder) {
        if !word.starts_with(PREFIX) && (!locked || is_allowed(word, allowed.clone())) {
            add(separator)?;
            add(word)?;
            separator = " ";
        }
    }
    if text.len() > limit {
        return Err(CmdlineError::TooLong { limit, found: text.len() });
    }
    Ok(text)
}

fn is_allowed<'p>(word: &str, mut allowed: impl Iterator<Item = &'p str>) -> bool {
    allowed.any(|pattern| matches(pattern, word))
}

/// The builder's words that do not reach the kernel because its pack is locked. As text: how many, and the first eight, each
/// at most 48 bytes of it, which is one line of at most 4 KiB.
#[derive(Clone, Copy)]
pub struct Dropped<'a> {
    manifest: &'a Manifest<'a>,
    builder: &'a str,
}

impl<'a> Dropped<'a> {
    /// Of the words of `builder`; `None` if each of them reaches the kernel or is for stage0.
    pub fn of(manifest: &'a Manifest<'a>, builder: &'a str) -> Option<Self> {
        let dropped = Self { manifest, builder };
        (manifest.is_locked() && dropped.words().next().is_some()).then_some(dropped)
    }

    /// The words, in order.
    pub fn words(&self) -> impl Iterator<Item = &'a str> {
        let manifest = self.manifest;
        words(self.builder).filter(|word| !word.starts_with(PREFIX) && !is_allowed(word, manifest.allowed()))
    }
}

impl fmt::Display for Dropped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Most words of it.
        const MAX_SHOWN: usize = 8;

        let count = self.words().count();
        write!(f, "{count} of the builder's words dropped:")?;
        for word in self.words().take(MAX_SHOWN) {
            let shown = shortened(word);
            let cut = if shown.len() < word.len() { "..." } else { "" };
            write!(f, " {}{cut}", Visible(&shown))?;
        }
        f.write_str(if count > MAX_SHOWN { " ..." } else { "" })
    }
}

/// A SHA-256 digest as people write it: 64 hexadecimal digits.
pub fn digest(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        for digit in pair {
            *byte = *byte << 4 | char::from(*digit).to_digit(16)? as u8;
        }
    }
    Some(bytes)
}

/// Most bytes of a word in a message.
const MAX_SHOWN_LEN: usize = 48;

/// The start of the word, for a message.
fn shortened(word: &str) -> heapless::String<MAX_SHOWN_LEN> {
    let end = word.floor_char_boundary(MAX_SHOWN_LEN);
    word.get(..end).and_then(|start| start.try_into().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests;

//! What a kernel is called: by whoever built it, not by how it is loaded.

use memchr::memmem;
use object::Object;
use object::read::elf::ElfFile32;
use object::read::elf::ElfFile64;
use serde::Serialize;

use crate::info::hex;

/// Names of a kernel; what it does not say is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// Linux' release, as `uname -r` says it.
    pub linux_version: Option<String>,
    /// Which build of it, as `uname -v` says it.
    pub linux_build: Option<String>,
    /// The distribution that built it.
    pub distribution: Option<&'static str>,
    /// The linker's build id, hexadecimal.
    pub build_id: Option<String>,
}

impl Identity {
    /// The names of the kernel in `elf`.
    pub fn of(elf: &[u8]) -> Self {
        let banner = Banner::find(elf);
        Self {
            linux_version: banner.map(|banner| banner.release.to_owned()),
            linux_build: banner.and_then(|banner| banner.build).map(str::to_owned),
            distribution: banner.and_then(|banner| banner.distribution()),
            build_id: build_id(elf).map(|id| hex(&id)),
        }
    }
}

/// The note of the linker.
fn build_id(elf: &[u8]) -> Option<Vec<u8>> {
    /// Longer ones are none: SHA-256 has 32 bytes.
    const MAX_LEN: usize = 64;

    let id = match elf.get(4) {
        Some(1) => ElfFile32::<object::Endianness>::parse(elf).ok()?.build_id().ok()?.map(<[u8]>::to_vec),
        _ => ElfFile64::<object::Endianness>::parse(elf).ok()?.build_id().ok()?.map(<[u8]>::to_vec),
    };
    id.filter(|id| !id.is_empty() && id.len() <= MAX_LEN)
}

/// Linux' banner, which every vmlinux has in its read-only data: "Linux version RELEASE (WHO) (COMPILER) BUILD".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Banner<'a> {
    /// The release.
    pub(crate) release: &'a str,
    who: Option<&'a str>,
    build: Option<&'a str>,
}

impl<'a> Banner<'a> {
    /// Most places that are looked at, lest a file of nothing else takes long. A Linux has a few.
    const MAX_STARTS: usize = 1000;

    /// The banner in `bytes`. Of several, as a Linux of today has them, one that names its build.
    pub(crate) fn find(bytes: &'a [u8]) -> Option<Self> {
        const START: &[u8] = b"Linux version ";

        let mut first = None;
        for at in memmem::find_iter(bytes, START).take(Self::MAX_STARTS) {
            let found = bytes.get(at + START.len()..).and_then(Self::parse);
            if found.is_some_and(|banner| banner.build.is_some()) {
                return found;
            }
            first = first.or(found);
        }
        first
    }

    fn parse(text: &'a [u8]) -> Option<Self> {
        /// Most bytes of a release: Linux' own bound on `uname -r` (include/uapi/linux/utsname.h, __NEW_UTS_LEN).
        const MAX_RELEASE: usize = 64;
        /// Most bytes of a banner; one of a distribution has about 250.
        const MAX_BANNER: usize = 1024;

        let text = text.get(..MAX_BANNER).unwrap_or(text);
        let end = text.iter().position(|byte| !byte.is_ascii_graphic() && *byte != b' ').unwrap_or(text.len());
        let text = str::from_utf8(&text[..end]).ok()?;
        let (release, rest) = text.split_once(' ')?;
        let plausible = release.len() <= MAX_RELEASE && release.starts_with(|c: char| c.is_ascii_digit());
        if !plausible {
            return None;
        }
        let (who, rest) = parenthesis(rest).map_or((None, rest), |(who, rest)| (Some(who), rest));
        let build = parenthesis(rest).map_or(rest, |(_, rest)| rest);
        let is_build = |build: &&str| {
            build.strip_prefix('#').is_some_and(|number| number.starts_with(|c: char| c.is_ascii_digit()))
        };
        Some(Self { release, who, build: Some(build).filter(is_build) })
    }

    /// Who built it, if the release, the builder's name or the build tell. The compiler may be any distribution's.
    fn distribution(self) -> Option<&'static str> {
        const KNOWN: [(&str, &str); 12] = [
            ("debian", "Debian"),
            ("ubuntu", "Ubuntu"),
            ("fedora", "Fedora"),
            (".fc", "Fedora"),
            ("redhat", "Red Hat"),
            ("suse", "SUSE"),
            ("archlinux", "Arch Linux"),
            ("-arch", "Arch Linux"),
            ("alpine", "Alpine"),
            ("nixos", "NixOS"),
            ("gentoo", "Gentoo"),
            ("amzn", "Amazon Linux"),
        ];
        let words = [Some(self.release), self.who, self.build].map(|text| text.unwrap_or_default().to_lowercase());
        let named = |word: &str| words.iter().any(|text| text.contains(word));
        KNOWN.iter().find(|(word, _)| named(word)).map(|(_, name)| *name)
    }
}

/// What is in the parenthesis that `text` begins with, and what is behind it.
fn parenthesis(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('(')?;
    let mut depth = 1_u32;
    let end = inner.char_indices().find_map(|(at, c)| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        (depth == 0).then_some(at)
    })?;
    Some((&inner[..end], inner[end + 1..].trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "Linux version 6.1.0-56-cloud-amd64 (debian-kernel@lists.debian.org) (gcc-12 (Debian \
                          12.2.0-14+deb12u1) 12.2.0, GNU ld (GNU Binutils for Debian) 2.40) #1 SMP PREEMPT_DYNAMIC Debian \
                          6.1.192-2 (2026-11-16)\n\0";

    #[test]
    fn a_banner_names_release_build_and_distribution() {
        let identity = Identity::of(DEBIAN.as_bytes());
        assert_eq!(identity.linux_version.as_deref(), Some("6.1.0-56-cloud-amd64"));
        assert_eq!(identity.linux_build.as_deref(), Some("#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-16)"));
        assert_eq!(identity.distribution, Some("Debian"));
        let ubuntu = "Linux version 6.8.0-31-generic (buildd@lcy02) (x86_64-linux-gnu-gcc-13 (Ubuntu 13.2.0) 13.2.0) \
                      #31-Ubuntu SMP PREEMPT_DYNAMIC Sat Apr 20 00:40:06 UTC 2024\n";
        assert_eq!(Identity::of(ubuntu.as_bytes()).distribution, Some("Ubuntu"));
    }

    #[test]
    fn the_compilers_distribution_is_not_the_kernels() {
        let own = "Linux version 6.9.1 (me@here) (gcc (Debian 12.2.0-14) 12.2.0) #7 SMP Mon Nov 23 2026\n";
        assert_eq!(Identity::of(own.as_bytes()).distribution, None);
    }

    #[test]
    fn the_banner_that_names_its_build_is_the_one() {
        let early = DEBIAN.replace("#1 SMP", "# SMP");
        let both = format!("Linux version %s\0{early}{DEBIAN}");
        assert_eq!(Identity::of(both.as_bytes()), Identity::of(DEBIAN.as_bytes()));
        let early = Identity::of(early.as_bytes());
        assert_eq!((early.linux_version.is_some(), early.linux_build), (true, None));
    }

    #[test]
    fn no_more_banners_are_looked_at_than_there_can_be() {
        let after = |count: usize| Identity::of(("Linux version no ".repeat(count) + DEBIAN).as_bytes());
        assert_eq!(after(Banner::MAX_STARTS - 1), Identity::of(DEBIAN.as_bytes()));
        assert_eq!(after(Banner::MAX_STARTS), Identity::default());
    }

    #[test]
    fn what_is_no_banner_is_none() {
        for text in ["", "Linux version ", "Linux version x y", "Linux version 1.2", "Linux version 1\u{e9} (a"] {
            assert_eq!(Identity::of(text.as_bytes()), Identity::default(), "{text}");
        }
        let long = format!("Linux version 1{} (a)", "2".repeat(70));
        assert_eq!(Identity::of(long.as_bytes()), Identity::default());
    }
}

//! A domain's file for xl.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use shared::xen::pv::MAX_PV_CMDLINE;

use crate::domain::Kind;
use crate::visible::shows;

/// Most bytes of `extra` in a PV domain: its start_info has 1024 with the NUL (public/xen.h, MAX_GUEST_CMDLINE).
const MAX_PV_EXTRA: usize = MAX_PV_CMDLINE;

/// All that is in the file. Files are named as dom0 sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainFile {
    /// The domain's name.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// stage0.
    pub kernel: PathBuf,
    /// The pack.
    pub ramdisk: Option<PathBuf>,
    /// The builder's command line.
    pub extra: String,
    /// Its memory, MiB.
    pub memory_mib: u64,
    /// Its processors.
    pub vcpus: u32,
    /// Its disks, each in the words of xl-disk-configuration(5).
    pub disks: Vec<String>,
    /// Its network interfaces, each in the words of xl-network-configuration(5).
    pub vifs: Vec<String>,
}

/// Why there is no such file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum XlError {
    /// A name that the toolstack would take for something else.
    #[error("{0:?} is no name for a domain: take letters, digits, and . _ + -, and not digits alone")]
    Name(String),
    /// A text that the file cannot hold.
    #[error("{key} has a character that does not show ({value:?}), which a file for xl should not have: leave it out")]
    Hidden {
        /// Of which setting.
        key: &'static str,
        /// What it is.
        value: String,
    },
    /// A path that is no text.
    #[error("{}: is a path that is not UTF-8: rename it", .0.display())]
    Path(PathBuf),
    /// A path that depends on where xl is run.
    #[error("{}: expected an absolute path, for xl is run anywhere", .0.display())]
    Relative(PathBuf),
    /// More command line than a PV domain can have.
    #[error("extra has {found} bytes, a PV domain takes at most {MAX_PV_EXTRA}: shorten it")]
    TooLong {
        /// Bytes that there are.
        found: usize,
    },
}

impl DomainFile {
    /// A domain with one processor, without disks, network and command line.
    pub fn new(name: impl Into<String>, kind: Kind, kernel: impl Into<PathBuf>, memory_mib: u64) -> Self {
        Self {
            name: name.into(),
            kind,
            kernel: kernel.into(),
            ramdisk: None,
            extra: String::new(),
            memory_mib,
            vcpus: 1,
            disks: Vec::new(),
            vifs: Vec::new(),
        }
    }

    /// The file's text.
    pub fn text(&self) -> Result<String, XlError> {
        if !is_name(&self.name) {
            return Err(XlError::Name(self.name.clone()));
        }
        if self.kind == Kind::Pv && self.extra.len() > MAX_PV_EXTRA {
            return Err(XlError::TooLong { found: self.extra.len() });
        }
        let mut text = String::new();
        let mut set = |key: &str, value: String| {
            // A String takes whatever is written to it.
            let _infallible = writeln!(text, "{key:<7} = {value}");
        };
        set("name", quoted("name", &self.name)?);
        set("type", quoted("type", self.kind.word())?);
        set("kernel", path("kernel", &self.kernel)?);
        if let Some(ramdisk) = &self.ramdisk {
            set("ramdisk", path("ramdisk", ramdisk)?);
        }
        if !self.extra.is_empty() {
            set("extra", quoted("extra", &self.extra)?);
        }
        set("memory", self.memory_mib.to_string());
        set("vcpus", self.vcpus.to_string());
        for (key, list) in [("disk", &self.disks), ("vif", &self.vifs)] {
            if !list.is_empty() {
                let items: Result<Vec<String>, XlError> = list.iter().map(|item| quoted(key, item)).collect();
                set(key, format!("[ {} ]", items?.join(", ")));
            }
        }
        Ok(text)
    }
}

/// The name that a domain gets after its pack: what may not be in one becomes `-`.
pub fn name_of(image: &Path) -> String {
    let stem = image.file_stem().unwrap_or(image.as_os_str()).to_string_lossy();
    let name: String = stem.chars().map(|c| if is_in_name(c) { c } else { '-' }).collect();
    if is_name(&name) { name } else { format!("guest-{name}") }
}

/// Whether a domain can be called so. xl takes digits alone for a domain's number; the name is part of paths in xenstore
/// and of names of logs.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(is_in_name) && !name.chars().all(|c| c.is_ascii_digit())
}

fn is_in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._+-".contains(c)
}

fn path(key: &'static str, path: &Path) -> Result<String, XlError> {
    if !path.is_absolute() {
        return Err(XlError::Relative(path.to_owned()));
    }
    quoted(key, path.to_str().ok_or_else(|| XlError::Path(path.to_owned()))?)
}

/// A string of xl's files. In it a backslash begins an escape sequence, which makes itself and quotation marks ordinary
/// (Xen's libxlu_cfg.c, `xlu__cfgl_dequote`).
fn quoted(key: &'static str, text: &str) -> Result<String, XlError> {
    if !text.chars().all(|c| shows(c) || c == '\t') {
        return Err(XlError::Hidden { key, value: text.to_owned() });
    }
    Ok(format!("\"{}\"", text.replace('\\', r"\\").replace('"', r#"\""#)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_what_the_domain_has() {
        let mut file = DomainFile::new("web", Kind::Pv, "/boot/stage0.elf", 256);
        assert_eq!(
            file.text().unwrap(),
            "name    = \"web\"\ntype    = \"pv\"\nkernel  = \"/boot/stage0.elf\"\nmemory  = 256\nvcpus   = 1\n"
        );
        file.kind = Kind::Pvh;
        file.ramdisk = Some("/srv/web.pack".into());
        file.extra = r#"root=/dev/xvda dyndbg="file * +p" it's \ "#.to_owned();
        file.disks = vec!["/dev/vg/web,raw,xvda".to_owned(), "/dev/vg/swap,raw,xvdb".to_owned()];
        file.vifs = vec!["bridge=xenbr0".to_owned()];
        let text = file.text().unwrap();
        assert!(text.contains("type    = \"pvh\"\n") && text.contains("ramdisk = \"/srv/web.pack\"\n"), "{text}");
        assert!(text.contains(r#"extra   = "root=/dev/xvda dyndbg=\"file * +p\" it's \\ ""#), "{text}");
        assert!(text.contains("disk    = [ \"/dev/vg/web,raw,xvda\", \"/dev/vg/swap,raw,xvdb\" ]\n"), "{text}");
        assert!(text.contains("vif     = [ \"bridge=xenbr0\" ]\n"), "{text}");
    }

    #[test]
    fn what_xl_would_not_take_is_refused() {
        let file = DomainFile::new("web", Kind::Pv, "/boot/stage0.elf", 256);
        for name in ["", "12", "a b", "a/b", "ü"] {
            let named = DomainFile { name: name.to_owned(), ..file.clone() };
            assert_eq!(named.text(), Err(XlError::Name(name.to_owned())));
        }
        let relative = DomainFile { kernel: "stage0.elf".into(), ..file.clone() };
        assert_eq!(relative.text(), Err(XlError::Relative("stage0.elf".into())));
        let lines = DomainFile { extra: "a\nb".to_owned(), ..file.clone() };
        assert!(matches!(lines.text(), Err(XlError::Hidden { key: "extra", .. })));
        let long = DomainFile { extra: "x".repeat(1024), ..file.clone() };
        assert_eq!(long.text(), Err(XlError::TooLong { found: 1024 }));
        assert!(DomainFile { kind: Kind::Pvh, ..long }.text().is_ok());
    }

    #[test]
    fn a_domain_can_be_called_after_any_pack() {
        assert_eq!(name_of(Path::new("/srv/my guest.v2.pack")), "my-guest.v2");
        assert_eq!(name_of(Path::new("6.pack")), "guest-6");
    }
}

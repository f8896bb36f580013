//! The features that a kernel says it can use or must have: a list of names, separated by `|`, `!` for required.

use super::metadata::name_of;

/// Names that libelf knows, with their bits (`public/features.h`; libelf's `elf_xen_feature_names`).
const NAMES: [(&[u8], u32); 7] = [
    (b"writable_page_tables", 0),
    (b"writable_descriptor_tables", 1),
    (b"auto_translated_physmap", 2),
    (b"supervisor_mode_kernel", 3),
    (b"pae_pgdir_above_4gb", 4),
    (b"hvm_callback_vector", 8),
    (b"dom0", 11),
];

/// Those that no Xen of today gives a PV domain: it is never translated, and never in the processor's most privileged mode.
const NEVER_IN_PV: u32 = 1 << 2 | 1 << 3;
/// Being the initial domain.
const DOM0: u32 = 1 << 11;
/// XENFEAT_linux_rsdp_unrestricted: a Linux that takes ACPI's root pointer from wherever start_info says.
const ANY_RSDP: u32 = 1 << 15;

/// The longest piece that libelf looks at as one name; what is longer it cuts into several.
const MAX_NAME: usize = 63;

/// A feature's name, as shown to people: what is longer is cut.
pub type FeatureName = heapless::String<32>;

/// What a kernel says of features. Bit n stands for feature n of `public/features.h`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Features {
    /// Those it can use: from FEATURES and SUPPORTED_FEATURES together.
    pub supported: u32,
    /// Those it must have.
    pub required: u32,
    /// Whether there was a SUPPORTED_FEATURES note: then a dom0 kernel must have bit 11 set.
    pub says_supported: bool,
    /// A feature that it must have and that has no name in libelf: Xen refuses such a kernel.
    pub unknown: Option<FeatureName>,
}

impl Features {
    /// A feature that the kernel must have and that no PV domain has.
    pub(super) fn never_in_pv(&self) -> Option<FeatureName> {
        let bit = (self.required & NEVER_IN_PV).trailing_zeros();
        NAMES.iter().find(|known| known.1 == bit).map(|known| name_of(known.0))
    }

    /// Whether a Linux takes ACPI's root pointer from anywhere, and does not only look where a PC's firmware has it.
    pub const fn takes_any_rsdp(&self) -> bool {
        self.supported & ANY_RSDP != 0
    }

    /// Whether it must be the initial domain's kernel.
    pub const fn is_for_dom0_alone(&self) -> bool {
        self.required & DOM0 != 0
    }

    /// Whether it says what it can use, and not that it can be the initial domain's kernel.
    pub const fn is_never_for_dom0(&self) -> bool {
        self.says_supported && self.supported & DOM0 == 0
    }

    /// Adds what `list` names. At an unknown required feature it stops, keeps the name in [`unknown`](Self::unknown),
    /// and returns false.
    pub(super) fn add(&mut self, list: &[u8]) -> bool {
        let mut rest = list;
        while !rest.is_empty() {
            let (name, used) = next(rest);
            rest = rest.get(used..).unwrap_or_default();
            let (required, name) = match name.strip_prefix(b"!") {
                Some(name) => (true, name),
                None => (false, name),
            };
            match NAMES.iter().find(|known| known.0 == name) {
                Some((_, bit)) => {
                    self.supported |= 1 << bit;
                    self.required |= u32::from(required) << bit;
                }
                None if required => {
                    self.unknown = Some(name_of(name));
                    return false;
                }
                None => {}
            }
        }
        true
    }
}

/// The next name of a list, and the bytes that it takes with its separator.
fn next(list: &[u8]) -> (&[u8], usize) {
    let piece = list.get(..MAX_NAME).unwrap_or(list);
    match piece.iter().position(|byte| *byte == b'|') {
        Some(end) => (&piece[..end], end + 1),
        None => (piece, piece.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(list: &str) -> Features {
        let mut features = Features::default();
        features.add(list.as_bytes());
        features
    }

    #[test]
    fn required_is_supported_too() {
        let features = read("!writable_page_tables|pae_pgdir_above_4gb");
        assert_eq!((features.supported, features.required), (0x11, 0x1));
        assert_eq!(features.unknown, None);
    }

    #[test]
    fn unknown_is_ignored_unless_required() {
        assert_eq!(read("nonsense||dom0").supported, 1 << 11);
        let features = read("dom0|!nonsense|!writable_page_tables");
        assert_eq!(features.unknown.as_deref(), Some("nonsense"));
        assert_eq!((features.supported, features.required), (1 << 11, 0));
        assert_eq!(read("!").unknown.as_deref(), Some(""));
    }

    #[test]
    fn what_no_pv_domain_has_is_named() {
        assert_eq!(read("!writable_page_tables|auto_translated_physmap").never_in_pv(), None);
        assert_eq!(read("!supervisor_mode_kernel").never_in_pv().as_deref(), Some("supervisor_mode_kernel"));
        assert!(read("!dom0").is_for_dom0_alone() && !read("dom0").is_for_dom0_alone());
    }

    #[test]
    fn long_names_are_cut_as_libelf_cuts_them() {
        let mut list = std::string::String::from("!");
        list.extend(core::iter::repeat_n('x', 62));
        assert!(read(&list).unknown.is_some());
        let cut: std::string::String = core::iter::repeat_n('x', 63).chain("dom0".chars()).collect();
        assert_eq!(read(&cut).supported, 1 << 11);
    }
}

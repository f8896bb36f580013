//! The fields of start_info.

use crate::domain::Domain;
use crate::entry::State;
use crate::memory::PAGE;
use crate::report::{check, info};

/// Printed as they are, but for machine addresses.
pub(crate) fn dump(domain: &Domain, state: &State) {
    let s = &domain.start_info;
    let magic = s.magic.split(|byte| *byte == 0).next().unwrap_or_default();
    let rest = s.magic[magic.len()..].iter().all(|byte| *byte == 0);
    let magic = str::from_utf8(magic).unwrap_or("?");
    check(magic == "xen-3.0-x86_64" && rest, "magic", format_args!("{magic}"));
    info("nr_pages", format_args!("{:#x}", s.nr_pages.get()));
    check(
        s.shared_info.get().is_multiple_of(PAGE) && s.shared_info.get() != 0,
        "shared_info",
        format_args!("a machine address, page aligned"),
    );
    info("flags", format_args!("{:#x}", s.flags.get()));
    if domain.is_initial() {
        info("store_mfn", format_args!("{:#x}", s.store_mfn.get()));
        info("console", format_args!("{:#x}", s.console.get()));
    }
    info("store_evtchn", format_args!("{}", s.store_evtchn.get()));
    info("console_evtchn", format_args!("{}", s.console_evtchn.get()));
    info("pt_base", format_args!("{:#x}", s.pt_base.get()));
    info("nr_pt_frames", format_args!("{}", s.nr_pt_frames.get()));
    info("mfn_list", format_args!("{:#x}", s.mfn_list.get()));
    info("mod_start", format_args!("{:#x}", s.mod_start.get()));
    info("mod_len", format_args!("{:#x}", s.mod_len.get()));
    info("first_p2m_pfn", format_args!("{:#x}", s.first_p2m_pfn.get()));
    info("nr_p2m_frames", format_args!("{:#x}", s.nr_p2m_frames.get()));
    let padding = [s.reserved, s.reserved2, s.reserved3].map(|bytes| bytes.get());
    check(padding == [0; 3], "start_info.padding", format_args!("{padding:?}"));
    let line = s.cmd_line.split(|byte| *byte == 0).next().unwrap_or_default();
    let rest = s.cmd_line[line.len()..].iter().all(|byte| *byte == 0);
    let text = str::from_utf8(line).unwrap_or("?");
    check(line.len() < s.cmd_line.len(), "cmdline", format_args!("{} bytes \"{text}\"", line.len()));
    info("cmdline.rest", format_args!("{}", if rest { "zero" } else { "not zero" }));
    let aligned = state.stack().is_multiple_of(PAGE) && state.start_info().is_multiple_of(PAGE);
    check(aligned, "start_info.aligned", format_args!("{aligned}"));
}

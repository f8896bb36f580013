//! What changed from one pack to another.

use std::fmt;

use crate::info::{Info, KernelInfo};

/// A thing that is not the same in two packs.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is.
    pub what: String,
    /// What the first pack has, if it has it.
    pub first: Option<String>,
    /// What the second has.
    pub second: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.what)?;
        for (sign, value) in [('-', &self.first), ('+', &self.second)] {
            if let Some(value) = value {
                writeln!(f, "  {sign} {value}")?;
            }
        }
        Ok(())
    }
}

/// All differences, in the order in which `pack info` shows these things. How the bytes are cut into frames is none.
pub fn diff(first: &Info, second: &Info) -> Vec<Difference> {
    let (first, second) = (facts(first), facts(second));
    let value = |facts: &[(String, String)], what: &str| {
        facts.iter().find(|(name, _)| name == what).map(|(_, value)| value.clone())
    };
    let gone = first.iter().map(|(what, _)| what);
    let new = second.iter().map(|(what, _)| what).filter(|what| value(&first, what).is_none());
    gone.chain(new)
        .map(|what| Difference { what: what.clone(), first: value(&first, what), second: value(&second, what) })
        .filter(|difference| difference.first != difference.second)
        .collect()
}

/// A pack in lines of which each has a name of its own.
fn facts(info: &Info) -> Vec<(String, String)> {
    let contents = &info.contents;
    let mut facts = vec![
        ("digest".to_owned(), format!("sha256:{}", contents.digest)),
        ("pack".to_owned(), format!("{} bytes", contents.pack_len)),
    ];
    let mut add = |what: String, value: Option<String>| facts.extend(value.map(|value| (what, value)));
    let signature = contents.signature.as_ref();
    add("signature".into(), signature.map(|by| format!("{} by key {}", by.algorithm, by.key_id)));
    let decided = &contents.decisions;
    add("decided protocol".into(), decided.protocol.map(str::to_owned));
    add("decided mapping".into(), Some(decided.mapping.to_owned()));
    add("decided entry".into(), decided.entry.map(str::to_owned));
    add("decided virtual base".into(), decided.virt_base.map(|base| format!("{base:#x}")));
    add("command line".into(), contents.cmdline.text.as_ref().map(|text| format!("{text:?}")));
    let locked = contents.cmdline.locked.then(|| format!("allowing {:?}", contents.cmdline.allowed));
    add("command line is locked".into(), locked);
    let mut modules = 0..;
    for member in &contents.members {
        let content = format!("{:?}, {} bytes, sha256:{}", member.name, member.content_len, member.sha256);
        match member.kind {
            "kernel" => {
                add("kernel".into(), Some(content));
                add(
                    "kernel's frames".into(),
                    Some(format!("{}, {} bytes", contents.frame_summary(), member.stored_len)),
                );
            }
            "module" => add(format!("module {}", modules.next().unwrap_or(0)), Some(content)),
            _ => {}
        }
    }
    add("refused".into(), info.refused.clone());
    if let Some(kernel) = &info.kernel {
        kernel_facts(kernel, &mut add);
    }
    facts
}

fn kernel_facts(kernel: &KernelInfo, add: &mut dyn FnMut(String, Option<String>)) {
    add("kernel's class".into(), Some(kernel.class.to_owned()));
    let identity = &kernel.identity;
    add("Linux".into(), identity.linux_version.clone());
    add("Linux build".into(), identity.linux_build.clone());
    add("distribution".into(), identity.distribution.map(str::to_owned));
    add("build id".into(), identity.build_id.clone());
    for note in &kernel.notes.values {
        add(format!("note {}", note.name), Some(note.value.clone()));
    }
    // What stage0 cannot do with either is not what changed.
    for protocol in kernel.protocols.iter().filter(|protocol| protocol.entered_by_stage0) {
        let name = protocol.protocol;
        add(format!("{name} refused"), protocol.refused.clone());
        let Some(plan) = &protocol.plan else { continue };
        add(format!("{name} entry"), Some(format!("{:#x}", plan.entry)));
        for segment in &plan.segments {
            let place = format!(
                "{} {:#x}..{:#x}, {:#x} bytes of the file, p_vaddr {:#x}",
                segment.access, segment.memory.start, segment.memory.end, segment.file_len, segment.virt
            );
            add(format!("{name} segment {}", segment.index), Some(place));
        }
        for memory in &protocol.memory {
            let need = memory.need.map(|need| format!("{} MiB", need >> 20));
            add(format!("{name} memory in a domain of {}'s", memory.builder), need.or_else(|| memory.refused.clone()));
        }
    }
}

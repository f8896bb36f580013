//! `pack info IMAGE`.

use std::fmt::Write;

use pack::image::{self, Image, ImageError};
use pack::info::{Contents, Info};
use pack::output::Output;
use pack::stage0;

use super::args::InfoArgs;
use super::text::{json_visible, percent, size};
use super::{draw, kernel, svg};

/// Prints what is in a pack.
pub(super) fn run(args: &InfoArgs) -> anyhow::Result<()> {
    let bytes = image::read(&args.image)?;
    let at = |cause| ImageError { path: args.image.clone(), cause };
    let image = Image::parse(&bytes).map_err(at)?;
    let output = args.svg.as_deref().map(|path| Output::new(path, &[&args.image])).transpose()?;
    let info = Info::of(&image, stage0::EMBEDDED, args.memory).map_err(at)?;
    let drawn = info.layouts.iter().filter(|layout| layout.builder == args.builder.name());
    if let Some(output) = output {
        output.write(svg::draw(drawn.clone()).as_bytes())?;
    }
    if args.json {
        return Ok(super::print(&(json_visible(&serde_json::to_string_pretty(&info)?) + "\n"))?);
    }
    let mut text = String::new();
    contents(&mut text, &info.contents)?;
    match (&info.kernel, &info.refused) {
        (Some(kernel), _) => kernel::full(&mut text, kernel)?,
        (None, refused) => writeln!(text, "kernel     {}", refused.as_deref().unwrap_or("not read"))?,
    }
    super::print(&text)?;
    let mut text = String::new();
    drawn.into_iter().try_for_each(|layout| draw::layout(&mut text, layout))?;
    if args.frames {
        frames(&mut text, &info.contents)?;
    }
    Ok(super::print_styled(&text)?)
}

fn contents(out: &mut String, contents: &Contents) -> std::fmt::Result {
    writeln!(out, "pack       version {}, {}", contents.version, size(contents.pack_len))?;
    writeln!(out, "digest     sha256:{}", contents.digest)?;
    match &contents.signature {
        Some(signature) => writeln!(out, "signature  {} by key {}", signature.algorithm, signature.key_id)?,
        None => writeln!(out, "signature  none: the digest shows damage, not who made the pack")?,
    }
    let decided = &contents.decisions;
    let protocol = decided.protocol.unwrap_or("by kernel and domain");
    let entry = decided.entry.unwrap_or("by the notes");
    let virt_base = decided.virt_base.map_or("by the notes".to_owned(), |base| format!("{base:#x}"));
    writeln!(
        out,
        "decisions  protocol {protocol}; mapping {}; entry {entry}; virtual base {virt_base}",
        decided.mapping
    )?;
    cmdline(out, contents)?;
    for member in &contents.members {
        writeln!(out, "member     {} {:?}: {}", member.kind, member.name, size(member.content_len))?;
        writeln!(out, "           sha256:{}", member.sha256)?;
        if member.kind == "kernel" {
            let ratio = percent(member.stored_len, member.content_len);
            let frames = contents.frame_summary();
            writeln!(out, "           stored as {} ({ratio}), frames: {frames}", size(member.stored_len))?;
        }
    }
    Ok(())
}

fn cmdline(out: &mut String, contents: &Contents) -> std::fmt::Result {
    let cmdline = &contents.cmdline;
    writeln!(out, "cmdline    {:?}", cmdline.text.as_deref().unwrap_or(""))?;
    match (cmdline.locked, cmdline.allowed.is_empty()) {
        (false, _) => writeln!(out, "           the builder's words are added"),
        (true, true) => writeln!(out, "           locked: no word of the builder's is added"),
        (true, false) => writeln!(out, "           locked: of the builder's words are added {:?}", cmdline.allowed),
    }
}

fn frames(out: &mut String, contents: &Contents) -> std::fmt::Result {
    writeln!(out, "frame       in the ELF file         codec   in the pack")?;
    for (index, frame) in contents.frames.iter().enumerate() {
        writeln!(
            out,
            "{index:<10}  {:#010x} {:>#10x}   {:<5}   {:#010x} {:>#10x}",
            frame.content_offset, frame.content_len, frame.codec, frame.stored_offset, frame.stored_len
        )?;
    }
    Ok(())
}

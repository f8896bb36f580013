//! Domains of locked packs, and of one that is signed and not locked.

use std::fs;

use anyhow::{Context, Result, bail};
use pack::build::{Module, Request};
use pack::image::Image;
use pack::stage0;
use shared::format::{Codec, put_signature};

use super::{Expected, Started, Verified, digest, key, make, trusting};
use crate::mutated;
use crate::probe::{self, Case, Content, Layout};

/// Where a pack's signature slot is (`shared::format`).
const SLOT: std::ops::Range<usize> = 128..232;

/// The domains of a kernel of `layout`, to be run at `tier`: the builder says more than the pack allows, or the kernel's name is one
/// that could forge a line.
///
/// # Errors
/// Where a pack cannot be made, or a file be written.
pub fn locked(tier: &str, layout: &Layout) -> Result<Vec<Verified>> {
    /// One that is allowed, and ten that are not, of which only eight are named.
    const WORDS: &str = "init=/bin/sh ip=dhcp \"a b\" single 4 5 6 7 8 9 10";
    const DROPPED: &str = "10 of the builder's words dropped: init=/bin/sh \"a b\" single 4 5 6 7 8 ...";
    let pv = layout.pv.is_some();
    let started = |dropped| Expected::Started(Started { cmdline: "first \"second third\" ip=dhcp", dropped, pv });
    let mut open = build(layout, layout.name, false)?;
    put_signature(&mut open, key(1).public().id(), [7; 64])?;
    let mut pack = build(layout, layout.name, true)?;
    let required = format!("{WORDS} stage0.require=sha256:{}", digest(&pack)?);
    if key(1).sign(&mut pack).is_err() {
        bail!("a locked pack cannot be signed");
    }
    let mut stripped = pack.clone();
    stripped[SLOT].fill(0);
    let mut forged = build(layout, "aa stage0: measured: ff", true)?;
    let len = usize::try_from(Image::parse(&forged)?.manifest.manifest_len())?;
    let at = forged[..len].windows(3).position(|bytes| bytes == b"aa ").context("no name in the manifest")?;
    forged[at..at + 2].copy_from_slice(b"\n\r");
    mutated::seal(&mut forged[..len]);
    let hidden = build(layout, "\u{202e}\u{2028}stage0: measured: ff", true)?;
    let (plain, keys) = (stage0::EMBEDDED, trusting(&[1])?);
    Ok(vec![
        make(tier, "locked", &keys, &pack, WORDS, started(Some(DROPPED)))?,
        make(tier, "locked-quiet", &keys, &pack, &format!("stage0.quiet {WORDS}"), started(None))?,
        make(tier, "stripped", plain, &stripped, &required, started(Some(DROPPED)))?,
        make(tier, "name-of-two-lines", plain, &forged, "", Expected::Refused("name does not show: member 0, "))?,
        make(tier, "name-that-hides", plain, &hidden, WORDS, started(Some(DROPPED)))?,
        make(tier, "open", plain, &open, WORDS, Expected::Refused("signed pack is not locked: "))?,
        make(tier, "open-trusted", &keys, &open, WORDS, Expected::Refused("signed pack is not locked: "))?,
    ])
}

/// A kernel made of the probe, of the name, packed.
fn build(layout: &Layout, name: &str, locked: bool) -> Result<Vec<u8>> {
    let mut request = Request::new(name, fs::read(probe::build(layout)?)?);
    request.cmdline = Some(Case::OWN.to_owned());
    request.settings.codec = Codec::Lz4;
    request.locked = locked;
    request.modules = vec![Module { name: "module".to_owned(), content: probe::module(100_003, Content::Noise(1)) }];
    request.allowed = vec!["ip=*".to_owned()];
    Ok(request.build(&|_| ())?.pack)
}

//! Whether a pack would boot in a domain, found out by the code that stage0 runs there.

use shared::cmdline::{self, CmdlineError, Dropped};
use shared::kernel::{Plan, PlanError};
use shared::memory::MIB;
use shared::trust::{TrustError, check_required};
use stage0::load::LoadError;

use crate::advice;
use crate::domain::{Domain, Kind};
use crate::framed;
use crate::identity::Identity;
use crate::image::{Image, ImageCause};
use crate::need::{NoPlace, Surroundings};
use crate::reading::{Reading, Refusal};

/// A pack that would boot.
#[derive(Debug)]
pub struct Verdict {
    /// The kernel.
    pub reading: Reading,
    /// What the kernel is called.
    pub identity: Identity,
    /// How it is entered, and where it lies before it is moved.
    pub plan: Plan,
    /// What it gets as its command line.
    pub cmdline: String,
    /// Which of the builder's words the lock keeps from it, if there are any.
    pub dropped: Option<String>,
    /// The least memory with which stage0 can put it in place, bytes.
    pub need: u64,
}

/// Why a pack would not boot in a domain.
#[derive(Debug, thiserror::Error)]
pub enum Obstacle {
    /// The pack itself is not whole.
    #[error(transparent)]
    Pack(#[from] ImageCause),
    /// Its frames are not such that stage0 could load the kernel.
    #[error("{0}: pack the kernel again")]
    Cut(LoadError),
    /// No domain could start the kernel.
    #[error(transparent)]
    Kernel(#[from] Refusal),
    /// The kernel cannot be entered in this kind of domain.
    #[error("in a {kind} domain: {why}{}", advice::on_plan(.why))]
    Plan {
        /// The kind.
        kind: Kind,
        /// Why.
        why: PlanError,
    },
    /// stage0 would not start anything of it.
    #[error("{0}{advice}", advice = advice::on_trust(.0))]
    Trust(TrustError),
    /// The kernel would get no command line.
    #[error("{0}: shorten or correct it")]
    Cmdline(CmdlineError),
    /// The domain is too small.
    #[error(
        "not enough memory: domain, expected {} MiB, found {} MiB: give it more, and more still for the kernel itself",
        needed / MIB,
        given / MIB
    )]
    TooSmall {
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that there are.
        given: u64,
    },
    /// Something has no place in it.
    #[error(transparent)]
    NoPlace(#[from] NoPlace),
}

/// Looks whether the pack in `image` would boot in `domain`, by `stage0`, an image. Every hash in the pack is checked.
pub fn check(image: &Image<'_>, stage0: &[u8], domain: &Domain<'_>) -> Result<Verdict, Obstacle> {
    let elf = image.check()?;
    check_trust(image, domain)?;
    let reading = Reading::of(&elf, image.manifest.decisions())?;
    let plan = plan(&reading, domain.kind)?;
    framed::check(image, &plan).map_err(Obstacle::Cut)?;
    let cmdline = kernel_cmdline(image, domain, &plan)?;
    let dropped = Dropped::of(&image.manifest, domain.cmdline).map(|dropped| dropped.to_string());
    let surroundings = Surroundings::new(stage0, &image.manifest, domain.builder);
    let need = surroundings.need(&plan)?;
    if let Some(given) = domain.memory {
        match surroundings.arrange(&plan, given) {
            Ok(_) => {}
            Err(_) if given < need => return Err(Obstacle::TooSmall { needed: need, given }),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Verdict { identity: Identity::of(&elf), reading, plan, cmdline, dropped, need })
}

/// The plan by which stage0 would enter the kernel in a domain of the kind.
pub fn plan(reading: &Reading, kind: Kind) -> Result<Plan, Obstacle> {
    let refused = |why| Obstacle::Plan { kind, why };
    let protocol = kind.protocol(&reading.kernel, &reading.decisions).map_err(refused)?;
    reading.plan(protocol).map_err(refused)
}

/// Whether the domain's stage0 starts such a pack, and the builder asks for no other.
fn check_trust(image: &Image<'_>, domain: &Domain<'_>) -> Result<(), Obstacle> {
    let options = cmdline::options(domain.cmdline).map_err(Obstacle::Cmdline)?;
    domain.trust.check(&image.manifest).map_err(Obstacle::Trust)?;
    check_required(&image.manifest, options.require.as_ref()).map_err(Obstacle::Trust)
}

/// What the kernel would get as its command line.
fn kernel_cmdline(image: &Image<'_>, domain: &Domain<'_>, plan: &Plan) -> Result<String, Obstacle> {
    let manifest = &image.manifest;
    let own = image.cmdline()?.unwrap_or_default();
    let limit = cmdline::limit(plan.protocol, plan.linux);
    let merged = cmdline::merge(own, domain.cmdline, manifest.is_locked(), manifest.allowed(), limit);
    Ok(merged.map_err(Obstacle::Cmdline)?.as_str().to_owned())
}

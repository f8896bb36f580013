//! Builds stage0 for the guest, so that `pack` can carry it: a nested `cargo build` into a folder of its own, and then
//! packing, because most of the image is in its file in compressed form. With PACK_STAGE0 set, the file that it names is carried instead.

#[path = "build/image.rs"]
mod image;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// What stage0 is built for.
const TARGET: &str = "x86_64-unknown-none";

/// The workspace's configuration, which has flags for that target.
const CONFIG: &str = ".cargo/config.toml";

/// Variables of the outer build that the inner one keeps, by their beginning: where cargo finds packages, and how it
/// shares the machine's cores. All else that steers a build would make another stage0 of the same source.
const KEPT: [&str; 9] = [
    "CARGO_HOME",
    "CARGO_HTTP_",
    "CARGO_MAKEFLAGS",
    "CARGO_NET_",
    "CARGO_REGISTR",
    "CARGO_SOURCE_",
    "CARGO_TERM_",
    "MAKEFLAGS",
    "MFLAGS",
];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let carried = folder("OUT_DIR")?.join("stage0.elf");
    println!("cargo::rerun-if-env-changed=PACK_STAGE0");
    let read = |path: &Path| fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()));
    let image = match env::var_os("PACK_STAGE0") {
        Some(given) => {
            let given = Path::new(&given);
            println!("cargo::rerun-if-changed={}", given.display());
            read(given)?
        }
        None => image::packed(&read(&built()?)?)?,
    };
    fs::write(&carried, image).map_err(|error| format!("cannot write {}: {error}", carried.display()))
}

/// Builds stage0; gives the path of what the linker made.
fn built() -> Result<PathBuf, String> {
    let workspace = folder("CARGO_MANIFEST_DIR")?.join("..");
    for part in ["stage0", "shared", "decode", "Cargo.toml", "Cargo.lock", CONFIG] {
        println!("cargo::rerun-if-changed={}", workspace.join(part).display());
    }
    check_target()?;
    let target_dir = folder("OUT_DIR")?.join("target");
    let mut cargo = Command::new(variable("CARGO")?);
    cargo
        .args(["build", "--locked", "--package", "stage0", "--bin", "stage0"])
        .args(["--profile", "stage0", "--target", TARGET])
        .arg("--manifest-path")
        .arg(workspace.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target_dir)
        .arg("--config")
        .arg(workspace.join(CONFIG))
        .arg("--config")
        .arg(flags(&workspace))
        // Where no configuration is found but the one named: `cargo install` runs anywhere.
        .current_dir("/");
    scrub(&mut cargo);
    // BLAKE3's assembly is assembled by the C compiler, of which some mark branches by themselves.
    cargo.env(format!("CFLAGS_{}", TARGET.replace('-', "_")), "-fcf-protection=none");
    let status = cargo.status().map_err(|error| format!("cannot run cargo: {error}"))?;
    if !status.success() {
        return Err(format!("stage0 does not build for {TARGET} (above: why)"));
    }
    Ok(target_dir.join(TARGET).join("stage0").join("stage0"))
}

/// Looks whether the compiler can build for the guest, because what cargo says if it cannot is hard to understand.
fn check_target() -> Result<(), String> {
    let rustc = variable("RUSTC")?;
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(|error| format!("cannot run rustc: {error}"))?;
    if Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir() {
        return Ok(());
    }
    Err(format!("the target {TARGET}, which stage0 is built for, is not installed: run `rustup target add {TARGET}`"))
}

/// Takes from the inner build what the outer one was told.
fn scrub(cargo: &mut Command) {
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let steers = text.starts_with("CARGO") || text.starts_with("RUSTC") || text.ends_with("FLAGS");
        if steers && !KEPT.iter().any(|kept| text.starts_with(kept)) {
            cargo.env_remove(&name);
        }
    }
}

/// The compiler's flags: they keep this machine's folders out of stage0.
fn flags(workspace: &Path) -> String {
    let mut folders = Vec::new();
    folders.extend(workspace.canonicalize().map(|path| (path, "mstrap")));
    let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
    let sources = home.and_then(|home| fs::read_dir(home.join("registry").join("src")).ok());
    folders.extend(sources.into_iter().flatten().flatten().map(|entry| (entry.path(), "crates")));

    let flag = |(path, name): (PathBuf, &str)| format!("--remap-path-prefix={}={name}", path.display());
    let mut flags: Vec<String> = folders.into_iter().map(flag).collect();
    // It runs where it is linked: addresses are in the code, not in a table.
    flags.push("-Crelocation-model=static".to_owned());
    // A list of strings is written alike in Rust and in TOML.
    format!("target.{TARGET}.rustflags={flags:?}")
}

fn folder(name: &str) -> Result<PathBuf, String> {
    variable(name).map(PathBuf::from)
}

fn variable(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("{name} is not set: this program is run by cargo"))
}

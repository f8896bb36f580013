//! A folder of fetched and built parts, each made once, by whichever test comes first.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::{env, io};

use crate::Missing;

/// Raised whenever what is in an entry, or how it is made, changes: older entries are then left unused.
const LAYOUT: u32 = 1;

/// Cargo's target directory of this workspace; a folder of the user's where an installed program has no workspace any more.
pub fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) if !dir.is_empty() => workspace().join(dir),
        _ if workspace().is_dir() => workspace().join("target"),
        _ => {
            let home = || Some(env::home_dir()?.join(".cache"));
            let user = env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from).or_else(home);
            user.unwrap_or_else(env::temp_dir).join("mstrap")
        }
    }
}

/// The root of the workspace's source.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Where parts are kept: `$MSTRAP_CACHE` (to share them between checkouts), else a folder in the target directory.
pub fn root() -> PathBuf {
    let base = match env::var_os("MSTRAP_CACHE") {
        Some(dir) if !dir.is_empty() => workspace().join(dir),
        _ => target().join("parts"),
    };
    base.join(format!("v{LAYOUT}"))
}

/// Where runs leave their logs: `logs` in the target directory.
pub fn logs() -> PathBuf {
    target().join("logs")
}

/// The folder `name` of the cache, filled by `build` unless it is there already.
///
/// Test binaries that run at the same time wait for each other by a lock file. `build` gets a temporary folder that is
/// renamed once it is complete, so a folder under its final name is whole.
///
/// # Errors
/// What `build` says, or that the cache cannot be written.
pub fn entry(name: &str, build: impl FnOnce(&Path) -> Result<(), Missing>) -> Result<PathBuf, Missing> {
    let done = root().join(name);
    if done.is_dir() {
        return Ok(done);
    }
    let unwritable = |error: io::Error| Missing::new(format!("the cache folder {}", done.display()), error);
    fs::create_dir_all(root()).map_err(unwritable)?;
    let lock = File::create(root().join(format!("{name}.lock"))).map_err(unwritable)?;
    lock.lock().map_err(unwritable)?;
    if done.is_dir() {
        return Ok(done);
    }
    let partial = root().join(format!("{name}.partial"));
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(unwritable)?;
    }
    fs::create_dir(&partial).map_err(unwritable)?;
    build(&partial)?;
    fs::rename(&partial, &done).map_err(unwritable)?;
    Ok(done)
}

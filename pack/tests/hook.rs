//! The hook of the Debian package, for a system in a folder.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a step that fails is a test that fails")]

#[allow(dead_code, reason = "each test uses a part of it")]
mod common;

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use common::place::Place;
use pack::image::Image;

const HOOK: &str = include_str!("../debian/kernel-hook");

#[test]
fn the_options_are_passed_on_as_they_are_written() {
    let place = Place::new();
    let folder = place.folder().to_str().unwrap();
    let hook = HOOK.replace("/etc/mstrap", folder).replace("boot=/boot\n", &format!("boot={folder}\n"));
    fs::create_dir(place.path("postinst.d")).unwrap();
    place.file("postinst.d/zz-mstrap", hook.as_bytes());
    place.file("cmdline", b"# its root\nroot=/dev/xvda1  ro\n");
    place.file("options", b"--codec none\n--lock-cmdline --allow-arg console=*\n");
    // As the pattern of the option would find it.
    place.file("console=file", b"");

    let programs = Path::new(env!("CARGO_BIN_EXE_pack")).parent().unwrap().to_owned();
    let path = env::join_paths([programs].into_iter().chain(env::split_paths(&env::var_os("PATH").unwrap())));
    let mut command = Command::new("sh");
    command
        .arg(place.path("postinst.d/zz-mstrap"))
        .args(["6.1.0", "kernel"])
        .current_dir(folder)
        .env("PATH", path.unwrap());
    let output = command.env_remove("DEB_MAINT_PARAMS").env_remove("PACK_STAGE0").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let bytes = place.read("pack-6.1.0");
    let image = Image::parse(&bytes).unwrap();
    assert_eq!(image.cmdline().unwrap(), Some("root=/dev/xvda1 ro"));
    assert_eq!(image.manifest.allowed().collect::<Vec<_>>(), ["console=*"]);
}

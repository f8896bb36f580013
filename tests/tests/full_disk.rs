//! `pack` on file systems without room: a tmpfs that this test alone sees. What was there stays as it was, nothing half-written
//! is left, and the error says what to do. And `pack` where one file system is missing: /proc.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use harness::probe::{self, Content, Extra, Layout};
use harness::trial::{self, Trouble, check};
use harness::{Missing, tools};
use shared::memory::MIB;

/// Mounts $2 of `mount` where nobody else sees it, with an output of yesterday; has $1 write that and another; says how that
/// ended, and what is there; then gives room, and has it write again.
const SCRIPT: &str = r#"
mount -t tmpfs -o "$2" full disk
cp yesterday disk/image
cd disk
for output in image new; do
    "$1" ../kernel -o "$output" --codec none && echo "$output: written"
    echo "$output: status $?"
done
cmp image ../yesterday && ls -A
mount -o remount,size=8m,nr_inodes=9 .
"$1" ../kernel -o image --codec none > ../summary 2>&1
cp image ../written
"#;

/// Has $1 make a key where there is no room, of which nothing may be left, and then where there is.
const KEY_SCRIPT: &str = r#"
mount -t tmpfs -o size=4k full disk
cd disk
echo room > taken
"$1" key new key && echo written
echo "status $?" && ls -A
mount -o remount,size=1m .
"$1" key new key > /dev/null && cp key ../key && ls -A
"$1" key new key
cmp key ../key && ls -A
"#;

/// Has $1 write an output where /proc is not mounted: it is empty.
const NO_PROC_SCRIPT: &str = r#"
mount -t tmpfs empty /proc && test ! -e /proc/self
cd disk
"$1" stage0 -o new > ../new && "$1" stage0 -o new > ../replaced && ls -A
"#;

fn main() {
    trial::main(vec![
        trial::test("a_disk_without_room_for_the_output_keeps_what_was_there", || full("size=1m")),
        trial::test("a_disk_without_room_for_a_file_keeps_what_was_there", || full("size=8m,nr_inodes=2")),
        trial::test("an_output_is_written_where_there_is_no_proc", no_proc),
        trial::test("a_disk_without_room_for_a_key_has_none", no_room_for_a_key),
    ]);
}

fn full(options: &str) -> Result<(), Trouble> {
    let pack = tools::pack()?;
    let folder = tempfile::tempdir()?;
    let extra = Extra::whole(32 * MIB, 2 << 20, Content::Noise(1));
    fs::copy(probe::build(&Layout::at("full-disk", 16 * MIB).with(extra))?, folder.path().join("kernel"))?;
    fs::write(folder.path().join("yesterday"), b"the pack of yesterday")?;
    fs::create_dir(folder.path().join("disk"))?;
    let namespace = namespace(folder.path())?;

    let mut command = Command::new("unshare");
    command.args(namespace).args(["sh", "-uc", SCRIPT, "sh"]).arg(&pack).arg(options).current_dir(folder.path());
    let output = command.output()?;
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    check(output.status.success(), format!("{}\n{said}{errors}", output.status))?;
    check(said == "image: status 1\nnew: status 1\nimage\n", format!("found:\n{said}{errors}"))?;
    let line = |name: &str| {
        let why = "No space left on device (os error 28)";
        format!(
            "pack: error: {name}: cannot be written: {why}: make room on its file system, or name an output on another\n"
        )
    };
    check(errors == line("image") + &line("new"), format!("found:\n{errors}"))?;
    let written = fs::read(folder.path().join("written"))?;
    let image = pack::image::Image::parse(&written).map_err(|error| error.to_string())?;
    image.check().map_err(|error| error.to_string())?;
    Ok(())
}

/// What a script with `pack` as $1 says, and what it says of errors, in a folder with one called disk, where it may mount.
fn run(script: &str) -> Result<(String, String), Trouble> {
    let folder = tempfile::tempdir()?;
    fs::create_dir(folder.path().join("disk"))?;
    let namespace = namespace(folder.path())?;
    let mut command = Command::new("unshare");
    command.args(namespace).args(["sh", "-uc", script, "sh"]).arg(tools::pack()?).current_dir(folder.path());
    let output = command.output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((text(&output.stdout), text(&output.stderr)))
}

fn no_proc() -> Result<(), Trouble> {
    let (said, errors) = run(NO_PROC_SCRIPT)?;
    check(said == "new\n" && errors.is_empty(), format!("found:\n{said}{errors}"))
}

fn no_room_for_a_key() -> Result<(), Trouble> {
    let (said, errors) = run(KEY_SCRIPT)?;
    check(said == "status 1\ntaken\nkey\ntaken\nkey\ntaken\n", format!("found:\n{said}{errors}"))?;
    let no_room = "pack: error: key: cannot be written: No space left on device (os error 28)\n";
    let exists = "pack: error: key: is there already: a key is never replaced, name another file\n";
    check(errors == [no_room, exists].concat(), format!("found:\n{errors}"))
}

/// What has `unshare`, of util-linux, make a namespace in which file systems can be mounted.
fn namespace(folder: &Path) -> Result<&'static [&'static str], Trouble> {
    let ways: [&[&str]; 2] = [&["--user", "--map-root-user", "--mount"], &["--mount"]];
    let run = |way: &[&str]| -> std::io::Result<Output> {
        let mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "full", "disk"];
        Command::new("unshare").args(way).args(mount).current_dir(folder).output()
    };
    let mut why = String::new();
    for way in ways {
        match run(way) {
            Ok(output) if output.status.success() => return Ok(way),
            Ok(output) => why = String::from_utf8_lossy(&output.stderr).trim_end().to_owned(),
            Err(error) => why = format!("unshare: {error}"),
        }
    }
    Err(Missing::new("a file system of one's own (unshare of util-linux)", why).into())
}

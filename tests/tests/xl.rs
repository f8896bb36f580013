//! Files for xl as `pack xl` writes them, read by the toolstack's own parser.

use std::fs;

use fastrand::Rng;
use harness::cache;
use harness::trial::{self, Trouble, check};
use harness::xl::Reader;
use pack::domain::Kind;
use pack::xl::DomainFile;

const SETTINGS: [&str; 9] = ["name", "type", "kernel", "ramdisk", "extra", "memory", "vcpus", "disk", "vif"];
/// What may be in a string. xl's files have a meaning for most of these.
const CHARACTERS: [&str; 16] = ["a", "x", "0", "9", " ", "\t", "\"", "'", "\\", "#", ";", "=", "[", "]", "%", "\u{fc}"];
/// Files drawn.
const DRAWN: usize = 200;

fn main() {
    trial::main(vec![trial::test("the_toolstack_reads_what_pack_writes", drawn)]);
}

fn drawn() -> Result<(), Trouble> {
    let reader = Reader::get()?;
    let mut rng = Rng::with_seed(7);
    let folder = cache::target().join("xl");
    fs::create_dir_all(&folder)?;
    for _ in 0..DRAWN {
        let file = draw(&mut rng);
        let text = file.text().map_err(|error| error.to_string())?;
        let path = folder.join("drawn.cfg");
        fs::write(&path, &text)?;
        let list = |items: &[String]| (!items.is_empty()).then(|| items.join(","));
        let expected = vec![
            Some(file.name),
            Some(file.kind.word().to_owned()),
            Some(file.kernel.display().to_string()),
            file.ramdisk.map(|path| path.display().to_string()),
            Some(file.extra).filter(|extra| !extra.is_empty()),
            Some(file.memory_mib.to_string()),
            Some(file.vcpus.to_string()),
            list(&file.disks),
            list(&file.vifs),
        ];
        let found = reader.read(&path, &SETTINGS)?;
        check(found == expected, format!("{text}\nexpected {expected:?}\nfound    {found:?}"))?;
    }
    Ok(())
}

fn draw(rng: &mut Rng) -> DomainFile {
    let kind = rng.choice(Kind::ALL).unwrap_or(Kind::Pvh);
    let mut strings = |most: usize| -> Vec<String> {
        let count = rng.usize(..=most);
        (0..count).map(|_| (0..rng.usize(1..60)).filter_map(|_| rng.choice(CHARACTERS)).collect()).collect()
    };
    let extra = strings(1).concat();
    let (paths, disks, vifs) = (strings(1), strings(3), strings(2));
    DomainFile {
        ramdisk: paths.first().map(|path| format!("/{path}").into()),
        extra,
        vcpus: rng.u32(1..=64),
        disks,
        vifs,
        ..DomainFile::new("drawn-1", kind, format!("/boot/{}", paths.concat()), rng.u64(1..1 << 20))
    }
}

//! The documents: that what they point to is there, and that the worked examples are what comes of the corpus.

use std::fs;
use std::path::Path;

use harness::cache;
use harness::corpus::{self, Entry};
use harness::trial::{self, Trouble, check};
use shared::kernel::{Kernel, Protocol, SliceFile};
use shared::memory::Phys;

const README: &str = "README.md";
const ADDRESSES: &str = "docs/which-address.md";

fn main() {
    trial::main(vec![
        trial::test("every_link_leads_somewhere", links),
        trial::test("every_kernel_named_is_in_the_corpus", names),
        trial::test("the_readme_measures_what_the_bench_measured", measured),
        trial::test("the_worked_examples_come_of_the_corpus", examples),
    ])
}

fn read(name: &str) -> Result<String, Trouble> {
    Ok(fs::read_to_string(cache::workspace().join(name))?)
}

/// Links to files, and to a document's own headings.
fn links() -> Result<(), Trouble> {
    for name in [README, ADDRESSES] {
        let text = read(name)?;
        let path = cache::workspace().join(name);
        let folder = path.parent().unwrap_or(&path);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, heading) = link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
            // None is this page.
            let target = if file.is_empty() { path.clone() } else { folder.join(file) };
            let found = match heading {
                Some(heading) => headings(&target).iter().any(|known| known == heading),
                None => target.exists(),
            };
            check(found, format!("{name}: {link}"))?;
        }
    }
    Ok(())
}

/// The headings of a page, as links name them; none if there is no such page.
fn headings(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap_or_default();
    text.lines().filter_map(|line| line.strip_prefix('#')).map(anchor).collect()
}

/// A heading as a link names it.
fn anchor(heading: &str) -> String {
    heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-")
}

/// Words in backquotes that look like names of the corpus are.
fn names() -> Result<(), Trouble> {
    let (text, entries) = (read(ADDRESSES)?, corpus::corpus()?);
    let letters = |word: &str| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    let named = |word: &&str| word.contains('-') && word.starts_with(char::is_alphabetic) && letters(word);
    let words: Vec<&str> = text.split('`').skip(1).step_by(2).filter(named).collect();
    check(words.len() >= 10, format!("only {words:?}"))?;
    words.iter().try_for_each(|word| {
        let known = entries.iter().any(|entry| entry.name == **word);
        check(known, format!("{ADDRESSES}: {word} is not in the corpus"))
    })
}

/// Each line of the last table: a segment with that `p_paddr` goes to that place, and is mapped there.
fn examples() -> Result<(), Trouble> {
    let (text, entries) = (read(ADDRESSES)?, corpus::corpus()?);
    let table = text.split_once("## Worked examples").map_or("", |(_, rest)| rest);
    let rows = table.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let rows: Vec<Vec<&str>> = rows.skip(2).map(|row| row.split('|').map(str::trim).collect()).collect();
    check(rows.len() >= 9, format!("{} worked examples", rows.len()))?;
    for row in rows {
        let [_, kernel, paddr, _, offset, place, virt, _] = row[..] else {
            return Err(format!("{ADDRESSES}: a row of other columns: {row:?}").into());
        };
        let name = kernel.split('`').nth(1).unwrap_or_default();
        let entry = entries.iter().find(|entry| entry.name == name).ok_or_else(|| format!("no {name}"))?;
        let [paddr, offset, place] = [paddr, offset, place].map(number);
        let found = placed(entry, kernel.contains("by PVH"), paddr)?;
        let expected = (place, (virt != "none").then(|| number(virt)));
        check(
            found == expected && paddr.wrapping_sub(offset) == place,
            format!("{ADDRESSES}: {row:?}: found {found:x?}"),
        )?;
    }
    Ok(())
}

/// Where the segment with that `p_paddr` goes, and at which virtual address a PV kernel finds it.
fn placed(entry: &Entry, pvh: bool, paddr: u64) -> Result<(u64, Option<u64>), Trouble> {
    let (elf, decisions) = (entry.description.elf(), &entry.description.decisions);
    let kernel = Kernel::read(&mut SliceFile(&elf)).map_err(|error| error.to_string())?;
    let plan = if pvh { kernel.plan(Protocol::Pvh, decisions) } else { kernel.layout_pv(decisions) };
    let plan = plan.map_err(|error| format!("{}: {error}", entry.name))?;
    let index = kernel.segments.iter().position(|segment| segment.paddr == paddr);
    let placement = index.and_then(|index| plan.placements.get(index));
    let Some(Phys(place)) = placement.map(|placement| placement.memory.start()) else {
        return Err(format!("{}: no segment at {paddr:#x}", entry.name).into());
    };
    Ok((place, plan.pv.map(|pv| pv.virt_base.0 + place)))
}

/// The README's few figures are those of the page that the bench writes.
fn measured() -> Result<(), Trouble> {
    let (readme, page) = (read(README)?, read("docs/performance.md")?);
    let section = readme.split_once("## Measured").map_or("", |(_, rest)| rest);
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows = section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let rows: Vec<Vec<String>> = rows.skip(2).map(cells).collect();
    check(rows.len() >= 4, format!("{README}: {} rows", rows.len()))?;
    for row in rows {
        let found = page.lines().map(cells).find(|line| {
            line.len() > 7 && section.contains(line[1].as_str()) && !line[1].is_empty() && line[2] == row[1]
        });
        let found = found.ok_or_else(|| format!("no {} in the page on performance", row[1]))?;
        let millions: f64 = found[6].parse().map_err(|_| format!("{found:?}"))?;
        check(format!("{millions:.0}") == row[3] && found[3] == row[2], format!("{README}: {row:?}, page: {found:?}"))?;
    }
    Ok(())
}

/// A number in hexadecimal, or 0; what is none is no address.
fn number(text: &str) -> u64 {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).unwrap_or(u64::MAX),
        None => text.parse().unwrap_or(u64::MAX),
    }
}

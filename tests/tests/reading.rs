//! The reading of kernels: the corpus' stored plans, and Xen's own libelf on the corpus, on real kernels and on kernels
//! drawn at random.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;

use fastrand::Rng;
use harness::agreement::{self, Verdict};
use harness::cache;
use harness::corpus::{self, exceptional, generate};
use harness::kernels;
use harness::loading;
use harness::oracle::{Answer, Oracle, Question};
use harness::trial::{self, Trouble, check};
use pack::build::Request;
use pack::open;
use shared::kernel::{Class, Decisions, Kernel, Plan, Protocol, SliceFile};

/// Kernels drawn for each run.
const DRAWN: usize = 6000;
/// Bytes of a symbol table's first section header that libelf copies from memory that it never wrote.
const NULL_SECTION: usize = 4 + 64;

fn main() {
    trial::main(vec![
        trial::test("the_corpus_is_read_as_written_down", corpus_as_written),
        trial::test("pack_refuses_what_no_domain_starts_and_says_what_to_change", refused),
        trial::test("plans_keep_to_the_program_headers", plans_keep),
        trial::test("libelf_reads_the_corpus_alike", corpus_alike),
        trial::test("each_difference_from_libelf_is_as_stated", each_difference),
        trial::test("libelf_reads_real_kernels_alike", real_alike),
        trial::test("libelf_reads_drawn_kernels_alike", drawn_alike),
    ])
}

/// With `MSTRAP_BLESS=1`, what comes of each kernel is written down instead.
fn corpus_as_written() -> Result<(), Trouble> {
    let entries = corpus::corpus()?;
    check(entries.len() >= 20, format!("{} kernels in the corpus", entries.len()))?;
    for entry in entries {
        let found = corpus::render(&entry.description.elf(), &entry.description.decisions);
        if env::var_os("MSTRAP_BLESS").is_some() {
            std::fs::write(&entry.expected_at, &found)?;
            continue;
        }
        let message = format!("{}:\n--- expected\n{}\n--- found\n{found}", entry.name, entry.expected);
        check(found == entry.expected, message)?;
    }
    Ok(())
}

/// Kernels of the corpus that cannot be mapped as they ask, and all that `pack` says of them.
const REFUSED: [(&str, &str); 8] = [
    (
        "refused-shared-page",
        "kernel: segments 0 and 1 want different access to the page at 0x100000: link each at a page of its own, or give both the \
         same flags",
    ),
    ("refused-shared-address", "kernel: segments 0 and 1 want different memory at 0x100000: link them apart"),
    (
        "refused-incongruent",
        "kernel: segment 0: p_vaddr 0x100000 and place 0x200010 differ within a page: link it so that p_vaddr and p_paddr are the \
         same modulo 0x1000",
    ),
    (
        "refused-map-in-xen",
        "kernel: segment 1: p_vaddr 0xffff800000000000 is in Xen's own range: link it below 0xffff800000000000 or from \
         0xffff880000000000 on, or pack it without --map segments",
    ),
    ("refused-map-pvh", "kernel: --map segments has no meaning for PVH: pack it without"),
    (
        "refused-not-canonical",
        "kernel: segment 0: p_vaddr 0x800000000000 cannot be mapped: link it below 0x800000000000, or from 0xffff800000000000 \
         on: the processor has no other addresses",
    ),
    (
        "refused-beyond-32",
        "kernel: segment 1: p_vaddr 0xfffff000, place 0x200000, expected below 4 GiB (ELF32): link it below, or build an ELF64",
    ),
    (
        "refused-entry-data",
        "kernel: entry 0x200000 is in segment 1, which is not executable: correct its e_entry, or the segment's flags",
    ),
];

fn refused() -> Result<(), Trouble> {
    let entries = corpus::corpus()?;
    for (name, expected) in REFUSED {
        let entry = entries.iter().find(|entry| entry.name == name).ok_or_else(|| format!("no {name}"))?;
        let decisions = entry.description.decisions;
        let request = Request { decisions, ..Request::new(name, entry.description.elf()) };
        let found = request.build(&|_| ()).err().map(|error| error.to_string()).unwrap_or_default();
        check(found == expected, format!("{name}: found {found:?}"))?;
    }
    Ok(())
}

/// What an ELF library says a kernel's segments are, against the plans: every byte of memory is what the last segment that
/// covers it puts there, and none lies outside the areas.
fn plans_keep() -> Result<(), Trouble> {
    let mut rng = Rng::with_seed(1986);
    let mut planned = 0;
    for number in 0..DRAWN / 5 {
        let elf = generate::kernel(&mut rng);
        let Ok(kernel) = Kernel::read(&mut SliceFile(&elf)) else { continue };
        for protocol in [Protocol::Pvh, Protocol::Pv, Protocol::Direct] {
            let Ok(plan) = kernel.plan(protocol, &Decisions::default()) else { continue };
            let kept = agreement::keeps(&plan, &elf).map_err(|why| format!("kernel {number}, {protocol}: {why}"))?;
            planned += usize::from(kept);
        }
    }
    println!("{planned} plans kept to the program headers");
    check(planned > DRAWN / 20, format!("only {planned} plans"))
}

fn corpus_alike() -> Result<(), Trouble> {
    let entries = corpus::corpus()?;
    let files: Vec<(String, Vec<u8>)> =
        entries.into_iter().map(|entry| (entry.name, entry.description.elf())).collect();
    alike("corpus", &files, Loader::Stage0).map(drop)
}

fn each_difference() -> Result<(), Trouble> {
    let oracle = Oracle::get()?;
    for case in exceptional::all() {
        let answers = oracle.ask(&[Question { elf: &case.elf, pvh: case.pvh, load: false }])?;
        let verdict = answers.first().map(|answer| agreement::compare(&case.elf, case.pvh, answer));
        check(verdict == Some(Verdict::Exception(case.name)), format!("{}: {verdict:?}", case.name))?;
    }
    Ok(())
}

fn real_alike() -> Result<(), Trouble> {
    let mut paths: Vec<PathBuf> = kernels::all()?.into_iter().map(|kernel| kernel.vmlinuz).collect();
    paths.extend(kernels::of_xen()?);
    let mut files = Vec::new();
    for path in paths {
        let opened = open::open(&path).map_err(|error| Trouble::Failed(error.to_string()))?;
        files.push((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), opened.elf));
    }
    let counts = alike("real kernels", &files, Loader::Plain)?;
    check(counts.taken > files.len(), "fewer real kernels were taken by both than there are")
}

fn drawn_alike() -> Result<(), Trouble> {
    let seed = env::var("MSTRAP_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(2006);
    let mut rng = Rng::with_seed(seed);
    let files: Vec<(String, Vec<u8>)> =
        (0..DRAWN).map(|number| (format!("seed {seed}, kernel {number}"), generate::kernel(&mut rng))).collect();
    let counts = alike("drawn kernels", &files, Loader::Stage0)?;
    // Otherwise the generator draws nothing worth comparing.
    check(counts.taken >= DRAWN / 4, format!("only {} were taken by both", counts.taken))?;
    check(counts.loaded >= DRAWN / 5, format!("only {} were loaded by both", counts.loaded))
}

/// Whose memory is compared with libelf's.
#[derive(Clone, Copy)]
enum Loader {
    /// stage0's, out of a pack.
    Stage0,
    /// What the plan says, written down: quick enough for large kernels.
    Plain,
}

/// How kernels compared.
#[derive(Default)]
struct Counts {
    taken: usize,
    refused: usize,
    loaded: usize,
    exceptions: BTreeMap<&'static str, usize>,
    disagreements: Vec<String>,
}

/// Compares our reading of `files` with libelf's, for PV and for PVH, and what is loaded with what libelf loads. Prints
/// the counts; fails at any disagreement.
fn alike(what: &str, files: &[(String, Vec<u8>)], loader: Loader) -> Result<Counts, Trouble> {
    let oracle = Oracle::get()?;
    let mut counts = Counts::default();
    for some in files.chunks(64) {
        let both = |elf| [false, true].map(|pvh| Question { elf, pvh, load: true });
        let questions: Vec<Question<'_>> = some.iter().flat_map(|(_, elf)| both(&elf[..])).collect();
        let answers = oracle.ask(&questions)?;
        for ((question, answer), number) in questions.iter().zip(&answers).zip(0..) {
            let name = &some[number / 2].0;
            let before = counts.disagreements.len();
            counts.add(name, question, answer, loader);
            if counts.disagreements.len() > before {
                keep(name, question.elf)?;
            }
        }
    }
    println!(
        "{what}: {} read for PV and for PVH: both take {}, both refuse {}, {} loaded alike, {} disagreements",
        files.len(),
        counts.taken,
        counts.refused,
        counts.loaded,
        counts.disagreements.len()
    );
    for (name, count) in &counts.exceptions {
        println!("    {count:5} different on purpose: {name}");
    }
    check(
        counts.disagreements.is_empty(),
        counts.disagreements.iter().take(20).cloned().collect::<Vec<_>>().join("\n"),
    )?;
    Ok(counts)
}

/// Keeps a file on which the readings differ among the logs.
fn keep(name: &str, elf: &[u8]) -> Result<(), Trouble> {
    let name: String = name.chars().map(|letter| if letter.is_alphanumeric() { letter } else { '-' }).collect();
    std::fs::create_dir_all(cache::logs())?;
    std::fs::write(cache::logs().join(format!("reading-{name}.elf")), elf)?;
    Ok(())
}

impl Counts {
    fn add(&mut self, name: &str, question: &Question<'_>, answer: &Answer, loader: Loader) {
        let domain = if question.pvh { "PVH" } else { "PV" };
        match agreement::compare(question.elf, question.pvh, answer) {
            Verdict::BothTake => {
                self.taken += 1;
                self.compare_memory(&format!("{name}, {domain}"), question, answer, loader);
            }
            Verdict::BothRefuse => self.refused += 1,
            Verdict::Exception(exception) => *self.exceptions.entry(exception).or_default() += 1,
            Verdict::Disagreement(why) => self.disagreements.push(format!("{name}, {domain}: {why}")),
        }
    }

    /// Compares what is loaded, where libelf loads at all.
    fn compare_memory(&mut self, name: &str, question: &Question<'_>, answer: &Answer, loader: Loader) {
        let Some(plan) = agreement::plan(question.elf, question.pvh) else { return };
        if answer.memory.is_empty() {
            return;
        }
        if !answer.loaded() {
            let why = String::from_utf8_lossy(&answer.text("load_broken")).into_owned();
            self.disagreements.push(format!("{name}: libelf does not load it: {why}"));
            return;
        }
        if plan.symbols.is_some() && !plan.extent.start().is_aligned(8) {
            *self.exceptions.entry("symbols of a kernel that starts at no multiple of 8").or_default() += 1;
            return;
        }
        let mut theirs = answer.memory.clone();
        clear_null_section(&plan, &mut theirs);
        // libelf's memory begins at the kernel's first byte, ours at its page.
        let skip = (plan.extent.start().0 % 4096) as usize;
        let ours = match loader {
            Loader::Plain => Ok(agreement::memory(&plan, question.elf)),
            Loader::Stage0 => loading::load(question.elf, question.pvh),
        };
        let ours = match ours {
            Ok(ours) => ours,
            Err(why) => return self.disagreements.push(format!("{name}: stage0 does not load it: {why}")),
        };
        let len = (plan.extent.len() as usize).min(theirs.len());
        match ours.get(skip..skip + len) {
            Some(ours) if ours == &theirs[..len] => self.loaded += 1,
            Some(ours) => {
                let at = ours.iter().zip(&theirs).position(|(ours, theirs)| ours != theirs);
                self.disagreements.push(format!("{name}: memory differs at {at:x?}"));
            }
            None => self.disagreements.push(format!("{name}: our memory ends before libelf's")),
        }
    }
}

/// Clears the null section header before the symbols, which libelf never writes in its own copy.
fn clear_null_section(plan: &Plan, memory: &mut [u8]) {
    let Some(symbols) = &plan.symbols else { return };
    let start = (symbols.headers_at.start().0 - plan.extent.start().0) as usize + NULL_SECTION;
    let len = match plan.class {
        Class::Elf32 => 40,
        Class::Elf64 => 64,
    };
    if let Some(section) = memory.get_mut(start..start + len) {
        section.fill(0);
    }
}

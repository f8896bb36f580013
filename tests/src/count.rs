//! Counting a guest's instructions up to certain addresses: QEMU records a run, in which it counts them (`query-replay`), and a
//! breakpoint of its gdb server stops at each address. The counts depend neither on this machine nor on its load.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::Machine;
use crate::logs::{Logs, QMP, SERIAL, STDERR};
use crate::machine::{Files, option};
use crate::qemu::say;
use crate::tools::Qemu;

/// How long QEMU may take to make its socket, or to answer.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// What a counted run gave.
#[derive(Debug)]
pub struct Counted {
    /// Instructions from reset until each address was reached, in the order in which they were asked for.
    pub at: Vec<u64>,
    /// What came over the serial port until then.
    pub serial: String,
}

impl Machine {
    /// Runs the machine in plain QEMU until the last of `addresses` has been reached, all in turn: values of the instruction pointer,
    /// of which the first time counts.
    ///
    /// # Errors
    /// There is no QEMU ([`crate::Missing`]), or an address is not reached within the machine's limit.
    pub fn count(&self, addresses: &[u64]) -> Result<Counted> {
        let logs = Logs::new(&self.name)?;
        let folder = tempfile::tempdir()?;
        let (socket, record) = (folder.path().join("gdb"), folder.path().join("record"));
        let serial = logs.file(SERIAL);
        let initrd = self.initrd.as_deref();
        let files = Files { kernel: &self.kernel, initrd, serial: &serial, input: None, logs: logs.folder() };
        let mut command = Qemu::plain()?.command(self.limit.as_secs().max(1));
        command.args(self.qemu_arguments("tcg", &files)).args(["-qmp", "stdio", "-S"]);
        command.args(["-icount", &format!("shift=0,rr=record,rrfile={}", option(&record))]);
        command.args(["-chardev", &format!("socket,id=gdb,path={},server=on,wait=off", option(&socket))]);
        command.args(["-gdb", "chardev:gdb"]);
        logs.write("command", format!("{command:?}\n"))?;
        command.stdin(Stdio::piped()).stdout(logs.create(QMP)?).stderr(logs.create(STDERR)?);
        let mut child = command.spawn().context("cannot start QEMU by timeout(1)")?;
        say(&mut child, "qmp_capabilities");
        let counts = connected(&socket, self.limit).and_then(|gdb| counts(gdb, &mut child, &logs, addresses));
        say(&mut child, "quit");
        child.wait()?;
        let serial = logs.text(SERIAL);
        let at = counts.with_context(|| format!("{}: {}{serial}", self.name, logs.text(STDERR)))?;
        Ok(Counted { at, serial })
    }
}

fn counts(mut gdb: UnixStream, child: &mut Child, logs: &Logs, addresses: &[u64]) -> Result<Vec<u64>> {
    let mut counts = Vec::new();
    for address in addresses {
        ask(&mut gdb, &format!("Z1,{address:x},1"), "OK")?;
        ask(&mut gdb, "c", "T05").with_context(|| format!("{address:#x} is not reached"))?;
        ask(&mut gdb, &format!("z1,{address:x},1"), "OK")?;
        say(child, "query-replay");
        counts.push(answer(logs, counts.len())?);
    }
    Ok(counts)
}

/// The count in QMP's answer number `index`.
fn answer(logs: &Logs, index: usize) -> Result<u64> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let text = logs.text(QMP);
        let found = text.split("\"icount\": ").nth(index + 1).and_then(|rest| rest.split_once([',', '}']));
        if let Some((number, _)) = found {
            return number.trim().parse().with_context(|| format!("QMP says {number:?}"));
        }
        thread::sleep(POLL);
    }
    bail!("QMP does not answer: {}", logs.text(QMP))
}

fn connected(socket: &Path, limit: Duration) -> Result<UnixStream> {
    let start = Instant::now();
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => {
                stream.set_read_timeout(Some(limit))?;
                return Ok(stream);
            }
            Err(error) if start.elapsed() > PATIENCE => return Err(error).context("QEMU's gdb server"),
            Err(_) => thread::sleep(POLL),
        }
    }
}

/// Sends a packet of gdb's remote protocol; the answer must begin with `expected`.
fn ask(gdb: &mut UnixStream, packet: &str, expected: &str) -> Result<()> {
    let sum = packet.bytes().fold(0_u8, u8::wrapping_add);
    write!(gdb, "${packet}#{sum:02x}")?;
    let mut byte = [0];
    let mut text = String::new();
    while !text.contains('#') {
        gdb.read_exact(&mut byte)?;
        // What precedes a packet are acknowledgements.
        if byte[0] == b'$' || !text.is_empty() {
            text.push(char::from(byte[0]));
        }
    }
    gdb.read_exact(&mut [0; 2])?;
    gdb.write_all(b"+")?;
    ensure!(text[1..].starts_with(expected), "gdb's {packet}: {text}");
    Ok(())
}

//! What a person types, for the console of a guest.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::termios::{InputModes, LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// What ends a run, as it ends `xl console`: Ctrl-].
const LEAVE: u8 = 0x1d;

/// A way into a guest's console: a FIFO that whoever emulates the console reads.
#[derive(Debug, Clone)]
pub struct Input {
    fifo: PathBuf,
    /// Held open, so that a reader finds no end.
    writer: Arc<File>,
    left: Arc<AtomicBool>,
}

impl Input {
    /// Makes it, as a file in `folder`.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn new(folder: &Path) -> io::Result<Self> {
        let fifo = folder.join("input");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        // A FIFO that is opened for writing alone would wait for its reader.
        let writer = OpenOptions::new().read(true).write(true).open(&fifo)?;
        Ok(Self { fifo, writer: Arc::new(writer), left: Arc::default() })
    }

    /// Copies standard input to the guest until it ends or Ctrl-] is typed.
    pub fn copy_stdin(&self) {
        let input = self.clone();
        // It may wait for a key for ever, and ends with the process.
        thread::spawn(move || input.copy(&mut io::stdin().lock()));
    }

    fn copy(&self, from: &mut dyn Read) {
        let mut keys = [0; 256];
        while let Ok(count @ 1..) = from.read(&mut keys) {
            let keys = &keys[..count];
            let leaves = keys.iter().position(|key| *key == LEAVE).filter(|_| io::stdin().is_terminal());
            // A guest that is gone reads no more.
            let _gone = (&*self.writer).write_all(&keys[..leaves.unwrap_or(count)]);
            if leaves.is_some() {
                return self.left.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Whether Ctrl-] was typed.
    pub fn is_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }

    /// The file to read.
    pub(crate) fn fifo(&self) -> &Path {
        &self.fifo
    }
}

/// A terminal that passes on each key as it is typed, and shows none by itself; as it was before once this is dropped.
#[derive(Debug)]
pub struct RawTerminal {
    before: Option<Termios>,
}

impl RawTerminal {
    /// Standard input's; where that is no terminal, nothing is changed.
    ///
    /// # Errors
    /// The terminal refuses.
    pub fn new() -> io::Result<Self> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Ok(Self { before: None });
        }
        let before = tcgetattr(&stdin)?;
        let mut raw = before.clone();
        raw.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN;
        raw.input_modes -= InputModes::ICRNL | InputModes::IXON;
        tcsetattr(&stdin, OptionalActions::Now, &raw)?;
        Ok(Self { before: Some(before) })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // A terminal that is gone needs nothing any more.
            let _gone = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

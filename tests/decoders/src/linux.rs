//! What a process needs of Linux, without a C library: its beginning, five calls, its end.

use core::arch::{asm, naked_asm};
use core::ffi::{CStr, c_char};
use core::panic::PanicInfo;
use core::{ptr, slice};

// Numbers of calls and constants: Linux, arch/x86/entry/syscalls/syscall_64.tbl and include/uapi.
const WRITE: usize = 1;
const OPEN: usize = 2;
const LSEEK: usize = 8;
const MMAP: usize = 9;
const EXIT: usize = 60;
const CLOCK_GETTIME: usize = 228;
const SEEK_END: usize = 2;
const PROT_READ: usize = 1;
const PROT_WRITE: usize = 2;
const MAP_PRIVATE: usize = 2;
const MAP_ANONYMOUS: usize = 0x20;
const MAP_POPULATE: usize = 0x8000;
const CLOCK_PROCESS_CPUTIME_ID: usize = 2;
/// Results from here on are errors.
const ERRORS: usize = -4095_isize as usize;

/// Hands the stack as the process finds it to [`start`].
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!("mov rdi, rsp", "and rsp, -16", "call {}", sym start)
}

/// Runs the program with its arguments.
///
/// # Safety
/// `stack` is where a process' stack begins: the number of arguments, and the address of each.
unsafe extern "C" fn start(stack: *const usize) -> ! {
    // SAFETY: so the caller says.
    let count = unsafe { stack.read() };
    if count != 4 {
        end(Err("expected a decoder, a file and a number"));
    }
    let arguments = [2, 3, 4].map(|word| {
        // SAFETY: there are that many; each is a string that stays.
        unsafe { CStr::from_ptr(stack.add(word).cast::<*const c_char>().read()) }
    });
    end(crate::main(arguments))
}

/// A call of Linux.
///
/// # Safety
/// What `number` asks of its arguments.
unsafe fn call(number: usize, arguments: [usize; 6]) -> usize {
    let [a, b, c, d, e, f] = arguments;
    let result;
    // SAFETY: so the caller says; the call changes no other registers.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e,
            in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// The bytes of a file.
pub(crate) fn map(file: &CStr) -> Option<&'static [u8]> {
    // SAFETY: a path.
    let opened = unsafe { call(OPEN, [file.as_ptr().addr(), 0, 0, 0, 0, 0]) };
    if opened >= ERRORS {
        return None;
    }
    // SAFETY: asks how long the file is.
    let len = unsafe { call(LSEEK, [opened, 0, SEEK_END, 0, 0, 0]) };
    // SAFETY: a new mapping, where there is none.
    let address = unsafe { call(MMAP, [0, len, PROT_READ, MAP_PRIVATE | MAP_POPULATE, opened, 0]) };
    // SAFETY: mapped, and never unmapped.
    (len < ERRORS && address < ERRORS)
        .then(|| unsafe { slice::from_raw_parts(ptr::with_exposed_provenance(address), len) })
}

/// Memory of zeros that nobody else has.
pub(crate) fn memory(len: usize) -> Option<&'static mut [u8]> {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
    // SAFETY: a new mapping, where there is none.
    let address = unsafe { call(MMAP, [0, len, PROT_READ | PROT_WRITE, flags, usize::MAX, 0]) };
    // SAFETY: mapped, never unmapped, and nobody else knows of it.
    (address < ERRORS).then(|| unsafe { slice::from_raw_parts_mut(ptr::with_exposed_provenance_mut(address), len) })
}

/// What this process has used of its processor, nanoseconds.
pub(crate) fn processor_time() -> u64 {
    let mut time = [0u64; 2];
    // SAFETY: room for a `timespec`.
    unsafe { call(CLOCK_GETTIME, [CLOCK_PROCESS_CPUTIME_ID, (&raw mut time).expose_provenance(), 0, 0, 0, 0]) };
    time[0] * 1_000_000_000 + time[1]
}

fn print(text: &[u8]) {
    // SAFETY: these are bytes.
    unsafe { call(WRITE, [1, text.as_ptr().expose_provenance(), text.len(), 0, 0, 0]) };
}

/// Prints the result and ends the process.
fn end(result: Result<u64, &str>) -> ! {
    match result {
        Ok(mut number) => {
            let mut text = *b"                    \n";
            for digit in text[..20].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
            print(&text);
        }
        Err(message) => {
            print(message.as_bytes());
            print(b"\n");
        }
    }
    loop {
        // SAFETY: ends the process.
        unsafe { call(EXIT, [usize::from(result.is_err()), 0, 0, 0, 0, 0]) };
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    end(Err("a decoder panicked"))
}

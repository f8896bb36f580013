//! `pack`'s opening of a kernel file: each compression, boot images, and layers of them.

use pack::open;

use crate::said;

/// Bytes to which a file may decode here: enough for all that a decoder keeps, and quick.
const LIMIT: u64 = 4 << 20;

/// A kernel file.
pub fn run(data: &[u8]) {
    match open::open_bytes_within(data.to_vec(), LIMIT) {
        Ok(opened) => {
            assert!(opened.elf.len() as u64 <= LIMIT.max(data.len() as u64) && opened.layers.len() <= open::MAX_LAYERS);
            assert!(opened.elf.starts_with(b"\x7fELF"));
        }
        Err((layers, cause)) => {
            assert!(layers.len() <= open::MAX_LAYERS);
            said::note(&cause);
        }
    }
}

/// A small kernel in every compression and form, and the heads of real boot images.
pub fn seeds() -> Vec<Vec<u8>> {
    crate::seeds::compressed()
}

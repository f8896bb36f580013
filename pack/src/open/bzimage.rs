//! Linux' boot image for x86, as Documentation/arch/x86/boot.rst of Linux describes it.

use super::OpenCause;

/// The header fields used here, by their offset from the start of the file ("The Real-Mode Kernel Header").
mod field {
    /// u8: 512-byte sectors of setup code behind the boot sector.
    pub(super) const SETUP_SECTS: usize = 0x1f1;
    /// u16: 0xaa55.
    pub(super) const BOOT_FLAG: usize = 0x1fe;
    /// "HdrS".
    pub(super) const MAGIC: usize = 0x202;
    /// u16: version of the boot protocol, the major number in the high byte.
    pub(super) const PROTOCOL: usize = 0x206;
    /// u16: where the version string is, less 0x200.
    pub(super) const VERSION_STRING: usize = 0x20e;
    /// u32: where the payload is, from the start of the protected-mode code on.
    pub(super) const PAYLOAD_OFFSET: usize = 0x248;
    /// u32: bytes of the payload.
    pub(super) const PAYLOAD_LENGTH: usize = 0x24c;
}

const SECTOR: usize = 512;

/// The version of the boot protocol that brought the payload's place into the header (Linux 2.6.24).
const PROTOCOL_WITH_PAYLOAD: u16 = 0x0208;

/// A boot image that has been read.
pub(super) struct BzImage<'a> {
    /// What the image unpacks and starts: an ELF file, nearly always compressed.
    pub(super) payload: &'a [u8],
    bytes: &'a [u8],
}

impl<'a> BzImage<'a> {
    /// Whether `bytes` begin with Linux' setup header.
    pub(super) fn recognizes(bytes: &[u8]) -> bool {
        bytes.get(field::BOOT_FLAG..field::BOOT_FLAG + 2) == Some(&[0x55, 0xaa])
            && bytes.get(field::MAGIC..field::MAGIC + 4) == Some(b"HdrS")
    }

    /// Finds the payload.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, OpenCause> {
        let truncated = |needs: u64| OpenCause::TruncatedBzImage { needs, has: bytes.len() as u64 };
        let header_end = field::PAYLOAD_LENGTH + 4;
        if bytes.len() < header_end {
            return Err(truncated(header_end as u64));
        }
        let protocol = u16_at(bytes, field::PROTOCOL);
        if protocol < PROTOCOL_WITH_PAYLOAD {
            return Err(OpenCause::OldBzImage { major: (protocol >> 8) as u8, minor: protocol as u8 });
        }
        // 0 means 4: "For backwards compatibility, if the setup_sects field contains 0, the real value is 4".
        let setup_sects = match bytes[field::SETUP_SECTS] {
            0 => 4,
            sectors => usize::from(sectors),
        };
        let code = (1 + setup_sects) * SECTOR;
        // Sums of a u32 and less than 2^18 each: they cannot exceed 64 bits.
        let start = code as u64 + u64::from(u32_at(bytes, field::PAYLOAD_OFFSET));
        let end = start + u64::from(u32_at(bytes, field::PAYLOAD_LENGTH));
        if start == end {
            return Err(OpenCause::NoPayload);
        }
        let payload = usize::try_from(start)
            .ok()
            .zip(usize::try_from(end).ok())
            .and_then(|(start, end)| bytes.get(start..end))
            .ok_or_else(|| truncated(end))?;
        Ok(Self { payload, bytes })
    }

    /// Linux' release: the first word of the header's version string, if it has one.
    pub(super) fn version(&self) -> Option<String> {
        let at = match u16_at(self.bytes, field::VERSION_STRING) {
            0 => return None,
            offset => usize::from(offset) + SECTOR,
        };
        let text = self.bytes.get(at..)?;
        let word = text.split(|byte| !byte.is_ascii_graphic()).next()?;
        (!word.is_empty() && word.len() < SECTOR).then(|| String::from_utf8_lossy(word).into_owned())
    }
}

/// The number at `at`, 0 behind the end of `bytes`.
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |field| u16::from_le_bytes([field[0], field[1]]))
}

/// The number at `at`, 0 behind the end of `bytes`.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |field| u32::from_le_bytes([field[0], field[1], field[2], field[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A boot image of one setup sector with `payload` 16 bytes into its code.
    fn image(payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 2 * SECTOR + 16];
        bytes[field::SETUP_SECTS] = 1;
        bytes[field::BOOT_FLAG..][..2].copy_from_slice(&[0x55, 0xaa]);
        bytes[field::MAGIC..][..4].copy_from_slice(b"HdrS");
        bytes[field::PROTOCOL..][..2].copy_from_slice(&0x020fu16.to_le_bytes());
        bytes[field::VERSION_STRING..][..2].copy_from_slice(&0x100u16.to_le_bytes());
        bytes[0x300..][..12].copy_from_slice(b"6.12.1 (a@b)");
        bytes[field::PAYLOAD_OFFSET..][..4].copy_from_slice(&16u32.to_le_bytes());
        bytes[field::PAYLOAD_LENGTH..][..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn the_payload_is_where_the_header_says() {
        let bytes = image(b"payload");
        assert!(BzImage::recognizes(&bytes));
        let read = BzImage::read(&bytes).unwrap();
        assert_eq!(read.payload, b"payload");
        assert_eq!(read.version().as_deref(), Some("6.12.1"));
    }

    #[test]
    fn each_way_of_being_broken_has_its_own_error() {
        let whole = image(b"payload");
        let short = &whole[..whole.len() - 1];
        assert!(matches!(BzImage::read(short), Err(OpenCause::TruncatedBzImage { needs: 1047, has: 1046 })));
        assert!(matches!(BzImage::read(&whole[..0x210]), Err(OpenCause::TruncatedBzImage { needs: 0x250, .. })));
        assert!(matches!(BzImage::read(&image(b"")), Err(OpenCause::NoPayload)));
        let mut old = whole.clone();
        old[field::PROTOCOL] = 7;
        assert!(matches!(BzImage::read(&old), Err(OpenCause::OldBzImage { major: 2, minor: 7 })));
        let mut far = whole;
        far[field::PAYLOAD_OFFSET..][..8].fill(0xff);
        assert!(matches!(BzImage::read(&far), Err(OpenCause::TruncatedBzImage { .. })));
    }
}

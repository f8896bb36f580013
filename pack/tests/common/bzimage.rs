//! A boot image of Linux, around any payload.

/// A bzImage of one setup sector around `payload`, behind which lies the tail of the code, as in a real one.
pub(crate) fn bzimage(payload: &[u8]) -> Vec<u8> {
    let mut image = vec![0; 1024];
    image[..2].copy_from_slice(b"MZ");
    image[0x1f1] = 1;
    image[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x20fu16.to_le_bytes());
    image[0x20e..0x210].copy_from_slice(&0x80u16.to_le_bytes());
    image[0x280..0x290].copy_from_slice(b"6.0.0-boot (a@b)");
    image[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    image.extend_from_slice(payload);
    image.extend_from_slice(b"the code that unpacks it");
    image
}

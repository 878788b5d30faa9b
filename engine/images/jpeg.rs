//! The markers of a JPEG (ITU-T T.81, annex B).

/// Whether a JPEG reaches its end-of-image marker. Decoders fill up with grey what is missing before it.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    let mut at = 0;
    while let Some(found) = bytes.get(at..).and_then(|rest| rest.iter().position(|&byte| byte == 0xff)) {
        at += found + 1;
        match bytes.get(at) {
            // A fill byte before a marker.
            Some(0xff) => {}
            Some(0xd9) => return true,
            // An escaped 0xff of the pixels, or a marker without a segment.
            Some(0x00 | 0x01 | 0xd0..=0xd8) => at += 1,
            // A segment, such as Exif, which may have a thumbnail with an end of its own.
            Some(_) => match bytes.get(at + 1..at + 3) {
                Some(&[high, low]) => at += 1 + usize::from(u16::from_be_bytes([high, low])),
                _ => return false,
            },
            None => return false,
        }
    }
    false
}

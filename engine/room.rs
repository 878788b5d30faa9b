//! Whether a picture fits into memory, asked before the work and not found out by being killed.

use crate::models::VaeConfig;

/// Bytes of the decoder's activations at their peak, in f32.
///
/// The peak is at the last level, where the channels of the level below (upsampled, normalised and
/// convolved) and its own lie side by side: `3 c1 + 2 c0` numbers for each pixel. Measured on SD 1.5's
/// shape at 256 x 256 and 512 x 512, that is 10 to 20 % more than what is used.
pub fn decode_bytes(vae: &VaeConfig, width: u32, height: u32) -> u64 {
    let own = vae.block_out_channels[0];
    let below = vae.block_out_channels.get(1).copied().unwrap_or(own);
    u64::from(width) * u64::from(height) * (3 * below + 2 * own) as u64 * 4
}

/// Bytes of main memory that are free for us, where the system tells.
pub fn free_bytes() -> Option<u64> {
    let mut system = sysinfo::System::new().ok()?;
    system.refresh_memory();
    Some(system.available_memory()).filter(|&bytes| bytes > 0)
}

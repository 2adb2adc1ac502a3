//! CRC-32 (ISO 3309): whether bytes are still what was written.

/// What is counted over bytes as they come.
#[derive(Debug, Clone, Default)]
pub struct Checksum(crc32fast::Hasher);

impl Checksum {
    /// Counts these bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all that was counted.
    pub fn value(self) -> u32 {
        self.0.finalize()
    }

    /// The checksum of these parts in turn.
    pub fn of(parts: &[&[u8]]) -> u32 {
        let mut checksum = Self::default();
        parts.iter().for_each(|part| checksum.add(part));
        checksum.value()
    }
}

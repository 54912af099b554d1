//! The machine's physical memory, as a device sees it: copied from and to, never referred to.

/// Physical memory that the guest may change at any moment. An access that does not lie in memory
/// as a whole does nothing and returns None: addresses come from the guest.
pub trait GuestMemory: Send + Sync {
    /// Copies memory into `to`.
    fn read(&self, at: u32, to: &mut [u8]) -> Option<()>;

    /// Copies `from` into memory.
    fn write(&self, at: u32, from: &[u8]) -> Option<()>;

    /// Loads a 16-bit number at an even address; what the guest wrote before it is seen afterwards.
    fn load_u16(&self, at: u32) -> Option<u16>;

    /// Stores a 16-bit number at an even address; what was written before is seen by the guest
    /// first.
    fn store_u16(&self, at: u32, value: u16) -> Option<()>;
}

/// The chip's registers, however they are wired. A shared reference is enough: both halves of an exchange of frames hold one.
pub trait Registers {
    /// Reads the register `offset` bytes behind the first one. Reading a FIFO takes a word from it.
    fn read(&self, offset: u8) -> u32;

    /// Writes it. Writing a FIFO puts a word into it.
    fn write(&self, offset: u8, value: u32);

    /// Lets the chip's interrupt through, which its handler has masked.
    fn listen(&self);
}

pub(crate) const RX_DATA: u8 = 0x00;
pub(crate) const TX_DATA: u8 = 0x20;
pub(crate) const RX_STATUS: u8 = 0x40;
pub(crate) const RX_STATUS_PEEK: u8 = 0x44;
pub(crate) const TX_STATUS: u8 = 0x48;
pub(crate) const ID_REV: u8 = 0x50;
pub(crate) const IRQ_CFG: u8 = 0x54;
pub(crate) const INT_STS: u8 = 0x58;
pub(crate) const INT_EN: u8 = 0x5c;
pub(crate) const BYTE_TEST: u8 = 0x64;
pub(crate) const FIFO_INT: u8 = 0x68;
pub(crate) const RX_CFG: u8 = 0x6c;
pub(crate) const TX_CFG: u8 = 0x70;
pub(crate) const HW_CFG: u8 = 0x74;
pub(crate) const RX_FIFO_INF: u8 = 0x7c;
pub(crate) const TX_FIFO_INF: u8 = 0x80;
pub(crate) const PMT_CTRL: u8 = 0x84;
pub(crate) const MAC_CSR_CMD: u8 = 0xa4;
pub(crate) const MAC_CSR_DATA: u8 = 0xa8;
pub(crate) const AFC_CFG: u8 = 0xac;

/// Bits of `INT_STS` and `INT_EN`.
pub(crate) mod interrupt {
    /// Received frames wait.
    pub(crate) const RX_STATUS: u32 = 1 << 3;
    /// The transmit FIFO has the room that `FIFO_INT` asks for.
    pub(crate) const TX_ROOM: u32 = 1 << 9;
    /// The link changed.
    pub(crate) const PHY: u32 = 1 << 18;
}

/// Registers of the MAC, behind `MAC_CSR_CMD`, and their bits.
pub(crate) mod mac {
    pub(crate) const CR: u32 = 1;
    pub(crate) const ADDRH: u32 = 2;
    pub(crate) const ADDRL: u32 = 3;
    pub(crate) const MII_ACC: u32 = 6;
    pub(crate) const MII_DATA: u32 = 7;

    pub(crate) const RECEIVE: u32 = 1 << 2;
    pub(crate) const TRANSMIT: u32 = 1 << 3;
    pub(crate) const FULL_DUPLEX: u32 = 1 << 20;

    pub(crate) const MII_BUSY: u32 = 1;
    pub(crate) const MII_WRITE: u32 = 1 << 1;
    /// The PHY inside the chip is number 1.
    pub(crate) const PHY_ADDRESS: u32 = 1 << 11;
}

/// Registers of the PHY, behind the MAC's `MII_ACC`, and their bits (IEEE 802.3 clause 22, but for the interrupts).
pub(crate) mod phy {
    pub(crate) const CONTROL: u32 = 0;
    pub(crate) const STATUS: u32 = 1;
    pub(crate) const INTERRUPT_SOURCE: u32 = 29;
    pub(crate) const INTERRUPT_MASK: u32 = 30;

    /// Negotiates the speed, anew.
    pub(crate) const NEGOTIATE: u32 = 1 << 12 | 1 << 9;
    pub(crate) const LINK_UP: u32 = 1 << 2;
    pub(crate) const LINK_DOWN: u32 = 1 << 4;
    pub(crate) const NEGOTIATED: u32 = 1 << 6;
}

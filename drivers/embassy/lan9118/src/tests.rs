use core::cell::RefCell;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Waker};
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Wake;
use std::vec::Vec;
use std::{format, vec::IntoIter};

use embassy_net_driver::{Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_sync::waitqueue::AtomicWaker;

use super::register::{RX_DATA, RX_STATUS, TX_DATA};
use super::*;

const ADDRESS: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const FALLBACK: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// The chip in software, as far as the driver uses it.
#[derive(Debug, Default)]
struct Chip(RefCell<State>);

#[derive(Debug, Default)]
struct State {
    written: std::collections::HashMap<u8, u32>,
    mac: [u32; 13],
    phy: [u32; 32],
    received: VecDeque<(u32, Vec<u8>)>,
    reading: Vec<u8>,
    sending: Vec<u32>,
    sent: Vec<Vec<u8>>,
    statuses: u32,
    /// The transmit FIFO takes nothing.
    full: bool,
    listened: usize,
    id: u32,
    missing: bool,
    stuck: bool,
}

impl Chip {
    fn new() -> Self {
        let chip = Self::default();
        {
            let mut state = chip.0.borrow_mut();
            state.id = 0x0118_0001;
            state.mac[mac::ADDRL as usize] = u32::from_le_bytes([0x52, 0x54, 0, 0x12]);
            state.mac[mac::ADDRH as usize] = u32::from_le_bytes([0x34, 0x56, 0, 0]);
            state.phy[phy::STATUS as usize] = phy::LINK_UP;
        }
        chip
    }

    fn with(change: impl FnOnce(&mut State)) -> Self {
        let chip = Self::new();
        change(&mut chip.0.borrow_mut());
        chip
    }

    fn arrives(&self, status: u32, frame: &[u8]) {
        let bytes = [frame, &[0xfc; 4]].concat();
        self.0.borrow_mut().received.push_back((status | (bytes.len() as u32) << 16, bytes));
    }
}

impl Registers for &Chip {
    fn read(&self, offset: u8) -> u32 {
        let mut state = self.0.borrow_mut();
        match offset {
            RX_DATA => {
                let len = state.reading.len().min(4);
                assert!(len > 0, "read beyond the frame");
                let mut word = [0; 4];
                for (to, from) in word.iter_mut().zip(state.reading.drain(..len)) {
                    *to = from;
                }
                u32::from_le_bytes(word)
            }
            RX_STATUS => {
                assert!(state.reading.is_empty(), "the frame before was not read to its end");
                let (status, frame) = state.received.pop_front().expect("no frame waits");
                state.reading = frame;
                status
            }
            RX_STATUS_PEEK => state.received.front().expect("no frame waits").0,
            RX_FIFO_INF => (state.received.len() as u32) << 16,
            TX_FIFO_INF => state.statuses << 16 | if state.full { 100 } else { 4608 },
            TX_STATUS => {
                state.statuses -= 1;
                0
            }
            BYTE_TEST => {
                if state.missing {
                    0xffff_ffff
                } else {
                    TEST_PATTERN
                }
            }
            ID_REV => state.id,
            PMT_CTRL => u32::from(!state.stuck),
            HW_CFG => state.written.get(&HW_CFG).map_or(0, |value| value & !SOFT_RESET),
            _ => state.written.get(&offset).copied().unwrap_or_default(),
        }
    }

    fn write(&self, offset: u8, value: u32) {
        let mut state = self.0.borrow_mut();
        match offset {
            TX_DATA => {
                state.sending.push(value);
                let len = state.sending.get(1).copied().unwrap_or(u32::MAX) as usize;
                if state.sending.len() == 2 + len.div_ceil(4).min(1000) {
                    assert_eq!(state.sending[0], 3 << 12 | len as u32, "one buffer, first and last");
                    let bytes: Vec<u8> =
                        state.sending[2..].iter().flat_map(|word| word.to_le_bytes()).collect();
                    state.sent.push(bytes[..len].to_vec());
                    state.sending.clear();
                    state.statuses += 1;
                }
            }
            MAC_CSR_CMD => {
                let index = (value & 0xff) as usize;
                if value & CSR_READ != 0 {
                    let value = state.mac[index];
                    state.written.insert(MAC_CSR_DATA, value);
                } else {
                    state.mac[index] = state.written[&MAC_CSR_DATA];
                    if index == mac::MII_ACC as usize {
                        let access = state.mac[index];
                        assert_eq!(access & 0xf801, 0x0801, "the PHY inside");
                        let register = (access >> 6 & 31) as usize;
                        if access & mac::MII_WRITE != 0 {
                            state.phy[register] = state.mac[mac::MII_DATA as usize];
                        } else {
                            state.mac[mac::MII_DATA as usize] = state.phy[register];
                        }
                        state.mac[index] &= !mac::MII_BUSY;
                    }
                }
                state.written.insert(MAC_CSR_CMD, value & !CSR_BUSY);
            }
            INT_STS => {
                let left = state.written.get(&INT_STS).copied().unwrap_or_default() & !value;
                state.written.insert(INT_STS, left);
            }
            _ => {
                state.written.insert(offset, value);
            }
        }
    }

    fn listen(&self) {
        self.0.borrow_mut().listened += 1;
    }
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Runs `test` with a driver of the chip.
fn with_driver<T>(chip: &Chip, test: impl FnOnce(&mut Lan9118<'_, &Chip>) -> T) -> T {
    let (mut buffers, interrupt) = (Buffers::new(), AtomicWaker::new());
    test(&mut Lan9118::new(chip, &mut buffers, &interrupt, FALLBACK).unwrap())
}

fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn receive(driver: &mut Lan9118<'_, &Chip>) -> Option<Vec<u8>> {
    driver.receive(&mut cx()).map(|(receive, _)| receive.consume(|frame| frame.to_vec()))
}

fn frames() -> IntoIter<Vec<u8>> {
    [14, 15, 16, 17, 60, 590, 1513, MTU]
        .map(|len| (0..len).map(|at| (at * 7 + len) as u8).collect())
        .to_vec()
        .into_iter()
}

#[test]
fn frames_arrive_whole_in_order_and_without_their_checksum() {
    let chip = Chip::new();
    with_driver(&chip, |driver| {
        frames().for_each(|frame| chip.arrives(0, &frame));
        for frame in frames() {
            assert_eq!(receive(driver), Some(frame));
        }
        assert_eq!(receive(driver), None);
    });
}

#[test]
fn frames_leave_as_they_were_written() {
    let chip = Chip::new();
    with_driver(&chip, |driver| {
        for frame in frames() {
            let token = driver.transmit(&mut cx()).unwrap();
            token.consume(frame.len(), |buffer| buffer.copy_from_slice(&frame));
        }
    });
    let state = chip.0.borrow();
    assert_eq!(state.sent, frames().collect::<Vec<_>>());
    assert!(state.statuses <= 1, "statuses of sent frames are taken");
}

#[test]
fn an_answer_is_written_while_its_question_is_read() {
    let chip = Chip::new();
    with_driver(&chip, |driver| {
        chip.arrives(0, b"a question of some length");
        let (receive, transmit) = driver.receive(&mut cx()).unwrap();
        receive.consume(|question| {
            transmit.consume(question.len(), |answer| {
                answer.copy_from_slice(question);
                answer.reverse();
            });
        });
    });
    assert_eq!(chip.0.borrow().sent, [b"htgnel emos fo noitseuq a".to_vec()]);
}

#[test]
fn broken_and_oversized_frames_are_thrown_away_and_cost_nothing_behind_them() {
    let chip = Chip::new();
    with_driver(&chip, |driver| {
        chip.arrives(1 << 15, b"a frame with a wrong checksum");
        chip.arrives(0, &[1; 4000]);
        chip.arrives(0, b"a good frame");
        chip.arrives(1 << 15, b"again");
        assert_eq!(receive(driver).unwrap(), b"a good frame");
        assert_eq!(receive(driver), None);
    });
}

#[test]
fn nothing_is_taken_from_the_stack_while_the_chip_has_no_room() {
    let chip = Chip::new();
    with_driver(&chip, |driver| {
        chip.0.borrow_mut().full = true;
        chip.arrives(0, b"a question");
        assert!(driver.transmit(&mut cx()).is_none());
        assert!(driver.receive(&mut cx()).is_none(), "its answer would find no room");
        let enabled = chip.0.borrow().written[&INT_EN];
        assert_ne!(enabled & interrupt::TX_ROOM, 0, "room wakes the stack");
        chip.0.borrow_mut().full = false;
        assert_eq!(receive(driver).unwrap(), b"a question");
        assert_eq!(receive(driver), None);
        let enabled = chip.0.borrow().written[&INT_EN];
        assert_eq!(enabled & interrupt::TX_ROOM, 0, "or it would go on for ever");
    });
}

#[test]
fn an_empty_chip_wakes_the_stack_when_a_frame_comes() {
    let chip = Chip::new();
    let (mut buffers, line) = (Buffers::new(), AtomicWaker::new());
    let mut driver = Lan9118::new(&chip, &mut buffers, &line, FALLBACK).unwrap();
    let listened = chip.0.borrow().listened;
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    assert!(driver.receive(&mut Context::from_waker(&waker)).is_none());
    assert_eq!(chip.0.borrow().listened, listened + 1);
    // What the handler of the interrupt does.
    line.wake();
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
}

#[test]
fn the_link_goes_down_and_up() {
    let chip = Chip::new();
    with_driver(&chip, |driver| {
        for (status, expected) in [(0, LinkState::Down), (phy::LINK_UP, LinkState::Up)] {
            {
                let mut state = chip.0.borrow_mut();
                state.phy[phy::STATUS as usize] = status;
                state.written.insert(INT_STS, interrupt::PHY);
            }
            assert!(driver.link_state(&mut cx()) == expected);
            assert_eq!(chip.0.borrow().written[&INT_STS] & interrupt::PHY, 0);
        }
    });
}

#[test]
fn the_chip_is_set_up_to_talk_and_to_interrupt() {
    let chip = Chip::new();
    with_driver(&chip, |driver| {
        assert!(driver.hardware_address() == HardwareAddress::Ethernet(ADDRESS));
        assert_eq!(driver.capabilities().max_transmission_unit, MTU);
    });
    let state = chip.0.borrow();
    assert_eq!(state.mac[mac::CR as usize], 1 << 20 | 3 << 2);
    assert_eq!(state.written[&IRQ_CFG], 0x111);
    assert_eq!(state.written[&TX_CFG], TX_ON);
    assert_ne!(state.written[&HW_CFG] & STORE_AND_FORWARD, 0, "the data sheet demands it");
}

#[test]
fn a_chip_without_an_address_of_its_own_gets_one() {
    for stored in [[0; 6], [0xff; 6]] {
        let chip = Chip::with(|state| {
            state.mac[mac::ADDRL as usize] = u32::from_le_bytes([stored[0]; 4]);
            state.mac[mac::ADDRH as usize] = u32::from_le_bytes([stored[0]; 4]);
        });
        assert_eq!(with_driver(&chip, |driver| driver.address()), FALLBACK);
        let mac = chip.0.borrow().mac;
        assert_eq!(mac[mac::ADDRL as usize].to_le_bytes(), [2, 0, 0, 0]);
        assert_eq!(mac[mac::ADDRH as usize].to_le_bytes(), [0, 1, 0, 0]);
    }
}

#[test]
fn a_chip_that_is_missing_or_another_one_is_told_and_not_waited_for() {
    let failures = [
        (Chip::with(|state| state.missing = true), Error::NotFound { pattern: u32::MAX }),
        (Chip::with(|state| state.id = 0xdead_0001), Error::Unknown { id: 0xdead_0001 }),
        (Chip::with(|state| state.stuck = true), Error::Stuck { register: PMT_CTRL }),
    ];
    for (chip, expected) in failures {
        let (mut buffers, line) = (Buffers::new(), AtomicWaker::new());
        assert_eq!(Lan9118::new(&chip, &mut buffers, &line, FALLBACK).err(), Some(expected));
    }
    assert_eq!(
        format!("{}", Error::Stuck { register: 0x84 }),
        "the LAN9118 does not answer at register 0x84"
    );
}

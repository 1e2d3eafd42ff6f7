use super::*;
use crate::spdy::frame::{DATA_HEADER, StreamId};
use crate::spdy::{HeaderWriter, LentBlocks, SkipBlocks};
use crate::text::{any_text, text_of};
use proptest::prelude::*;
use std::boxed::Box;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, println, vec};

const RULES: HeaderRules = HeaderRules { headers: 8, forbid_host: true };

type Headers = Vec<(String, Vec<u8>)>;

/// Feeds one block in pieces of `piece` bytes.
fn read<B: HeaderBlocks>(
    blocks: &mut B,
    compressed: &[u8],
    piece: usize,
) -> Result<Headers, HeaderBlockError> {
    blocks.begin();
    for part in compressed.chunks(piece) {
        blocks.feed(part)?;
    }
    blocks.end(RULES)?;
    Ok(blocks.headers().iter().map(|(name, value)| (name.to_string(), value.to_vec())).collect())
}

/// Reads one block with a fresh inflater, in every size of pieces.
fn read_first(compressed: &[u8]) -> Result<Headers, HeaderBlockError> {
    let whole = read(&mut Inflate::<2048, 1024>::new(), compressed, compressed.len());
    for piece in 1..compressed.len() {
        assert_eq!(read(&mut Inflate::<2048, 1024>::new(), compressed, piece), whole, "pieces of {piece}");
    }
    whole
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16).unwrap() as u8;
    text.as_bytes().as_chunks().0.iter().map(|[high, low]| digit(*high) << 4 | digit(*low)).collect()
}

fn error_stream() -> Headers {
    vec![("streamtype".to_string(), b"error".to_vec())]
}

/// The header block `streamtype: error`, ended by zlib in different ways.
const ENDED_BY_SYNC_FLUSH: &str = "78f9e3c6a7c202a62346703a2b294a4dcc851625aca9a08006000000ffff";
const ENDED_BY_PARTIAL_FLUSH: &str = "78f9e3c6a7c202a62346703a2b294a4dcc851625aca9a0800608";
const ENDED_BY_BLOCK: &str = "78f9e3c6a7c202a62346703a2b294a4dcc851625aca9a08006";
const ENDED_BY_FINISH: &str = "78f9e3c6a7c203a62346703a2b294a4dcc851625aca9a0800600460a0689";
const STORED: &str = "783fe3c6a7c2001b00e4ff000000010000000a73747265616d74797065000000056572726f72000000ffff";
const WINDOW_OF_2_KIB: &str = "38eae3c6a7c202a62346703a2b294a4dcc851625aca9a08006000000ffff";
const WITHOUT_DICTIONARY: &str = "78da62606060646060e02a2e294a4dcc2da92c4805f258538b8af28b00000000ffff";

/// Covers: SPDY-2.6.10.1-1
#[test]
fn blocks_of_zlib_are_read_in_any_pieces() {
    for block in [ENDED_BY_SYNC_FLUSH, STORED, WINDOW_OF_2_KIB, WITHOUT_DICTIONARY] {
        assert_eq!(read_first(&unhex(block)), Ok(error_stream()), "{block}");
    }
}

#[test]
fn a_block_with_dynamic_huffman_codes_is_read_in_any_pieces() {
    let block = "78f9e3c6a7c224938109c4300c03e92619e09732bca08212435ffbf3921308b1e3b3904bea777465fb615f1fa0\
                 85050b01ab891b8d840511d555052696c01baf316758820b3ba7b3f48e007a21175f423d64c4de1a26004bbdef0ae4\
                 06ee549ce954cf1219a00cfcc04ed97e721d34b27538cb714f60dfe31a07b66feb173b0e2acd73d8afff62a74b5e94\
                 678d2d7566eb33830c9646daaafe34bdf9f8ae4df10f0000ffff";
    let value = "eeote eateee oieheoeeee aetieaoaaaeiaetitteiherteeaete teaaene teeteteeeateeeeo eeetedietoeeaet\
                 oeeeraeteteteeeiatonhaeeetateinaeteaeetteteeeeeeeeetiiaeeeaateseioaeetee etiieaeeoeeaaeeeeeteeiine\
                 eeteoieoeeeeeaeeteeeaoetaaioeaetaee eetaeeenearnee  ttttiteheetettotteioeeeatettaeatteeiieoioteoni\
                 ltaeototi";
    assert_eq!(read_first(&unhex(block)), Ok(vec![("a".to_string(), value.into())]));
}

#[test]
fn a_block_that_is_not_flushed_is_refused() {
    for block in [ENDED_BY_PARTIAL_FLUSH, ENDED_BY_BLOCK] {
        assert_eq!(read_first(&unhex(block)), Err(HeaderBlockError::NotFlushed), "{block}");
    }
    assert_eq!(read_first(&unhex(ENDED_BY_FINISH)), Err(HeaderBlockError::StreamEnded));
    let stored_without_the_empty_one = unhex(&STORED[..STORED.len() - 10]);
    assert_eq!(read_first(&stored_without_the_empty_one), Err(HeaderBlockError::NotFlushed));
    // A stored block of 65,535 bytes that happens to pause behind what looks like a sync flush.
    let unfinished = unhex("7820e3c6a7c200ffff0000000000010000000161000000040000ffff");
    assert_eq!(read_first(&unfinished), Err(HeaderBlockError::NotFlushed));
}

/// Covers: SPDY-2.6.10.1-1
#[test]
fn only_the_dictionary_of_spdy_is_accepted() {
    let mut block = unhex(STORED);
    block[5] ^= 1;
    assert_eq!(read_first(&block), Err(HeaderBlockError::Dictionary { id: 0xe3c6_a7c3 }));
}

#[test]
fn other_zlib_headers_are_refused() {
    // Wrong check bits, another method, a window of 64 KiB.
    for bytes in [[0x78, 0xda ^ 1], [0x79, 0xdb], [0x88, 0x1c]] {
        let block = [&bytes[..], &[0; 8]].concat();
        assert_eq!(read_first(&block), Err(HeaderBlockError::ZlibHeader { bytes }));
    }
}

/// Covers: SPDY-2.6.10-2
#[test]
fn a_header_bomb_is_cut_off_at_the_block_buffer() {
    let bomb =
        unhex("78f9e3c6a7c2ecd2310d000008c0b0a001b72840362082af4de660fb515c3b76760100000000ef060000ffff");
    assert_eq!(read_first(&bomb), Err(HeaderBlockError::InflatedTooLong { limit: 1024 }));
    let headers = vec![("a".to_string(), vec![b'z'; 5000])];
    assert!(read(&mut Inflate::<2048, 5013>::new(), &bomb, 9) == Ok(headers), "the block itself is good");
    let error = HeaderBlockError::InflatedTooLong { limit: 5012 };
    assert!(read(&mut Inflate::<2048, 5012>::new(), &bomb, 9) == Err(error));
}

/// Blocks of one connection; the last one refers 4,600 bytes back to the first.
const FAR_REFERENCE: [&str; 5] = [
    "78f9e3c6a7c214d24b1100200c03d1c151099f821c12a6fe25500eab605f3a2abf0fdb70bd2601d031693d674db8ce0e1e35c4d04a4cc\
     1baad49fdf2010000ffff",
    "8269063258ef548d8251300a46c128187600000000ffff",
    "4229e82b47c1281805a360140c3b00000000ffff",
    "4229e82b46c1281805a360140c3b00000000ffff",
    "a268dc07000000ffff",
];

fn read_far<const RING: usize>() -> Vec<Result<Headers, HeaderBlockError>> {
    let mut inflate = Inflate::<RING, 2048>::new();
    FAR_REFERENCE.iter().map(|block| read(&mut inflate, &unhex(block), 7)).collect()
}

#[test]
fn a_reference_beyond_a_small_window_is_refused_and_never_misread() {
    let whole = read_far::<32_768>();
    assert!(whole.iter().all(Result::is_ok));
    assert_eq!(whole[0], whole[4]);
    assert_eq!(read_far::<8192>(), whole);
    for small in [read_far::<2048>(), read_far::<4096>()] {
        assert_eq!(small[..4], whole[..4]);
        assert_eq!(small[4], Err(HeaderBlockError::Corrupt));
    }
}

#[test]
fn headers_are_gone_after_an_error() {
    let mut inflate = Inflate::<2048, 1024>::new();
    assert_eq!(read(&mut inflate, &unhex(STORED), 100), Ok(error_stream()));
    assert_eq!(read(&mut inflate, &unhex(STORED), 100), Err(HeaderBlockError::Corrupt), "a fresh context");
    assert_eq!(inflate.headers().iter().count(), 0);
}

#[test]
fn headers_stay_out_of_debug_output() {
    let mut inflate = Inflate::<2048, 1024>::new();
    assert_eq!(read(&mut inflate, &unhex(STORED), 100), Ok(error_stream()));
    assert_eq!(format!("{inflate:?}"), "Inflate { length: 27, .. }");
}

#[test]
fn skipping_readers_have_no_headers() {
    let garbage = [0xff; 20];
    assert_eq!(read(&mut SkipBlocks, &garbage, 3), Ok(vec![]));
    assert_eq!(read(&mut LentBlocks::<Box<Inflate>>(None), &garbage, 3), Ok(vec![]));
    let mut lent = LentBlocks(Some(Box::new(Inflate::<2048, 1024>::new())));
    assert_eq!(read(&mut lent, &unhex(STORED), 3), Ok(error_stream()));
    let mut lent = LentBlocks(Some(Box::new(Inflate::<2048, 1024>::new())));
    assert_eq!(read(&mut lent, &unhex(ENDED_BY_BLOCK), 3), Err(HeaderBlockError::NotFlushed));
}

#[test]
fn the_size_is_the_window_the_block_and_the_tables() {
    let sizes = [size_of::<Inflate>(), size_of::<Inflate<4096, 1024>>(), size_of::<Inflate<2048, 256>>()];
    println!("Inflate: {} bytes; 4 KiB window: {}; 2 KiB window: {}", sizes[0], sizes[1], sizes[2]);
    let tables = size_of::<DecompressorOxide>();
    assert!(sizes[0] <= 32_768 + 4096 + tables + 64);
    assert!(sizes[2] <= 2048 + 256 + tables + 64);
    assert!(tables <= 11 * 1024, "{tables}");
}

/// What a compressor may put into a block.
#[derive(Debug, Clone, Copy)]
enum Symbol {
    Literal(u8),
    Match { length: u16, distance: u16 },
}

/// Writes deflate blocks with fixed Huffman codes (RFC 1951 section 3.2.6).
#[derive(Default)]
struct Encoder {
    bytes: Vec<u8>,
    bits: u32,
}

impl Encoder {
    fn put(&mut self, value: u32, count: u32) {
        for bit in 0..count {
            if self.bits.is_multiple_of(8) {
                self.bytes.push(0);
            }
            *self.bytes.last_mut().unwrap() |= ((value >> bit & 1) as u8) << (self.bits % 8);
            self.bits += 1;
        }
    }

    fn code(&mut self, code: u32, count: u32) {
        self.put(code.reverse_bits() >> (32 - count), count);
    }

    fn literal_or_length(&mut self, symbol: u32) {
        match symbol {
            0..144 => self.code(0x30 + symbol, 8),
            144..256 => self.code(0x190 + symbol - 144, 9),
            256..280 => self.code(symbol - 256, 7),
            _ => self.code(0xc0 + symbol - 280, 8),
        }
    }

    fn symbol(&mut self, symbol: Symbol) {
        match symbol {
            Symbol::Literal(byte) => self.literal_or_length(byte.into()),
            Symbol::Match { length, distance } => {
                // Codes 257 to 284 have groups of 4 with 0, 0, 1, 2, ... extra bits; 285 is the longest.
                let (code, value, bits) = extra(u32::from(length) - 3, 4);
                if length == 258 {
                    self.literal_or_length(285);
                } else {
                    self.literal_or_length(257 + code);
                    self.put(value, bits);
                }
                let (code, value, bits) = extra(u32::from(distance) - 1, 2);
                self.code(code, 5);
                self.put(value, bits);
            }
        }
    }

    /// One header block: one deflate block with fixed codes and a sync flush.
    fn block(&mut self, plain: &[u8], symbols: &[Symbol]) {
        self.put(0b010, 3);
        for symbol in plain.iter().copied().map(Symbol::Literal).chain(symbols.iter().copied()) {
            self.symbol(symbol);
        }
        self.literal_or_length(256);
        self.put(0, 3);
        self.put(0, (8 - self.bits % 8) % 8);
        self.put(0xffff_0000, 32);
    }
}

/// The code, extra value and extra bits of a length or distance, in groups of `group` codes.
fn extra(value: u32, group: u32) -> (u32, u32, u32) {
    if value < 2 * group {
        return (value, 0, 0);
    }
    let bits = value.ilog2() - group.ilog2();
    (bits * group + (value >> bits), value & ((1 << bits) - 1), bits)
}

/// What the symbols mean for a reader with this window and room for one block.
fn expand(
    history: &mut Vec<u8>,
    symbols: &[Symbol],
    window: usize,
    room: usize,
) -> Result<Vec<u8>, HeaderBlockError> {
    let start = history.len();
    for symbol in symbols {
        match *symbol {
            Symbol::Literal(byte) => history.push(byte),
            Symbol::Match { length, distance } => {
                let distance = usize::from(distance);
                if distance > window || distance > history.len() {
                    return Err(HeaderBlockError::Corrupt);
                }
                for _ in 0..length {
                    history.push(history[history.len() - distance]);
                }
            }
        }
        if history.len() - start > room {
            return Err(HeaderBlockError::InflatedTooLong { limit: 1024 });
        }
    }
    Ok(history[start..].to_vec())
}

fn symbol() -> impl Strategy<Value = Symbol> {
    let distance = prop_oneof![4 => 1..=2048_u16, 1 => 1..=32_768_u16, 1 => Just(2048), 1 => 1..=8_u16];
    prop_oneof![
        1 => any::<u8>().prop_map(Symbol::Literal),
        1 => (3..=258_u16, distance).prop_map(|(length, distance)| Symbol::Match { length, distance }),
    ]
}

fn agrees<const RING: usize>(blocks: &[Vec<Symbol>], piece: usize) -> Result<(), TestCaseError> {
    let mut inflate = Inflate::<RING, 1024>::new();
    let mut history = DICTIONARY.to_vec();
    let mut encoder = Encoder { bytes: vec![0x78, 0x20, 0xe3, 0xc6, 0xa7, 0xc2], bits: 0 };
    for symbols in blocks {
        let length: usize = symbols
            .iter()
            .map(|symbol| match symbol {
                Symbol::Literal(_) => 1,
                Symbol::Match { length, .. } => usize::from(*length),
            })
            .sum();
        let plain = [&b"\0\0\0\x01\0\0\0\x01a"[..], &(length as u32).to_be_bytes()].concat();
        encoder.block(&plain, symbols);
        history.extend(&plain);
        let expected = expand(&mut history, symbols, RING, 1024 - plain.len());
        let expected = expected.map(|value| vec![("a".to_string(), value)]);
        let found = read(&mut inflate, &core::mem::take(&mut encoder.bytes), piece);
        prop_assert_eq!(&found, &expected);
        if found.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Found by `arbitrary_blocks_never_panic`: the block before the last inflates to more than there is room for, in the middle of a
/// reference.
#[test]
fn behind_a_block_that_cannot_be_inflated_every_block_is_an_error() {
    let mut inflate = Inflate::<2048, 256>::new();
    inflate.feed(&[0x78, 0x20, 0xe3, 0xc6, 0xa7, 0xc2]).unwrap();
    assert!(read(&mut inflate, &[106, 56, 48, 97, 193], 7).is_err());
    let too_long = [1, 131, 67, 5, 73, 4, 24, 5, 19, 22, 76, 40, 24, 110, 176, 128, 206, 149, 64];
    assert!(read(&mut inflate, &too_long, 7).is_err());
    assert_eq!(read(&mut inflate, &[0], 7), Err(HeaderBlockError::Corrupt));
    assert_eq!(read(&mut inflate, &unhex(ENDED_BY_SYNC_FLUSH), 7), Err(HeaderBlockError::Corrupt));
}

proptest! {
    #[test]
    fn any_symbols_mean_what_the_standard_says(
        blocks in prop::collection::vec(prop::collection::vec(symbol(), 0..12), 1..12),
        piece in 1_usize..40,
    ) {
        agrees::<2048>(&blocks, piece)?;
        agrees::<4096>(&blocks, piece)?;
        agrees::<32_768>(&blocks, piece)?;
    }

    /// Covers: SPDY-2.6.10.1-1
    #[test]
    fn what_the_writer_writes_is_what_the_inflater_reads(
        frames in prop::collection::vec(prop::collection::vec((text_of("aehnost-", 0..12), any_text()), 0..5), 1..30),
        piece in 1_usize..80,
    ) {
        let forbidden = ["connection", "host", "keep-alive"];
        let mut writer = HeaderWriter::new();
        let mut inflate = Inflate::<2048, 1024>::new();
        for headers in frames {
            let headers: Vec<_> = headers.iter().filter(|(name, _)| !forbidden.contains(&name.as_str()))
                .map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let mut frame = [0; 2048];
            let length = writer.syn_stream(StreamId::MAX, false, &headers, &mut frame).unwrap();
            let found = read(&mut inflate, &frame[DATA_HEADER + 10..length], piece);
            let expected: Headers = headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
            prop_assert_eq!(found, Ok(expected));
        }
    }

    #[test]
    fn arbitrary_blocks_never_panic(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..4), zlib: bool, piece in 1_usize..30) {
        let mut inflate = Inflate::<2048, 256>::new();
        if zlib {
            inflate.feed(&[0x78, 0x20, 0xe3, 0xc6, 0xa7, 0xc2]).unwrap();
        }
        for block in blocks {
            let _ = read(&mut inflate, &block, piece);
        }
    }
}

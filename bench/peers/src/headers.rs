use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};
use strait::spdy::{self, HeaderBlocks as _, HeaderRules};

use crate::{Inflate, Peer};

/// Who reads the header blocks of a connection.
pub const HEADERS: [Peer<Inflate>; 3] = [
    Peer { name: "strait", run: strait },
    Peer { name: "miniz_oxide", run: miniz },
    Peer { name: "flate2 with zlib-rs", run: flate },
];

const DICTIONARY: &[u8] = include_bytes!("../../../engine/src/spdy/dictionary.bin");

/// CMF, FLG and the id of the dictionary, in front of the first block.
const ZLIB_HEADER: usize = 6;

/// The openings of a port-forward of some connections, as a Go client compresses them: one stream of zlib, flushed behind each.
pub(crate) fn blocks() -> Vec<Vec<u8>> {
    let mut zlib = Compress::new(Compression::best(), true);
    zlib.set_dictionary(DICTIONARY).expect("a dictionary");
    let opening = |request: usize| {
        ["error", "data"].map(|kind| {
            [("streamtype", kind), ("port", "8080"), ("requestid", &request.to_string())].map(text).concat()
        })
    };
    let mut block = |headers: Vec<u8>| {
        let plain = [&[0, 0, 0, 3], &*headers].concat();
        let mut block = Vec::with_capacity(512);
        zlib.compress_vec(&plain, &mut block, FlushCompress::Sync).expect("room");
        block
    };
    (0..16).flat_map(opening).map(&mut block).collect()
}

fn text((name, value): (&str, &str)) -> Vec<u8> {
    let length = |text: &str| (text.len() as u32).to_be_bytes();
    [&length(name)[..], name.as_bytes(), &length(value), value.as_bytes()].concat()
}

fn strait(blocks: &[Vec<u8>]) -> usize {
    let mut inflate = spdy::Inflate::<32_768, 1024>::new();
    let rules = HeaderRules { headers: 16, forbid_host: false };
    let mut inflated = 0;
    for block in blocks {
        inflate.begin();
        inflate.feed(block).expect("a good block");
        inflate.end(rules).expect("good headers");
        inflated +=
            4 + inflate.headers().iter().map(|(name, value)| 8 + name.len() + value.len()).sum::<usize>();
    }
    inflated
}

/// No more than the inflating: nothing is taken out of the ring and looked at.
fn miniz(blocks: &[Vec<u8>]) -> usize {
    let (mut deflate, mut ring) = (DecompressorOxide::new(), vec![0; 32_768]);
    ring[..DICTIONARY.len()].copy_from_slice(DICTIONARY);
    let (mut position, mut skipped) = (DICTIONARY.len(), ZLIB_HEADER);
    for block in blocks {
        let flags = inflate_flags::TINFL_FLAG_HAS_MORE_INPUT
            | inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let (_, _, written) =
            decompress(&mut deflate, &block[std::mem::take(&mut skipped)..], &mut ring, position, flags);
        position += written;
    }
    position - DICTIONARY.len()
}

/// Likewise.
fn flate(blocks: &[Vec<u8>]) -> usize {
    let (mut inflate, mut out) = (Decompress::new(true), [0; 1024]);
    for block in blocks {
        if inflate.decompress(block, &mut out, FlushDecompress::Sync).is_err() {
            inflate.set_dictionary(DICTIONARY).expect("it has asked for it");
            inflate.decompress(&block[ZLIB_HEADER..], &mut out, FlushDecompress::Sync).expect("a good block");
        }
    }
    inflate.total_out() as usize
}

use flate2::{Decompress, FlushDecompress, Status};
use strait::spdy::{HeaderBlockError, HeaderBlocks as _, HeaderRules, Inflate};

use crate::pieces::Cuts;

/// Bytes that one block may inflate to, as in a gateway.
const BLOCK: usize = 4096;
const HEADERS: u32 = 64;
/// No block of a corpus inflates to more; what does is too long for the engine anyway.
const MOST: usize = 1 << 20;

/// The header blocks of one direction, each behind its length (u16, little-endian), to the engine and to `flate2`: both get the
/// same headers out of them, and refuse the same.
///
/// | difference | why |
/// |---|---|
/// | the engine refuses a block that inflates to more than 4096 bytes, or that does not end with a sync flush | its buffer; each block must be whole |
/// | it refuses the end of the stream | what follows could not be read; `flate2` also compares a checksum |
/// | it refuses at once what `flate2` refuses when more bytes are there | it looks less far ahead |
/// | it takes dynamic blocks without a code for their own end | they cannot end, so the block is refused for that |
///
/// # Panics
/// If they differ in another way.
pub fn inflate_differential(data: &[u8]) {
    let &[cuts, ref blocks @ ..] = data else { return };
    let mut ours = Inflate::<32_768, BLOCK>::new();
    let mut theirs = Theirs::new();
    let mut rest = blocks;
    while let Some((length, behind)) = rest.split_first_chunk() {
        let (block, behind) = behind.split_at(usize::from(u16::from_le_bytes(*length)).min(behind.len()));
        rest = behind;
        let our_result = feed(&mut ours, block, &mut Cuts::new(cuts));
        let their_result = theirs.inflate(block);
        if our_result == Err(HeaderBlockError::Corrupt) && matches!(their_result, Inflated::All(_)) {
            // It has not seen it yet; a whole table of code lengths has not come.
            let later = theirs.inflate(&[0; 512]);
            assert!(matches!(later, Inflated::Refused(_)), "only the engine refuses: {later:?}");
            return;
        }
        let headers = ours.headers();
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
        if !compare(our_result, &their_result, &headers) {
            return;
        }
    }
}

/// True if the block is good, and the next one may follow.
fn compare(ours: Result<(), HeaderBlockError>, theirs: &Inflated, headers: &[(String, Vec<u8>)]) -> bool {
    match (ours, theirs) {
        (Ok(()), Inflated::All(bytes)) => {
            assert_eq!(read(bytes).as_deref(), Ok(headers));
            return true;
        }
        (Ok(()), other) => panic!("only the engine takes it: {other:?}"),
        (Err(error @ HeaderBlockError::InflatedTooLong { .. }), Inflated::All(bytes)) => {
            assert!(bytes.len() > BLOCK, "{error}: {} bytes", bytes.len());
        }
        (Err(HeaderBlockError::NotFlushed | HeaderBlockError::StreamEnded), _)
        | (Err(_), Inflated::Ended | Inflated::Refused(_)) => {}
        (Err(error), Inflated::All(bytes)) => {
            let theirs = read(bytes);
            assert!(theirs.is_err(), "only the engine refuses {theirs:?}: {error}");
        }
    }
    false
}

fn feed(ours: &mut Inflate<32_768, BLOCK>, block: &[u8], cuts: &mut Cuts) -> Result<(), HeaderBlockError> {
    ours.begin();
    let mut from = 0;
    while from < block.len() {
        let to = cuts.end(from, block.len());
        ours.feed(&block[from..to])?;
        from = to;
    }
    ours.end(HeaderRules { headers: HEADERS, forbid_host: false })
}

struct Theirs(Decompress);

#[derive(Debug)]
#[expect(dead_code, reason = "shown")]
enum Inflated {
    /// All that the block holds, as far as it goes.
    All(Vec<u8>),
    Ended,
    Refused(String),
}

impl Theirs {
    fn new() -> Self {
        Self(Decompress::new(true))
    }

    fn inflate(&mut self, block: &[u8]) -> Inflated {
        let mut all = vec![];
        let mut rest = block;
        loop {
            let mut out = vec![0; 8192];
            let before = (self.0.total_in(), self.0.total_out());
            let status = match self.0.decompress(rest, &mut out, FlushDecompress::Sync) {
                Err(error) => match error.needs_dictionary() {
                    Some(_) if self.0.set_dictionary(DICTIONARY).is_ok() => Status::Ok,
                    Some(id) => return Inflated::Refused(format!("dictionary {id:#x}")),
                    None => return Inflated::Refused(error.to_string()),
                },
                Ok(status) => status,
            };
            let read = (self.0.total_in() - before.0) as usize;
            let written = (self.0.total_out() - before.1) as usize;
            rest = &rest[read..];
            all.extend_from_slice(&out[..written]);
            match status {
                Status::StreamEnd => return Inflated::Ended,
                _ if all.len() > MOST => return Inflated::All(all),
                _ if rest.is_empty() && written < out.len() => return Inflated::All(all),
                _ => {}
            }
        }
    }
}

/// The dictionary of SPDY/3, as the draft prints it.
const DICTIONARY: &[u8] = include_bytes!("../../tests/spdyspec/src/dictionary.bin");

/// The headers of an inflated block: count, then names and values, each behind its length (SPDY/3.1 draft section 2.6.10).
fn read(mut block: &[u8]) -> Result<Vec<(String, Vec<u8>)>, &'static str> {
    let number = |block: &mut &[u8]| {
        let (number, rest) = block.split_first_chunk().ok_or("cut off")?;
        *block = rest;
        Ok(u32::from_be_bytes(*number))
    };
    let text = |block: &mut &[u8]| {
        let length = number(block)? as usize;
        let (text, rest) = block.split_at_checked(length).ok_or("cut off")?;
        *block = rest;
        Ok(text.to_vec())
    };
    let count = number(&mut block)?;
    if count > HEADERS {
        return Err("too many headers");
    }
    let mut headers = vec![];
    for _ in 0..count {
        let name = text(&mut block)?;
        let name = String::from_utf8(name).map_err(|_| "a name that is not ASCII")?;
        if !name.is_ascii() || name.contains(char::is_uppercase) {
            return Err("a name that is not in lower-case ASCII");
        }
        if ["connection", "keep-alive", "proxy-connection", "transfer-encoding"].contains(&&name[..]) {
            return Err("a forbidden name");
        }
        headers.push((name, text(&mut block)?));
    }
    if block.is_empty() { Ok(headers) } else { Err("bytes behind the last header") }
}

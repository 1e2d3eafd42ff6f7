use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::string::ToString;
use std::vec::Vec;

const ERROR: PortStream = PortStream::Error;
const DATA: PortStream = PortStream::Data;
const COMPLETION: Duration = Duration::from_secs(30);

fn parse(id: u32, headers: &[(&str, &str)]) -> Result<StreamRequest, InvalidStream> {
    StreamRequest::parse(id, |name| {
        headers.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_bytes())
    })
}

const fn asked(stream: PortStream, request: u64) -> StreamRequest {
    StreamRequest { stream, port: 80, request }
}

const fn at(seconds: u64) -> Instant {
    Instant::from_millis(seconds * 1000)
}

fn table() -> PairTable<4> {
    PairTable::new(COMPLETION)
}

#[test]
fn headers_say_port_stream_and_pair() {
    for (stream_type, stream) in [("error", ERROR), ("data", DATA)] {
        let headers = [("requestid", "17"), ("port", "8080"), ("streamtype", stream_type)];
        assert_eq!(parse(5, &headers), Ok(StreamRequest { stream, port: 8080, request: 17 }));
    }
}

#[test]
fn every_header_is_checked() {
    let all = [("port", "80"), ("streamtype", "data"), ("requestid", "0")];
    let with = |index: usize, value| {
        let mut headers = all;
        headers[index].1 = value;
        parse(1, &headers).map(|_| ())
    };
    for port in ["", "0", "65536", "-1", "+80", "80 ", "http", "99999999999999999999"] {
        assert_eq!(with(0, port), Err(InvalidStream::Port), "{port}");
    }
    for stream_type in ["", "Data", "stdin", "error\0data"] {
        assert_eq!(with(1, stream_type), Err(InvalidStream::StreamType), "{stream_type}");
    }
    for request in ["x", "-1", "18446744073709551616"] {
        assert_eq!(with(2, request), Err(InvalidStream::RequestId), "{request}");
    }
    assert_eq!(with(2, "18446744073709551615"), Ok(()));
    assert_eq!(parse(1, &all[1..]), Err(InvalidStream::NoPort));
    assert_eq!(parse(1, &[all[0], all[2]]), Err(InvalidStream::NoStreamType));
}

/// Covers: K8S-FORWARD-1
#[test]
fn old_clients_pair_an_error_stream_with_the_next_stream() {
    let error = parse(7, &[("port", "80"), ("streamtype", "error")]).unwrap();
    let data = parse(9, &[("port", "80"), ("streamtype", "data"), ("requestid", "")]).unwrap();
    assert_eq!((error.request, data.request), (7, 7));
    let mut table = table();
    assert_eq!(table.add(7, error, at(0)), Added::Waiting);
    assert_eq!(table.add(9, data, at(0)), Added::Complete(Pair { request: 7, port: 80, error: 7, data: 9 }));
    assert!(parse(1, &[("port", "80"), ("streamtype", "data")]).is_ok(), "no stream is before it");
}

/// Covers: K8S-FORWARD-1
#[test]
fn a_pair_is_complete_in_either_order_and_takes_the_port_of_its_data_stream() {
    let mut table = table();
    let data = StreamRequest { port: 81, ..asked(DATA, 0) };
    assert_eq!(table.add(1, asked(ERROR, 0), at(0)), Added::Waiting);
    assert_eq!(table.add(3, data, at(0)), Added::Complete(Pair { request: 0, port: 81, error: 1, data: 3 }));
    assert_eq!(table.add(5, data, at(0)), Added::Waiting);
    let complete = Pair { request: 0, port: 81, error: 7, data: 5 };
    assert_eq!(table.add(7, asked(ERROR, 0), at(0)), Added::Complete(complete));
    assert_eq!(table.deadline(), None);
}

#[test]
fn a_second_stream_of_a_type_leaves_the_pair_as_it_was() {
    let mut table = table();
    table.add(1, asked(ERROR, 0), at(0));
    assert_eq!(table.add(3, asked(ERROR, 0), at(1)), Added::Duplicate { error: Some(1) });
    assert!(matches!(table.add(5, asked(DATA, 0), at(2)), Added::Complete(Pair { error: 1, data: 5, .. })));
    table.add(7, asked(DATA, 1), at(3));
    assert_eq!(table.add(9, asked(DATA, 1), at(4)), Added::Duplicate { error: None });
}

#[test]
fn pairs_that_are_not_completed_expire_one_by_one() {
    let mut table = table();
    table.add(1, asked(ERROR, 0), at(0));
    table.add(3, asked(DATA, 1), at(5));
    table.add(5, asked(ERROR, 2), at(2));
    table.forget(5);
    assert_eq!(table.deadline(), Some(at(30)));
    assert_eq!(table.expired(Instant::from_millis(29_999)), None);
    let expired = table.expired(at(40)).unwrap();
    assert_eq!((expired.request, expired.stream, expired.id), (0, ERROR, 1));
    assert_eq!(table.deadline(), Some(at(35)));
    assert_eq!(table.expired(at(40)).map(|half| half.id), Some(3));
    assert_eq!(table.expired(at(40)), None);
    assert_eq!(table.add(7, asked(DATA, 0), at(41)), Added::Waiting, "the old one is forgotten");
}

#[test]
fn there_is_room_for_so_many_pairs() {
    let mut table = table();
    for request in 0..4 {
        assert_eq!(table.add(request, asked(ERROR, request.into()), at(0)), Added::Waiting);
    }
    assert_eq!(table.add(9, asked(ERROR, 9), at(0)), Added::Full);
    assert_eq!(table.add(11, asked(ERROR, 3), at(0)), Added::Duplicate { error: Some(3) });
    assert!(matches!(table.add(13, asked(DATA, 3), at(0)), Added::Complete(_)), "of those that are there");
    assert_eq!(table.add(15, asked(ERROR, 9), at(0)), Added::Waiting);
}

#[test]
fn the_texts_are_upstreams() {
    let duplicate = AlreadyAssigned { request: 3, stream: DATA };
    assert_eq!(duplicate.to_string(), "error processing stream for request 3: data stream already assigned");
    let late = TimedOut { connection: 0xc0de, request: 4 };
    assert_eq!(late.to_string(), "(conn=0xc0de, request=4) timed out waiting for streams");
    let failed = ForwardFailed { port: 80, pod: "p", uid: "u", error: "connection refused" };
    assert_eq!(failed.to_string(), "error forwarding port 80 to pod p, uid u: connection refused");
}

#[derive(Debug, Clone)]
enum Operation {
    Add { data: bool, request: u64 },
    Forget { back: u32 },
    Wait { seconds: u64 },
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        6 => (any::<bool>(), 0..6_u64).prop_map(|(data, request)| Operation::Add { data, request }),
        1 => (0..8_u32).prop_map(|back| Operation::Forget { back }),
        1 => (0..40_u64).prop_map(|seconds| Operation::Wait { seconds }),
    ]
}

#[test]
fn what_is_wrong_with_a_stream_is_said() {
    let messages = [
        (InvalidStream::NoPort, "\"port\" header is required"),
        (InvalidStream::Port, "\"port\" must be a number from 1 to 65535"),
        (InvalidStream::NoStreamType, "\"streamtype\" header is required"),
        (InvalidStream::StreamType, "\"streamtype\" must be error or data"),
        (InvalidStream::RequestId, "\"requestid\" must be a decimal number"),
    ];
    for (error, message) in messages {
        assert_eq!(std::format!("{error}"), message);
    }
}

proptest! {
    /// Against a map that holds the same: whatever is opened, each stream ends up in one pair, is expired, or is told.
    #[test]
    fn the_table_is_a_map_of_halves(operations in prop::collection::vec(operation(), 0..80)) {
        let (mut table, mut now, mut id) = (table(), at(0), 1_u32);
        let mut model: BTreeMap<u64, (PortStream, u32, Instant)> = BTreeMap::new();
        for operation in operations {
            match operation {
                Operation::Add { data, request } => {
                    let stream = if data { DATA } else { ERROR };
                    let added = table.add(id, asked(stream, request), now);
                    match model.get(&request).copied() {
                        Some((found, other, _)) if found == stream => {
                            prop_assert_eq!(added, Added::Duplicate { error: (!data).then_some(other) });
                        }
                        Some((_, other, _)) => {
                            model.remove(&request);
                            let (error, data) = if data { (other, id) } else { (id, other) };
                            prop_assert_eq!(added, Added::Complete(Pair { request, port: 80, error, data }));
                        }
                        None if model.len() == 4 => prop_assert_eq!(added, Added::Full),
                        None => {
                            prop_assert_eq!(added, Added::Waiting);
                            model.insert(request, (stream, id, now));
                        }
                    }
                    id += 2;
                }
                Operation::Forget { back } => {
                    let gone = id.saturating_sub(2 * back);
                    table.forget(gone);
                    model.retain(|_, (_, id, _)| *id != gone);
                }
                Operation::Wait { seconds } => {
                    now = now.after(Duration::from_secs(seconds));
                    let mut expired = Vec::new();
                    while let Some(half) = table.expired(now) {
                        expired.push(half.id);
                    }
                    expired.sort_unstable();
                    let mut late: Vec<_> =
                        model.extract_if(.., |_, (_, _, since)| now.since(*since) >= COMPLETION).map(|(_, (_, id, _))| id).collect();
                    late.sort_unstable();
                    prop_assert_eq!(expired, late);
                }
            }
            prop_assert_eq!(table.deadline(), model.values().map(|(_, _, since)| since.after(COMPLETION)).min());
        }
    }
}

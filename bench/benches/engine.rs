//! Wall-clock times of the engine, over all scenarios.
//!
//! Each iteration is one run of a scenario's traffic. Fresh input is made and the result is verified outside of
//! the time that is measured.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use strait::ws::mask;
use strait_bench::{Bridge, Traffic, scenarios, spdy_receive, websocket_receive};
use strait_scenarios::Direction;

criterion_group! {
    name = engine;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20);
    targets = masking, receive, exec_bridge
}
criterion_main!(engine);

/// The mask beside what memory allows: the same bytes copied, and the same bytes changed by one constant.
fn masking(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mask");
    for size in [80, 1024, 4096, 32 * 1024] {
        let mut bytes = vec![0x5a; size];
        let mut copy = vec![0; size];
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("mask", size), |bencher| {
            bencher.iter(|| mask(black_box([0x37, 0xfa, 0x21, 0x3d]), 0, black_box(&mut bytes)));
        });
        group.bench_function(BenchmarkId::new("xor_limit", size), |bencher| {
            bencher.iter(|| black_box(&mut bytes).iter_mut().for_each(|byte| *byte ^= 0x37));
        });
        group.bench_function(BenchmarkId::new("memcpy_limit", size), |bencher| {
            bencher.iter(|| black_box(&mut copy).copy_from_slice(black_box(&bytes)));
        });
    }
}

/// A receiver alone, over frames that all lie in memory.
fn receive(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("receive");
    for scenario in scenarios() {
        let traffic = Traffic::new(scenario);
        group.throughput(Throughput::Bytes(traffic.payload as u64));
        let mut wire = traffic.wire.clone();
        group.bench_function(scenario.name, |bencher| {
            bencher.iter_custom(|runs| {
                let mut time = Duration::ZERO;
                for _ in 0..runs {
                    wire.copy_from_slice(&traffic.wire);
                    let start = Instant::now();
                    let payload = match scenario.direction {
                        Direction::ToUpstream => websocket_receive(&mut wire) - traffic.frames,
                        _ => spdy_receive(&wire),
                    };
                    time += start.elapsed();
                    assert_eq!(payload, traffic.payload);
                    traffic.verify_in_place(&wire);
                }
                time
            });
        });
    }
}

/// A session's bridge with 64 KiB of memory a direction: one read, translate, one write, again and again.
/// Beside it the copies alone that stand for read and write.
fn exec_bridge(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("exec_bridge");
    for scenario in scenarios() {
        let traffic = Traffic::new(scenario);
        group.throughput(Throughput::Bytes(traffic.payload as u64));
        let mut bridge = Bridge::new();
        group.bench_function(scenario.name, |bencher| {
            bencher.iter_custom(|runs| {
                let mut time = Duration::ZERO;
                for _ in 0..runs {
                    let start = Instant::now();
                    bridge.run(&traffic, scenario.direction);
                    time += start.elapsed();
                    traffic.verify_output(bridge.output());
                }
                time
            });
        });
        let mut lane = vec![0; 64 * 1024];
        let mut output = Vec::with_capacity(traffic.wire.len());
        group.bench_function(BenchmarkId::new("copies_alone", scenario.name), |bencher| {
            bencher.iter(|| {
                output.clear();
                for piece in traffic.wire.chunks(lane.len()) {
                    let lane = black_box(&mut lane[..piece.len()]);
                    lane.copy_from_slice(piece);
                    output.extend_from_slice(lane);
                }
            });
        });
    }
}

//! Wall-clock times of all codecs and bridges, and of what memory allows.
//!
//! Each iteration is one run of a case. Fresh input is made and the result is verified outside of the time that is measured;
//! that of a bridge has the copies in it that stand for reading and writing.

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use strait_bench::{cases, limits};

criterion_group! {
    name = times;
    config = Criterion::default().warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(800)).sample_size(20);
    targets = all
}
criterion_main!(times);

fn all(criterion: &mut Criterion) {
    for case in cases().into_iter().chain(limits()) {
        let (group, parameter) = case.name.rsplit_once('/').unwrap_or((&case.name, ""));
        let mut group = criterion.benchmark_group(group);
        group.throughput(match case.bytes {
            0 => Throughput::Elements(u64::from(case.count)),
            bytes => Throughput::Bytes(bytes as u64),
        });
        let mut run = case.prepare();
        group.bench_function(parameter, |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| run()).sum());
        });
    }
}

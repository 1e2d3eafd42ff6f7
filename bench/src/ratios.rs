use crate::{Case, Record, cases, limits};

/// What has a limit to be compared with, and which.
const COMPARED: [(&str, &str); 10] = [
    ("mask/16", "limit/xor/16"),
    ("mask/1024", "limit/xor/1024"),
    ("mask/65536", "limit/xor/65536"),
    ("ws/receive/80", "limit/xor/80"),
    ("ws/receive/32768", "limit/xor/32768"),
    ("spdy/receive/80", "limit/xor/80"),
    ("bridge/stdin/log_line", "limit/xor/80"),
    ("bridge/stdin/32KiB", "limit/xor/32768"),
    ("bridge/stdout/log_line", "limit/xor/80"),
    ("bridge/stdout/32KiB", "limit/xor/32768"),
];

const ROUNDS: usize = 40;

/// Times next to those of a limit, a frame each, from runs that take turns. The least of each counts, because whatever else a
/// machine does only adds. The limit is one pass of XOR: copies differ more from machine to machine.
pub fn ratios() -> Vec<Record> {
    let (cases, limits) = (cases(), limits());
    let ratio = |(name, limit): (&str, &str)| {
        let (case, limit) = (find(&cases, name)?, find(&limits, limit)?);
        let (mut ours, mut theirs) = (case.prepare(), limit.prepare());
        let (mut least, mut floor) = (f64::MAX, f64::MAX);
        for _ in 0..ROUNDS {
            least = least.min(ours().as_secs_f64() / f64::from(case.count));
            floor = floor.min(theirs().as_secs_f64() / f64::from(limit.count));
        }
        Some(Record::exact(name, "engine", &format!("time / {}", limit.name), "ratio", least / floor))
    };
    COMPARED.into_iter().filter_map(ratio).collect()
}

fn find<'a>(cases: &'a [Case], name: &str) -> Option<&'a Case> {
    cases.iter().find(|case| case.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compared_is_there() {
        let (cases, limits) = (cases(), limits());
        for (name, limit) in COMPARED {
            assert!(find(&cases, name).is_some() && find(&limits, limit).is_some(), "{name}, {limit}");
        }
    }
}

//! The gateway for microcontrollers as a process of this host, for a debugger: the same code as on a board, on an `embassy-net` stack
//! whose wire ends in this process. It tells its counters when they change.
//!
//! ```console
//! $ strait node --listen 127.0.0.1:10250 --pod demo &
//! $ cargo run -p strait-embassy --example process -- 127.0.0.1:10250
//! kubectl --server=http://127.0.0.1:41337 exec demo -- date
//! ```

#[path = "../tests/rig/mod.rs"]
mod rig;

use std::env;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use strait_embassy::Counters;

use crate::rig::Rig;

fn main() -> ExitCode {
    let Some(upstream) = env::args().nth(1).and_then(|address| address.parse::<SocketAddr>().ok()) else {
        eprintln!("the address and port of an upstream, such as 127.0.0.1:10250");
        return ExitCode::FAILURE;
    };
    let rig = Rig::start(upstream);
    println!("kubectl --server=http://{} exec demo -- date", rig.address);
    let mut told = Counters::default();
    loop {
        sleep(Duration::from_secs(1));
        let now = rig.counters();
        if now != told {
            println!("{now:?}");
            told = now;
        }
    }
}

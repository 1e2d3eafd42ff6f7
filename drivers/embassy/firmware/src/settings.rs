//! What the image is told when it is built: `STRAIT_FIRMWARE_UPSTREAM` (`10.0.2.2:10250`), `STRAIT_FIRMWARE_PORT`
//! (`8080`), `STRAIT_FIRMWARE_ADDRESS` (`dhcp`, or such as `10.0.2.15/24` with `STRAIT_FIRMWARE_ROUTER`).

use core::net::{Ipv4Addr, SocketAddrV4};

include!(concat!(env!("OUT_DIR"), "/settings.rs"));

/// The upstream; an emulator's command line may name another port of it (`-append PORT`).
pub(crate) fn upstream() -> SocketAddrV4 {
    let mut upstream = UPSTREAM;
    if let Some(port) = crate::semihosting::number_of_the_command_line() {
        upstream.set_port(port);
    }
    upstream
}

//! Strait's gateway on microcontrollers: without a heap, and with all of its memory declared.
//!
//! * A [`Session`] joins two connections by a bridge of the engine. It runs over any [`Connection`]: an `embassy-net`
//!   socket, or whatever reads and writes by `embedded-io-async` ([`Io`], [`Halves`]).
//! * [`serve()`] is a whole connection of a client, from its request to its end: a session, a plain request, a refusal.
//! * A [`State`] is the memory of a gateway over `embassy-net` that serves `N` connections at a time and has `M` clients
//!   altogether, [`new`] starts it, its [`Door`] lets clients in and out, and each [`Runner`] serves one after the other.
//!
//! ```no_run
//! use embassy_net::{IpAddress, IpEndpoint, Stack};
//! use strait_embassy::{Backlog, Door, Options, Place, Runner, State};
//!
//! # fn let_in<const N: usize, const M: usize>(_: Door<'static, N, M>, _: Stack<'static>) {}
//! # fn spawn<const N: usize, const M: usize>(_: Runner<'static, N, M>, _: Stack<'static>) {}
//! # fn start(
//! #     stack: Stack<'static>,
//! #     state: &'static mut State<4, 12>,
//! #     backlog: &'static Backlog<'static, 4, 12>,
//! #     place: &'static mut Option<Place<'static>>,
//! # ) {
//! // The stack was made with `backlog.guard(driver)`. All three lie in statics:
//! // `static STATE: ConstStaticCell<State<4, 12>> = ConstStaticCell::new(State::new());`,
//! // `static BACKLOG: StaticCell<Backlog<4, 12>> = StaticCell::new();` and one for the place.
//! let place = place.insert(Place {
//!     port: 8080,
//!     upstream: IpEndpoint::new(IpAddress::v4(10, 0, 0, 1), 10250),
//!     options: Options::insecure_plaintext("10.0.0.1:10250"),
//! });
//! let (gateway, door, runners) = strait_embassy::new(state, backlog, place);
//! let_in(door, stack); // a task: `door.run(stack).await`
//! for runner in runners {
//!     spawn(runner, stack); // a task each: `runner.run(stack).await`
//! }
//! // Later: no new clients, and then an end for those who stay.
//! gateway.drain();
//! gateway.close();
//! # }
//! ```
//!
//! # Memory
//!
//! With lanes and rings of 2 KiB a connection that is served takes, on a 32-bit machine: 4 KiB of lanes, 4 KiB of rings for upstream,
//! and 4 KiB of future, of which the largest bridge is 2.8 KiB (1.9 and 1 without port-forward). A client, served or not, takes 4 KiB of rings and 35 bytes of
//! state; the stack has 0.4 KiB more for each socket. The firmware in `drivers/embassy/firmware` serves four of twelve clients at a
//! time in 128 KiB with everything else.
//!
//! # Features
//!
//! * `port-forward` (default): port-forward is translated from WebSocket, tunnel and channels, to SPDY. Without it, which saves some 25 KB of
//!   flash and 2.1 KB of memory for each connection, it is passed on as it is: upstream has to know the client's protocol.
//! * `pass-on` (part of `port-forward`): what is not translated is passed on, plain requests and SPDY clients. Without it exec and attach
//!   over WebSocket are all that is served, which takes 53 KB of flash with the handshake's crates; the rest gets 501, and targets of a kubelet 404. The token
//!   that a browser shows among its subprotocols is not read, so upstream refuses it. kubectl asks for the pod before it
//!   asks for exec, so it needs something else that answers that; other clients do not.
//! * `log` and `defmt` say what happens; without either, nobody does.
#![no_std]
#![forbid(unsafe_code)]

#[macro_use]
mod fmt;

mod backlog;
mod connection;
mod counters;
mod door;
mod gate;
mod gateway;
mod head;
mod pass_on;
mod serve;
mod session;
mod socket;
mod switch;
mod wait;

pub use self::backlog::Backlog;
pub use self::connection::{Connection, Halves, Io};
pub use self::counters::Counters;
pub use self::door::Door;
pub use self::gate::{Guarded, Received};
pub use self::gateway::{Gateway, Place, Runner, State, new};
pub use self::pass_on::{PassEnd, PassedOn, pass_on};
pub use self::serve::{Ended, Options, serve};
pub use self::session::{Filled, SEGMENTS, Session, Summary};
pub use self::socket::Dial;

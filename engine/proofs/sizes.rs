//! Bytes of memory that the engine's state takes. The same list for the host and for a Cortex-M3.

use strait::bridge::{ExecBridge, Lane, TunnelBridge};
use strait::leg::{RawLeg, SpdyLeg, TunnelLeg, WebSocketLeg};
use strait::spdy::{Inflate, SkipBlocks};
use strait::ws::{MaskKeys, Sender};

type Translator = ExecBridge<WebSocketLeg, SpdyLeg<SkipBlocks>>;
type Session = (Translator, [Lane<[u8; 2048], 8>; 2]);

/// What it is, and how many bytes it takes.
pub(crate) const SIZES: &[(&str, usize)] = &[
    ("exec session with lanes of 2 KiB", size_of::<Session>()),
    ("ExecBridge, WebSocket to SPDY", size_of::<Translator>()),
    ("ExecBridge, SPDY to WebSocket", size_of::<ExecBridge<SpdyLeg<SkipBlocks>, WebSocketLeg<MaskKeys>>>()),
    ("Lane of 2 KiB, 8 segments", size_of::<Lane<[u8; 2048], 8>>()),
    ("WebSocketLeg, server", size_of::<WebSocketLeg>()),
    ("WebSocketLeg, client", size_of::<WebSocketLeg<MaskKeys>>()),
    ("SpdyLeg, client", size_of::<SpdyLeg<SkipBlocks>>()),
    ("ws::Receiver", size_of::<strait::ws::Receiver>()),
    ("ws::Sender", size_of::<Sender>()),
    ("spdy::Receiver that skips headers", size_of::<strait::spdy::Receiver<SkipBlocks>>()),
    ("Inflate, window of 2 KiB", size_of::<Inflate<2048, 1024>>()),
    ("TunnelBridge, WebSocket to SPDY", size_of::<TunnelBridge<TunnelLeg, RawLeg>>()),
];

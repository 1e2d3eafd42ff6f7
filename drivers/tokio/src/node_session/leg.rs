use strait::k8s::Channel;
use strait::leg::{Close, Framing as _, Leg, SpdyLeg, WebSocketLeg};
use strait::spdy::{Inflate, LentBlocks, RstStatus};

/// The server's end of a SPDY connection, with the memory to inflate its header blocks.
pub(crate) type SpdyServer = SpdyLeg<LentBlocks<Box<Inflate>>>;

/// What a server's leg does besides carrying channels.
pub(crate) trait ServerLeg: Leg {
    /// All streams are open.
    fn opened(&mut self) {}

    /// Nothing that the client may still send counts.
    fn stop_input(&mut self) {}

    /// All of the session is queued.
    fn ended(&mut self) {}
}

impl ServerLeg for SpdyServer {
    fn opened(&mut self) {
        // 46 KiB that no session needs any more once its streams are open.
        self.blocks_mut().0 = None;
    }

    fn stop_input(&mut self) {
        self.reset(Channel::STDIN, RstStatus::CANCEL);
        self.reset(Channel::RESIZE, RstStatus::CANCEL);
    }
}

impl ServerLeg for WebSocketLeg {
    fn ended(&mut self) {
        self.close(Close::Normal);
    }
}

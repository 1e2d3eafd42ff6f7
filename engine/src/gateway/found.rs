use crate::k8s::Verb;
use crate::upgrade::Upgrade;

/// What upstream was found to speak: memory for [`UpstreamProtocol::Auto`](super::UpstreamProtocol::Auto), which a driver
/// keeps from one session to the next.
///
/// Port-forward is remembered apart from exec and attach: upstream switches them on one after the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    remote_command: Option<Upgrade>,
    port_forward: Option<Upgrade>,
}

impl Found {
    /// Nothing is known yet.
    pub const NOTHING: Self = Self { remote_command: None, port_forward: None };

    /// What is known about requests of this kind.
    pub const fn get(&self, verb: Verb) -> Option<Upgrade> {
        match verb {
            Verb::Exec | Verb::Attach => self.remote_command,
            Verb::PortForward => self.port_forward,
        }
    }

    /// An attempt was granted that [`proves`](super::Attempt::proves) this. True if it is news.
    pub fn learn(&mut self, verb: Verb, proves: Option<Upgrade>) -> bool {
        let known = self.of(verb);
        let is_news = proves.is_some() && *known != proves;
        *known = proves.or(*known);
        is_news
    }

    /// An attempt failed in a way that is [about the protocol](super::DialError::is_about_the_protocol): upstream may be
    /// another one by now, or an older or newer version.
    pub fn doubt(&mut self, verb: Verb) {
        *self.of(verb) = None;
    }

    const fn of(&mut self, verb: Verb) -> &mut Option<Upgrade> {
        match verb {
            Verb::Exec | Verb::Attach => &mut self.remote_command,
            Verb::PortForward => &mut self.port_forward,
        }
    }
}

use core::fmt;

/// Kubernetes' feature gates that concern a gateway, under their names (`translator.md` section 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a gate of its own")]
pub struct FeatureGates {
    /// `TranslateStreamCloseWebsocketRequests`: off, WebSocket v5 requests for exec and attach are passed on as they are.
    pub translate_stream_close_websocket_requests: bool,
    /// `PortForwardWebsockets`: off, port-forward in a tunnel is passed on as it is.
    pub port_forward_websockets: bool,
    /// `ExtendWebSocketsToKubelet`: off, a kubelet is not asked for WebSocket where
    /// [`Auto`](super::UpstreamProtocol::Auto) would.
    pub extend_websockets_to_kubelet: bool,
    /// `AuthorizePodWebsocketUpgradeCreatePermission`: what is translated from WebSocket asks upstream for the permission
    /// `create` (POST); off, for what the client's own method asks for (GET: `get`). A WebSocket that is passed on is
    /// a GET in either case, and upstream has to have the gate itself.
    pub authorize_pod_websocket_upgrade_create_permission: bool,
}

impl Default for FeatureGates {
    fn default() -> Self {
        Self::ALL
    }
}

/// Names that switch all gates of a stage. None of the gates here is in alpha any more.
const ALL_ALPHA: &str = "AllAlpha";
const ALL_BETA: &str = "AllBeta";

impl FeatureGates {
    /// All gates are on, as in Kubernetes from 1.36 on.
    pub const ALL: Self = Self::all(true);

    /// The names of the gates, in the order of the alphabet.
    pub const NAMES: [&'static str; 4] = [
        "AuthorizePodWebsocketUpgradeCreatePermission",
        "ExtendWebSocketsToKubelet",
        "PortForwardWebsockets",
        "TranslateStreamCloseWebsocketRequests",
    ];

    /// Reads a list such as `PortForwardWebsockets=false,AllBeta=true`, as Kubernetes' programs do: values are those of
    /// Go's `ParseBool`, the last one counts, and `AllBeta` is for the gates that are not named, wherever it stands.
    ///
    /// ```
    /// use strait::gateway::FeatureGates;
    ///
    /// let gates = FeatureGates::parse("PortForwardWebsockets=true,AllBeta=false")?;
    /// assert!(gates.port_forward_websockets);
    /// assert!(!gates.translate_stream_close_websocket_requests);
    /// # Ok::<(), strait::gateway::GateError>(())
    /// ```
    pub fn parse(list: &str) -> Result<Self, GateError<'_>> {
        let items = || list.split(',').map(str::trim).filter(|item| !item.is_empty()).map(read_item);
        let mut gates = Self::default();
        for item in items() {
            if let (ALL_BETA, value) = item? {
                gates = Self::all(value);
            }
        }
        for item in items() {
            let (name, value) = item?;
            match gates.gate(name) {
                Some(gate) => *gate = value,
                None if matches!(name, ALL_ALPHA | ALL_BETA) => {}
                None => return Err(GateError::Unknown { name }),
            }
        }
        Ok(gates)
    }

    const fn all(on: bool) -> Self {
        Self {
            translate_stream_close_websocket_requests: on,
            port_forward_websockets: on,
            extend_websockets_to_kubelet: on,
            authorize_pod_websocket_upgrade_create_permission: on,
        }
    }

    fn gate(&mut self, name: &str) -> Option<&mut bool> {
        Some(match name {
            "AuthorizePodWebsocketUpgradeCreatePermission" => {
                &mut self.authorize_pod_websocket_upgrade_create_permission
            }
            "ExtendWebSocketsToKubelet" => &mut self.extend_websockets_to_kubelet,
            "PortForwardWebsockets" => &mut self.port_forward_websockets,
            "TranslateStreamCloseWebsocketRequests" => &mut self.translate_stream_close_websocket_requests,
            _ => return None,
        })
    }
}

fn read_item(item: &str) -> Result<(&str, bool), GateError<'_>> {
    let (name, value) = item.split_once('=').ok_or(GateError::NoValue { name: item })?;
    let (name, value) = (name.trim(), value.trim());
    Ok((name, parse_bool(value).ok_or(GateError::Value { name, value })?))
}

fn parse_bool(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Why a list of feature gates cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateError<'a> {
    /// An item has no `=`.
    NoValue {
        /// The item.
        name: &'a str,
    },
    /// A value is neither true nor false.
    Value {
        /// Whose it is.
        name: &'a str,
        /// The value.
        value: &'a str,
    },
    /// There is no such gate here.
    Unknown {
        /// What was named.
        name: &'a str,
    },
}

impl fmt::Display for GateError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoValue { name } => write!(f, "{name} has no value: NAME=true or NAME=false"),
            Self::Value { name, value } => write!(f, "{name} is true or false, not {value}"),
            Self::Unknown { name } => {
                write!(f, "no feature gate {name} here, there are {ALL_ALPHA}, {ALL_BETA}")?;
                FeatureGates::NAMES.iter().try_for_each(|known| write!(f, ", {known}"))
            }
        }
    }
}

impl core::error::Error for GateError<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn every_gate_has_its_name_and_is_on() {
        for (index, name) in FeatureGates::NAMES.into_iter().enumerate() {
            let list = std::format!("{name}=false");
            let gates = FeatureGates::parse(&list).unwrap();
            let off = [
                !gates.authorize_pod_websocket_upgrade_create_permission,
                !gates.extend_websockets_to_kubelet,
                !gates.port_forward_websockets,
                !gates.translate_stream_close_websocket_requests,
            ];
            assert_eq!(off, core::array::from_fn(|at| at == index), "{name}");
        }
        assert!(FeatureGates::NAMES.is_sorted());
        assert_eq!(FeatureGates::parse(""), Ok(FeatureGates::default()));
    }

    #[test]
    fn a_gate_that_is_named_wins_over_all_of_its_stage() {
        for list in ["PortForwardWebsockets=T,AllBeta=0", "AllBeta=False, PortForwardWebsockets=true"] {
            let gates = FeatureGates::parse(list).unwrap();
            let on = [gates.port_forward_websockets, gates.extend_websockets_to_kubelet];
            assert_eq!(on, [true, false], "{list}");
        }
        assert_eq!(FeatureGates::parse("AllAlpha=false"), Ok(FeatureGates::default()));
        let last = FeatureGates::parse("PortForwardWebsockets=true,PortForwardWebsockets=false").unwrap();
        assert!(!last.port_forward_websockets);
    }

    #[test]
    fn an_unknown_gate_is_refused_with_the_ones_that_there_are() {
        let error = FeatureGates::parse("NodeSwap=true").unwrap_err().to_string();
        let names = FeatureGates::NAMES.join(", ");
        assert_eq!(
            error,
            std::format!("no feature gate NodeSwap here, there are AllAlpha, AllBeta, {names}")
        );
        let error = |list| FeatureGates::parse(list).unwrap_err();
        assert_eq!(error("AllBeta"), GateError::NoValue { name: "AllBeta" });
        let wrong = GateError::Value { name: "AllBeta", value: "yes" };
        assert_eq!(error("AllBeta=yes"), wrong);
    }
}

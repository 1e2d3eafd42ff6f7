use std::str::FromStr;

/// A port here, 0 for any free one, and the port of the pod that it leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) local: u16,
    pub(super) remote: u16,
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = |digits: &str| digits.parse().map_err(|_| format!("no port: {digits:?}"));
        let (local, remote) = match text.split_once(':') {
            None => (port(text)?, port(text)?),
            Some(("", remote)) => (0, port(remote)?),
            Some((local, remote)) => (port(local)?, port(remote)?),
        };
        if remote == 0 { Err("the port of the pod must not be 0".into()) } else { Ok(Self { local, remote }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_written_as_for_kubectl() {
        let ports = |text: &str| text.parse::<Ports>().map(|ports| (ports.local, ports.remote)).ok();
        assert_eq!(
            [ports("80"), ports("8080:80"), ports(":80"), ports("0:80")],
            [Some((80, 80)), Some((8080, 80)), Some((0, 80)), Some((0, 80))]
        );
        for text in ["", ":", "0", "80:0", "x", "1:2:3", "65536", "-1"] {
            assert_eq!(ports(text), None, "{text}");
        }
    }
}
